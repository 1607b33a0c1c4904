//! COPY and MOVE (RFC 9051 §6.4.7, §6.4.8, RFC 4315, RFC 6851): all or none.

use mailstore::change::UidSet;
use mailstore::message::{Placed, Target};
use mailstore::view;

use crate::codec::command::MailboxName;
use crate::codec::set::SequenceSet;
use crate::codec::write;
use crate::folders::Folders;
use crate::session::{Answer, Session};
use crate::status::Status;

pub(crate) async fn run(
    session: &mut Session,
    by_uid: bool,
    set: &SequenceSet,
    to: &MailboxName,
    is_move: bool,
) -> Answer {
    let own = session.login()?.mailbox_id;
    let is_others = session.selected()?.mailbox_id != own;
    let (mut login, folders) = Folders::to_change(session, to).await?;
    // What leaves another's mailbox, or is kept of it, does so by a right that is there at this very moment. Where it goes into another's, that was
    // asked for just now.
    if is_move {
        login = session.login_to_change().await?;
    } else if is_others && folders.is_own() {
        login = session.present_login().await?;
    }
    let selected = session.selected()?;
    let (from, folder, uids) = (selected.mailbox_id, selected.folder, selected.resolve(set, by_uid)?);
    let target = folders.target(to)?;
    let wanted: UidSet = uids.into_iter().map(u64::from).collect();
    let (store, ctx) = (session.store(), &login.ctx);
    let to = Target { mailbox_id: folders.mailbox_id, folder: Some(target.id) };
    let placed = match is_move {
        true => view::relocate(&store, ctx, from, folder, wanted.ranges(), to).await?,
        false => view::copy(&store, ctx, from, folder, wanted.ranges(), to).await?,
    };
    session.note_change();
    let done = Status::ok(if is_move { "moved" } else { "copied" });
    let Some(code) = code(target.uid_validity, &placed) else { return Ok(done) };
    if is_move {
        // RFC 6851 §4.3: before the messages are told to be gone.
        session.connection.untagged(&format!("OK [{code}] moved"));
        return Ok(done);
    }
    Ok(done.with(code))
}

/// `COPYUID` (RFC 4315 §3): which message is which now. Both sets are in the same order.
fn code(uid_validity: u32, placed: &[Placed]) -> Option<String> {
    if placed.is_empty() {
        return None;
    }
    let set = |uid: fn(&Placed) -> u64| {
        let mut set = bytes::BytesMut::new();
        let uids = placed.iter().filter_map(|placed| u32::try_from(uid(placed)).ok());
        write::set(&mut set, uids.map(|uid| uid..=uid));
        String::from_utf8_lossy(&set).into_owned()
    };
    Some(format!("COPYUID {uid_validity} {} {}", set(|placed| placed.of_uid), set(|placed| placed.uid)))
}
