//! CLOSE and UNSELECT (RFC 9051 §6.4.1, §6.4.2).

use mailstore::view;

use crate::session::{Answer, Session};
use crate::status::Status;

/// Closes the folder that is open; what is marked as deleted goes, if it `expunges` and may.
pub(crate) async fn run(session: &mut Session, expunges: bool) -> Answer {
    let login = session.login()?;
    let selected = session.selected()?;
    if expunges && !selected.is_read_only {
        view::expunge(
            &session.store(),
            &login.ctx,
            login.mailbox_id,
            selected.folder,
            &[1..=u64::from(u32::MAX)],
        )
        .await?;
    }
    session.selected = None;
    Ok(Status::ok("closed"))
}
