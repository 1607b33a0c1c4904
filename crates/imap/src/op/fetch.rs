//! FETCH (RFC 9051 §6.4.5, RFC 7162 §3.1.4, RFC 8970).

pub(crate) mod section;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use kernel::MailboxId;
use mailstore::change::UidSet;
use mailstore::message::{Flag, FlagChange, Flags};
use mailstore::structure::Structure;
use mailstore::view::{self, Kept, Marking, Row};
use tenancy::MailLogin;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use self::section::Cut;
use crate::ahead::Reading;
use crate::codec::command::{Fetch, FetchItem, Rfc822};
use crate::codec::write;
use crate::piece::{self, Text};
use crate::render;
use crate::resync;
use crate::session::{Answer, End, Session, Trouble};
use crate::status::Status;

/// Of how many messages what is told is in memory at a time, where that is small.
const AT_ONCE: usize = 500;
/// How many bytes of messages are; a larger one goes alone.
const GROUP_BYTES: u64 = 8 << 20;
/// The largest body that is read before it is asked for.
const AHEAD_BYTES: u64 = 1 << 20;
/// How many bodies are fetched at a time.
const BODIES: usize = 4;
/// About how much memory a preview takes.
const PREVIEW_BYTES: u64 = 1 << 10;
/// Of how many messages the previews are asked for at a time where some are not kept, and made: their bodies are read before any is told.
const PREVIEWS: usize = 50;

pub(crate) async fn run(session: &mut Session, command: &Fetch) -> Answer {
    let login = session.login()?;
    let selected = session.selected()?;
    let (mailbox_id, uids) = (selected.mailbox_id, selected.resolve(&command.set, command.by_uid)?);
    if command.vanished {
        let (true, Some(since)) = (session.enabled.qresync && command.by_uid, command.changed_since) else {
            return Err(Status::bad("VANISHED goes with UID, CHANGEDSINCE and ENABLE QRESYNC").into());
        };
        let gone = resync::vanished(&login, selected, since, Some(&selected.ever(&command.set))).await?;
        resync::line(session, &gone, true).await?;
    }
    if command.changed_since.is_some() || command.items.contains(&FetchItem::ModSeq) {
        session.enable_condstore();
    }
    let since = match command.changed_since {
        Some(modseq) => session.since(modseq).await?,
        None => None,
    };
    let mut telling = Telling {
        session,
        login,
        mailbox_id,
        command,
        since,
        reading: None,
        piece_of: None,
        text: None,
        left: None,
        refused: None,
    };
    telling.all(&uids).await?;
    match telling.refused {
        // Which message it was the client sees by its being left out.
        Some(trouble) => Err(trouble),
        None => Ok(Status::ok("that is all")),
    }
}

struct Telling<'a> {
    session: &'a mut Session,
    login: MailLogin,
    mailbox_id: MailboxId,
    command: &'a Fetch,
    /// From which modification sequence on what has changed is told; `None` where all is.
    since: Option<u64>,
    /// The body of the one message that is told, if that was begun to be read before.
    reading: Option<Reading>,
    /// The text that the one message is asked for a piece of, as a whole; that text, if the piece before has left it.
    piece_of: Option<FetchItem>,
    text: Option<Text>,
    /// What is left of it for the next piece.
    left: Option<(u64, Bytes)>,
    /// Why a message was left out; the others are told all the same.
    refused: Option<Trouble>,
}

/// A message, with its structure as it is kept if that is asked for.
type Found = (Row, Option<Kept>);

/// Messages that are being looked up.
type Coming = AbortOnDropHandle<Result<Vec<Found>, mailstore::Error>>;

/// A message with what is told of it.
struct Told {
    row: Row,
    structure: Structure,
    preview: Option<String>,
    sections: Vec<Option<Cut>>,
}

