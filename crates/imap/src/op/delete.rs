//! DELETE (RFC 9051 §6.3.5).

use mailstore::folder;

use super::list;
use crate::codec::command::MailboxName;
use crate::folders::Folders;
use crate::session::{Answer, Session};
use crate::status::Status;

/// Deletes a folder; its messages are recoverable for as long as others.
pub(crate) async fn run(session: &mut Session, name: &MailboxName) -> Answer {
    let (login, folders) = Folders::to_change(session, name).await?;
    let id = folders.get(name)?.id;
    folder::delete(&session.store(), &login.ctx, folders.mailbox_id, id).await?;
    if session.selected.as_ref().is_some_and(|selected| selected.folder == id) {
        session.selected = None;
        session.connection.untagged("OK [CLOSED] the folder that was open is gone");
    }
    list::instead(session, &[list::NON_EXISTENT], &name.name, name.given.as_deref());
    Ok(Status::ok("deleted"))
}
