//! CLOSE and UNSELECT (RFC 9051 §6.4.1, §6.4.2).

use mailstore::view;

use crate::session::{Answer, Session};
use crate::status::Status;

/// Closes the folder that is open; what is marked as deleted goes, if it `expunges` and may.
pub(crate) async fn run(session: &mut Session, expunges: bool) -> Answer {
    session.login()?;
    session.selected()?;
    if expunges && let Some(login) = session.if_changeable().await? {
        let (selected, all) = (session.selected()?, [1..=u64::from(u32::MAX)]);
        view::expunge(&session.store(), &login.ctx, selected.mailbox_id, selected.folder, &all).await?;
    }
    session.selected = None;
    Ok(Status::ok("closed"))
}