impl Telling<'_> {
    /// Tells of messages, some at a time; while some are told, the next ones are looked up.
    async fn all(&mut self, mut uids: &[u32]) -> Result<(), Trouble> {
        if let (&[uid], None) = (uids, self.command.changed_since)
            && !self.needs_structure()
        {
            let Some(row) = self.one(uid).await? else { return Ok(()) };
            return self.some(vec![(row, None)]).await;
        }
        // It may mark as seen what was looked up for commands of one message.
        if let Some(selected) = &mut self.session.selected {
            selected.ahead.clear();
            selected.piecemeal.clear();
        }
        let mut coming = self.look_up(uids)?;
        while let Some(some) = coming {
            let found = some.await.map_err(|_| mailstore::Error::ShuttingDown)??;
            uids = match found.last() {
                // Those after it may have had no room beside it.
                Some((last, Some(_))) => &uids[uids.partition_point(|uid| u64::from(*uid) <= last.uid)..],
                _ => uids.get(AT_ONCE..).unwrap_or_default(),
            };
            self.session.check_login().await?;
            self.login = self.session.login()?;
            coming = self.look_up(uids)?;
            self.some(found).await?;
        }
        Ok(())
    }

    /// Begins to look up the first of some messages; nothing where there is none.
    fn look_up(&self, uids: &[u32]) -> Result<Option<Coming>, Trouble> {
        if uids.is_empty() {
            return Ok(None);
        }
        let wanted: UidSet = uids.iter().take(AT_ONCE).copied().map(u64::from).collect();
        let (mailbox_id, folder) = (self.mailbox_id, self.session.selected()?.folder);
        let (ctx, since) = (self.login.ctx.clone(), self.since);
        let needs_structure = self.needs_structure();
        let work = async move {
            let uids = wanted.ranges();
            Ok(match needs_structure {
                true => view::described(&ctx, mailbox_id, folder, uids, since)
                    .await?
                    .into_iter()
                    .map(|(row, kept)| (row, Some(kept)))
                    .collect(),
                false => view::rows(&ctx, mailbox_id, folder, uids, since)
                    .await?
                    .into_iter()
                    .map(|row| (row, None))
                    .collect(),
            })
        };
        Ok(Some(AbortOnDropHandle::new(tokio::spawn(work.in_current_span()))))
    }

    /// Tells of some messages, as many at a time as may be in memory.
    async fn some(&mut self, found: Vec<Found>) -> Result<(), Trouble> {
        let needs_body = self.needs_body();
        let most = if self.makes_previews(&found).await? { PREVIEWS } else { AT_ONCE };
        let mut found = found.into_iter().peekable();
        while let Some(first) = found.next() {
            let mut bytes = first.0.wire_size_bytes;
            let mut group = vec![first];
            while let Some(next) = found.next_if(|(row, _)| {
                group.len() < most && (!needs_body || bytes + row.wire_size_bytes <= GROUP_BYTES)
            }) {
                bytes += next.0.wire_size_bytes;
                group.push(next);
            }
            self.group(group).await?;
        }
        Ok(())
    }

    /// The row of one message; with it those of the next ones are looked up, if they are asked for one after the other.
    async fn one(&mut self, uid: u32) -> Result<Option<Row>, Trouble> {
        let (needs_body, store) = (self.needs_body(), self.session.store());
        let Some(selected) = &mut self.session.selected else { return Ok(None) };
        if selected.look_for_news() {
            selected.ahead.clear();
        }
        let now = Instant::now();
        let count = selected.count_ahead(uid, now);
        let row = selected.ahead.take(uid, now);
        self.piece_of = piece::asked(&self.command.items);
        self.text = selected.piecemeal.take(u64::from(uid), self.piece_of.as_ref(), now);
        if needs_body {
            self.reading = selected.ahead.take_reading(uid);
        }
        if row.is_some() {
            return Ok(row);
        }
        let uids: UidSet = selected.from(uid, count).iter().copied().map(u64::from).collect();
        let folder = selected.folder;
        let (ctx, mailbox_id) = (&self.login.ctx, self.mailbox_id);
        let mut rows = view::rows(ctx, mailbox_id, folder, uids.ranges(), None).await?;
        let coming = match needs_body {
            true => view::locate(&store, ctx, mailbox_id, &mut rows).await?,
            false => view::Coming::default(),
        };
        let mut rows = rows.into_iter().peekable();
        let one = rows.next_if(|row| row.uid == u64::from(uid));
        if count > 1 {
            selected.ahead.keep(rows.map(|row| (row.uid, row)), coming, now);
        }
        Ok(one)
    }

    /// Begins to read the body of the next message where there is room for it.
    async fn read_next(&mut self) {
        let next = self.session.selected.as_ref().and_then(|selected| selected.ahead.next());
        let next = next.filter(|row| self.needs_body() && row.wire_size_bytes <= AHEAD_BYTES);
        let Some(row) = next.cloned() else { return };
        let Ok(room) = self.session.room_for_more(row.wire_size_bytes).await else { return };
        let (store, ctx, mailbox_id) = (self.session.store(), self.login.ctx.clone(), self.mailbox_id);
        let work = async move { view::wire(&store, &ctx, mailbox_id, &row).await.ok() };
        let bytes = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
        if let Some(selected) = &mut self.session.selected {
            selected.ahead.read(Reading { room, bytes });
        }
    }

    fn needs_structure(&self) -> bool {
        let needs = |item: &FetchItem| {
            matches!(item, FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure)
        };
        self.command.items.iter().any(needs)
    }

    /// Whether previews are asked for, and if so whether none is to be waited for. Who asks both ways waits.
    fn needs_previews(&self) -> Option<bool> {
        let lazy = self.command.items.iter().filter_map(|item| match item {
            FetchItem::Preview { is_lazy } => Some(*is_lazy),
            _ => None,
        });
        lazy.min()
    }

    /// Whether some of the messages' previews may have to be made, where they are so many that it matters.
    async fn makes_previews(&self, found: &[Found]) -> Result<bool, mailstore::Error> {
        if self.needs_previews() != Some(false) || found.len() <= PREVIEWS {
            return Ok(false);
        }
        let rows: Vec<&Row> = found.iter().map(|(row, _)| row).collect();
        Ok(!view::previews_are_kept(&self.login.ctx, self.mailbox_id, &rows).await?)
    }

    fn needs_body(&self) -> bool {
        self.command.items.iter().any(section::is_one)
    }

    /// Tells of messages that may be in memory together. Nothing of one is written before all that can fail is there.
    async fn group(&mut self, found: Vec<Found>) -> Result<(), Trouble> {
        let needs_body = self.needs_body();
        let preview = self.needs_previews().map_or(0, |_| PREVIEW_BYTES);
        let takes = |(row, kept): &Found| {
            let body = if needs_body { row.wire_size_bytes } else { 0 };
            body + preview + kept.as_ref().map_or(0, Kept::memory_bytes)
        };
        let bytes: u64 = found.iter().map(takes).sum();
        let (room, coming, text) = match (self.text.take(), self.reading.take(), bytes) {
            (Some(Text { room, bytes }), ..) => (Some(room), None, Some(bytes)),
            (None, Some(Reading { room, bytes }), _) => (Some(room), Some(bytes), None),
            (None, None, 0) => (None, None, None),
            (None, None, bytes) => (Some(self.session.room_for(bytes).await?), None, None),
        };
        // Only now: who waits for room holds none.
        self.read_next().await;
        let read = match coming {
            Some(bytes) => bytes.await.ok().flatten(),
            None => None,
        };
        let structures = self.structures(&found).await;
        let mut rows: Vec<Row> = found.into_iter().map(|(row, _)| row).collect();
        let _coming = match needs_body && text.is_none() {
            true => view::locate(&self.session.store(), &self.login.ctx, self.mailbox_id, &mut rows).await?,
            false => view::Coming::default(),
        };
        let previews = self.previews(&rows).await?;
        let sections = match text {
            Some(text) => vec![Ok(vec![Some(Cut::Text(text))])],
            None => self.sections(&rows, read).await,
        };
        let mut told = Vec::with_capacity(rows.len());
        for (((row, structure), preview), sections) in
            rows.into_iter().zip(structures).zip(previews).zip(sections)
        {
            let kept = structure.and_then(|structure| Ok((structure, preview?))).map_err(Trouble::from);
            let all = kept
                .and_then(|(structure, preview)| Ok(Told { row, structure, preview, sections: sections? }));
            match all {
                Ok(one) => told.push(one),
                // What is gone meanwhile is told to be.
                Err(Trouble::Store(mailstore::Error::NotFound)) => {}
                Err(trouble) => self.refused = Some(trouble),
            }
        }
        let marked = self.mark_as_seen(&mut told).await?;
        let limit = self.session.connection.time_for(bytes * self.command.items.len() as u64);
        // Who takes it more slowly does not keep the room from others.
        let telling = tokio::time::timeout(limit, self.tell(told, &marked)).await;
        telling.unwrap_or(Err(End::Stalled.into()))?;
        if let (Some(whole), Some((uid, bytes)), Some(room)) = (self.piece_of.take(), self.left.take(), room)
            && let Some(selected) = &mut self.session.selected
        {
            selected.piecemeal.keep(uid, whole, Text { room, bytes }, Instant::now());
        }
        Ok(())
    }

    async fn tell(&mut self, told: Vec<Told>, marked: &UidSet) -> Result<(), Trouble> {
        for one in told {
            let is_marked = marked.contains(one.row.uid);
            self.write(one, is_marked).await?;
            self.session.connection.spill().await?;
        }
        Ok(())
    }

    /// The structure of each message, or why it is not to be had; an empty one where none is asked for.
    async fn structures(&self, found: &[Found]) -> Vec<Result<Structure, mailstore::Error>> {
        if !self.needs_structure() {
            return found.iter().map(|_| Ok(Structure::default())).collect();
        }
        let (store, ctx) = (self.session.store(), &self.login.ctx);
        let mailbox_id = self.mailbox_id;
        let structures: Vec<_> = found
            .iter()
            .map(|(row, kept)| {
                let store = &store;
                async move {
                    match kept {
                        Some(kept) => view::structure(store, ctx, mailbox_id, row, kept).await,
                        None => Ok(Structure::default()),
                    }
                }
            })
            .collect();
        stream::iter(structures).buffered(BODIES).collect().await
    }

    /// The preview of each message, or why it is not to be had; none where none is asked for.
    async fn previews(
        &self,
        rows: &[Row],
    ) -> Result<Vec<Result<Option<String>, mailstore::Error>>, mailstore::Error> {
        let Some(is_lazy) = self.needs_previews() else { return Ok(rows.iter().map(|_| Ok(None)).collect()) };
        view::previews(&self.session.store(), &self.login.ctx, self.mailbox_id, rows, is_lazy).await
    }

    /// The sections that are asked for, of each message, or why they are not to be had. The first one's body may have been read before.
    async fn sections(
        &self,
        rows: &[Row],
        mut read: Option<Bytes>,
    ) -> Vec<Result<Vec<Option<Cut>>, Trouble>> {
        if !self.needs_body() {
            return rows.iter().map(|_| Ok(Vec::new())).collect();
        }
        let wanted: Arc<[FetchItem]> =
            self.command.items.iter().filter(|item| section::is_one(item)).cloned().collect();
        let (store, mailbox_id) = (self.session.store(), self.mailbox_id);
        let fetched: Vec<_> = rows
            .iter()
            .map(|row| {
                let (store, wanted, row) = (store.clone(), wanted.clone(), row.clone());
                let (ctx, read) = (self.login.ctx.clone(), read.take());
                async move {
                    let bytes = match read {
                        Some(bytes) => bytes,
                        None => view::wire(&store, &ctx, mailbox_id, &row).await?,
                    };
                    section::cut(bytes, wanted).await
                }
            })
            .collect();
        stream::iter(fetched).buffered(BODIES).collect().await
    }

    /// Marks as seen what is read and not only looked at, where that can be changed: the UIDs of those that were not, and the rows as they are now.
    async fn mark_as_seen(&mut self, told: &mut [Told]) -> Result<UidSet, Trouble> {
        let selected = self.session.selected()?;
        if selected.is_read_only || !self.command.items.iter().any(marks_as_seen) {
            return Ok(UidSet::default());
        }
        let is_unseen = |one: &&Told| !one.row.flags.flags.contains(&Flag::Seen);
        let unseen: UidSet = told.iter().filter(is_unseen).map(|one| one.row.uid).collect();
        if unseen.is_empty() {
            return Ok(unseen);
        }
        let Some(login) = self.session.if_changeable().await? else { return Ok(UidSet::default()) };
        self.login = login;
        let seen = Flags { flags: [Flag::Seen].into(), ..Flags::default() };
        let done = view::flag(
            &self.session.store(),
            &self.login.ctx,
            self.mailbox_id,
            self.session.selected()?.folder,
            unseen.ranges(),
            &Marking { change: FlagChange::adding(seen), tells: true, ..Marking::default() },
        )
        .await?;
        if let (Some(selected), Some(modseq)) = (&mut self.session.selected, done.modseq) {
            selected.note_own(modseq);
            selected.is_stale = true;
        }
        let mut marked: BTreeMap<u64, Row> = done.rows.into_iter().map(|row| (row.uid, row)).collect();
        for one in told {
            if let Some(new) = marked.remove(&one.row.uid) {
                one.row = new;
            }
        }
        Ok(unseen)
    }

    async fn write(&mut self, told: Told, is_marked: bool) -> Result<(), Trouble> {
        let Told { row, structure, preview, sections } = told;
        let items = &self.command.items;
        if is_marked || items.contains(&FetchItem::Flags) {
            self.session.introduce(&row.flags);
        }
        let Some(number) = self.session.selected()?.number_of(row.uid) else { return Ok(()) };
        let condstore = self.session.enabled.condstore;
        let connection = &mut self.session.connection;
        connection.out().extend_from_slice(format!("* {number} FETCH (").as_bytes());
        // RFC 7162 §3.2.4: what is told of a change has UID and modification sequence.
        let implied = [
            (self.command.by_uid || (is_marked && condstore), &FetchItem::Uid),
            (is_marked, &FetchItem::Flags),
            (self.command.changed_since.is_some() || (is_marked && condstore), &FetchItem::ModSeq),
        ];
        let implied = implied.into_iter().filter(|(is, item)| *is && !items.contains(item));
        let (mut sections, mut last) = (sections.into_iter(), None);
        for (index, item) in implied.map(|(_, item)| item).chain(items).enumerate() {
            if index > 0 {
                connection.out().extend_from_slice(b" ");
            }
            match section::is_one(item) {
                true => {
                    let left = section::write(connection, item, sections.next().flatten(), &mut last).await?;
                    self.left = left.map(|text| (row.uid, text));
                }
                false => small(connection.out(), item, &row, &structure, preview.as_deref()),
            }
            connection.spill().await?;
        }
        connection.out().extend_from_slice(b")\r\n");
        Ok(())
    }
}

