//! FETCH (RFC 9051 §6.4.5, RFC 7162 §3.1.4).

mod section;

use std::collections::BTreeMap;

use mailstore::message::{Flag, FlagChange, Flags};
use mailstore::structure::Structure;
use mailstore::view::{self, Row};
use tenancy::MailLogin;

use crate::codec::command::{Fetch, FetchItem, Rfc822};
use crate::codec::write;
use crate::render;
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

/// Of how many messages what is told is in memory at a time.
const AT_ONCE: usize = 250;

pub(crate) async fn run(session: &mut Session, command: &Fetch) -> Answer {
    let login = session.login()?;
    let selected = session.selected()?;
    let uids = selected.resolve(&command.set, command.by_uid)?;
    if command.vanished {
        return Err(Status::bad("VANISHED goes with QRESYNC, which is not offered").into());
    }
    session.is_condstore |= command.changed_since.is_some() || command.items.contains(&FetchItem::ModSeq);
    let mut telling = Telling { session, login, command, refused: None };
    for uids in uids.chunks(AT_ONCE) {
        telling.some(uids).await?;
    }
    match telling.refused {
        // Which message it was the client sees by its being left out.
        Some(error) => Err(error),
        None => Ok(Status::ok("that is all")),
    }
}

struct Telling<'a> {
    session: &'a mut Session,
    login: MailLogin,
    command: &'a Fetch,
    /// Why a message was left out; the others are told all the same.
    refused: Option<Trouble>,
}

impl Telling<'_> {
    /// Tells of some messages.
    async fn some(&mut self, uids: &[u32]) -> Result<(), Trouble> {
        let folder = self.session.selected()?.folder;
        let wanted = render::ranges(uids.iter().copied().map(u64::from));
        let (ctx, mailbox_id, since) = (&self.login.ctx, self.login.mailbox_id, self.command.changed_since);
        let mut rows = view::rows(ctx, mailbox_id, folder, &wanted, since).await?;
        let seen = self.mark_as_seen(&mut rows).await?;
        let needs_structure = self
            .command
            .items
            .iter()
            .any(|item| matches!(item, FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure));
        let mut structures: BTreeMap<u64, Structure> = BTreeMap::new();
        if needs_structure {
            let wanted = render::ranges(rows.iter().map(|row| row.uid));
            let (store, login) = (self.session.store(), &self.login);
            structures = view::structures(&store, &login.ctx, login.mailbox_id, folder, &wanted)
                .await?
                .into_iter()
                .collect();
        }
        for row in rows {
            let structure = structures.remove(&row.uid).unwrap_or_default();
            match self.one(&row, &structure, seen.contains(&row.uid)).await {
                Ok(()) => {}
                Err(Trouble::End(end)) => return Err(end.into()),
                Err(trouble) => self.refused = Some(trouble),
            }
            self.session.connection.spill().await?;
        }
        Ok(())
    }

    /// Marks as seen what is read and not only looked at: the UIDs of those that were not, and the rows as they are now.
    async fn mark_as_seen(&mut self, rows: &mut [Row]) -> Result<Vec<u64>, Trouble> {
        let selected = self.session.selected()?;
        if selected.is_read_only || !self.command.items.iter().any(marks_as_seen) {
            return Ok(Vec::new());
        }
        let unseen: Vec<u64> =
            rows.iter().filter(|row| !row.flags.flags.contains(&Flag::Seen)).map(|row| row.uid).collect();
        if unseen.is_empty() {
            return Ok(unseen);
        }
        let seen = Flags { flags: [Flag::Seen].into(), ..Flags::default() };
        let done = view::flag(
            &self.session.store(),
            &self.login.ctx,
            self.login.mailbox_id,
            selected.folder,
            &render::ranges(unseen.iter().copied()),
            &FlagChange::adding(seen),
            None,
        )
        .await?;
        if let Some(selected) = &mut self.session.selected {
            selected.note_own(done.modseq);
            selected.is_stale = true;
        }
        let mut marked: BTreeMap<u64, Row> = done.rows.into_iter().map(|row| (row.uid, row)).collect();
        for row in rows {
            if let Some(new) = marked.remove(&row.uid) {
                *row = new;
            }
        }
        Ok(unseen)
    }

    /// Tells of one message. Nothing is written before all that can fail is there.
    async fn one(&mut self, row: &Row, structure: &Structure, is_marked: bool) -> Result<(), Trouble> {
        let Some(number) = self.session.selected()?.number_of(row.uid) else { return Ok(()) };
        let needs_body = self
            .command
            .items
            .iter()
            .any(|item| matches!(item, FetchItem::Section { .. } | FetchItem::Rfc822(_)));
        let (_room, body) = match needs_body {
            true => {
                let room = self.session.room_for(row.wire_size_bytes).await?;
                let (store, login) = (self.session.store(), &self.login);
                (Some(room), view::wire(&store, &login.ctx, login.mailbox_id, row.id).await?)
            }
            false => (None, bytes::Bytes::new()),
        };
        let items = &self.command.items;
        let is_condstore = self.session.is_condstore;
        let connection = &mut self.session.connection;
        connection.out().extend_from_slice(format!("* {number} FETCH (").as_bytes());
        let implied = [
            (self.command.by_uid, FetchItem::Uid),
            (is_marked, FetchItem::Flags),
            (self.command.changed_since.is_some() || (is_marked && is_condstore), FetchItem::ModSeq),
        ];
        let implied = implied.into_iter().filter(|(is, item)| *is && !items.contains(item));
        for (index, item) in implied.map(|(_, item)| item).chain(items.iter().cloned()).enumerate() {
            if index > 0 {
                connection.out().extend_from_slice(b" ");
            }
            match &item {
                FetchItem::Section { section, partial, .. } => {
                    section::write(connection, &body, section, *partial).await?;
                }
                FetchItem::Rfc822(which) => section::write_rfc822(connection, &body, *which).await?,
                item => small(connection.out(), item, row, structure),
            }
        }
        connection.out().extend_from_slice(b")\r\n");
        Ok(())
    }
}

/// What reading marks as seen (RFC 9051 §6.4.5).
fn marks_as_seen(item: &FetchItem) -> bool {
    match item {
        FetchItem::Section { is_peek, .. } => !is_peek,
        FetchItem::Rfc822(which) => *which != Rfc822::Header,
        _ => false,
    }
}

/// Writes what takes no body.
fn small(out: &mut bytes::BytesMut, item: &FetchItem, row: &Row, structure: &Structure) {
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
        FetchItem::EmailId => out.extend_from_slice(format!("EMAILID ({})", row.id).as_bytes()),
        // There are no threads here (RFC 8474 §5.2).
        FetchItem::ThreadId => out.extend_from_slice(b"THREADID NIL"),
        // They take the body.
        FetchItem::Section { .. } | FetchItem::Rfc822(_) => {}
    }
}
