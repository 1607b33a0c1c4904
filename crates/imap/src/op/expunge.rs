//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).

use mailstore::view;

use crate::codec::set::SequenceSet;
use crate::session::{Answer, Session};
use crate::status::Status;

/// Deletes what is marked as deleted, of all or of a set of UIDs. That they are gone is told like everything else that has changed.
pub(crate) async fn run(session: &mut Session, set: Option<&SequenceSet>) -> Answer {
    let login = session.login_to_change().await?;
    let selected = session.selected()?;
    let uids = match set {
        Some(set) => selected.ranges(set, true)?,
        None => vec![1..=u64::from(u32::MAX)],
    };
    view::expunge(&session.store(), &login.ctx, selected.mailbox_id, selected.folder, &uids).await?;
    session.note_change();
    Ok(Status::ok("they are gone"))
}
