//! What a client missed of a folder while it was away (RFC 7162 §3.2).

use bytes::BytesMut;
use mailstore::change::{self, Kind, UidSet};
use mailstore::view;
use tenancy::MailLogin;

use crate::codec::command::Resync;
use crate::codec::write;
use crate::render;
use crate::selected::Selected;
use crate::session::{End, Session, Trouble};

/// Of how many messages what has changed is looked up at a time.
const AT_ONCE: usize = 5_000;

/// How far beyond all UIDs that were here one may be that a client knows from another server, where messages that are gone had it.
const BEYOND: u64 = 1_000_000;

/// Tells which messages are gone since a client was here last, and of which the flags are others.
pub(crate) async fn tell(session: &mut Session, login: &MailLogin, known: &Resync) -> Result<(), Trouble> {
    let since = session.since(known.modseq).await?;
    let selected = session.selected()?;
    let (mailbox_id, folder) = (selected.mailbox_id, selected.folder);
    // Which numbers it takes for which UIDs would only save us from naming some that it does not know any more (§3.2.5.2).
    let among = known.known_uids.as_ref().map(|set| selected.ever(set));
    let gone = vanished(login, selected, known.modseq, among.as_ref()).await?;
    let is_known = |uid: &u32| among.as_ref().is_none_or(|among| among.contains(u64::from(*uid)));
    let uids: Vec<u32> = selected.uids().iter().copied().filter(is_known).collect();
    line(session, &gone, true).await?;
    for uids in uids.chunks(AT_ONCE) {
        let wanted: UidSet = uids.iter().copied().map(u64::from).collect();
        let rows = view::rows(&login.ctx, mailbox_id, folder, wanted.ranges(), since).await?;
        for row in rows {
            session.introduce(&row.flags);
            let Some(number) = session.selected()?.number_of(row.uid) else { continue };
            render::flags_line(session.connection.out(), number, &row, true, true);
            session.connection.spill().await?;
        }
    }
    Ok(())
}

/// The UIDs, all or among some, that are gone since a modification sequence. Where the log does not go back so far, all of these that are not there: the
/// client passes over what it does not know (RFC 7162 §3.2.5.1). One that it names may be beyond all that were here: it has that from elsewhere.
pub(crate) async fn vanished(
    login: &MailLogin,
    selected: &Selected,
    since: u64,
    among: Option<&UidSet>,
) -> Result<UidSet, mailstore::Error> {
    let gone = match (gone(login, selected, since).await, among) {
        (Ok(gone), Some(among)) => gone.within(among),
        (Ok(gone), None) => gone,
        (Err(mailstore::Error::ChangesExpired), Some(among)) => {
            among.within(&std::iter::once(1..=selected.last_uid() + BEYOND).collect())
        }
        (Err(mailstore::Error::ChangesExpired), None) => std::iter::once(1..=selected.last_uid()).collect(),
        (Err(error), _) => return Err(error),
    };
    let present: UidSet = selected.uids().iter().copied().map(u64::from).collect();
    Ok(gone.without(&present))
}

/// The UIDs that the log says are gone.
async fn gone(login: &MailLogin, selected: &Selected, since: u64) -> Result<UidSet, mailstore::Error> {
    let (mut gone, mut reached) = (Vec::new(), since);
    loop {
        let news = change::since(&login.ctx, selected.mailbox_id, Some(reached)).await?;
        let here = news.changes.iter().filter(|change| change.folder_id == selected.folder);
        for change in here.filter(|change| change.kind == Kind::Gone) {
            gone.extend(change.uids.ranges().iter().cloned());
        }
        reached = news.modseq;
        if !news.has_more {
            return Ok(gone.into_iter().collect());
        }
    }
}

/// Writes which UIDs are gone, if some are; `earlier` than the client has had the folder open (RFC 7162 §3.2.10).
pub(crate) async fn line(session: &mut Session, gone: &UidSet, earlier: bool) -> Result<(), End> {
    if gone.is_empty() {
        return Ok(());
    }
    let mut line = BytesMut::from(if earlier { "* VANISHED (EARLIER) " } else { "* VANISHED " });
    let narrow = |uid: &u64| u32::try_from(*uid).unwrap_or(u32::MAX);
    write::set(&mut line, gone.ranges().iter().map(|range| narrow(range.start())..=narrow(range.end())));
    line.extend_from_slice(b"\r\n");
    session.connection.queue(&line).await
}
