//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8).

use mailstore::folder::{self, Changed};
use tenancy::MailLogin;

use crate::codec::command::MailboxName;
use crate::folders::Folders;
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, name: &MailboxName, is_subscribed: bool) -> Answer {
    let (login, folders) = Folders::at_present(session, name).await?;
    if folders.find(name).is_none() && was_left(&login, &folders, name, is_subscribed).await? {
        return Ok(Status::ok("done"));
    }
    let id = folders.get(name)?.id;
    if !folders.is_writable() {
        return match is_subscribed {
            true => Ok(Status::ok("what can be read only counts as subscribed to")),
            false => Err(Status::no("what can be read only counts as subscribed to").with("CANNOT").into()),
        };
    }
    let changed = Changed { is_subscribed: Some(is_subscribed), ..Changed::default() };
    folder::update(&session.store(), &login.ctx, folders.mailbox_id, id, changed).await?;
    Ok(Status::ok("done"))
}

/// Whether a name without a folder was subscribed to, which it is not any more if that is wanted.
async fn was_left(
    login: &MailLogin,
    folders: &Folders,
    name: &MailboxName,
    is_subscribed: bool,
) -> Result<bool, Trouble> {
    if !folders.is_writable() {
        return Ok(false);
    }
    let path = folders.path_of(name);
    Ok(match is_subscribed {
        true => folder::gone::subscribed(&login.ctx, folders.mailbox_id).await?.contains(&path),
        false => folder::gone::unsubscribe(&login.ctx, folders.mailbox_id, &path).await?,
    })
}