/// What reading marks as seen (RFC 9051 §6.4.5).
fn marks_as_seen(item: &FetchItem) -> bool {
    match item {
        FetchItem::Section { is_peek, .. } | FetchItem::Binary { is_peek, .. } => !is_peek,
        FetchItem::Rfc822(which) => *which != Rfc822::Header,
        _ => false,
    }
}

/// Writes what takes no body.
fn small(
    out: &mut bytes::BytesMut,
    item: &FetchItem,
    row: &Row,
    structure: &Structure,
    preview: Option<&str>,
) {
    match item {
        FetchItem::Uid => out.extend_from_slice(format!("UID {}", row.uid).as_bytes()),
        FetchItem::Flags => render::flags(out, &row.flags),
        FetchItem::InternalDate => {
            out.extend_from_slice(b"INTERNALDATE ");
            write::date_time(out, row.internal_date.fixed_offset());
        }
        FetchItem::Size => out.extend_from_slice(format!("RFC822.SIZE {}", row.wire_size_bytes).as_bytes()),
        FetchItem::Envelope => {
            out.extend_from_slice(b"ENVELOPE ");
            render::envelope(out, &structure.envelope);
        }
        FetchItem::Body => {
            out.extend_from_slice(b"BODY ");
            render::body(out, &structure.body, false);
        }
        FetchItem::BodyStructure => {
            out.extend_from_slice(b"BODYSTRUCTURE ");
            render::body(out, &structure.body, true);
        }
        FetchItem::ModSeq => out.extend_from_slice(format!("MODSEQ ({})", row.modseq).as_bytes()),
        FetchItem::EmailId => out.extend_from_slice(format!("EMAILID ({})", row.email_id()).as_bytes()),
        // There are no threads here (RFC 8474 §5.2).
        FetchItem::ThreadId => out.extend_from_slice(b"THREADID NIL"),
        FetchItem::Preview { .. } => {
            out.extend_from_slice(b"PREVIEW ");
            render::preview(out, preview);
        }
        // They take the body.
        FetchItem::Section { .. }
        | FetchItem::Rfc822(_)
        | FetchItem::Binary { .. }
        | FetchItem::BinarySize(_) => {}
    }
}
