//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8).

use mailstore::folder::{self, Changed};

use crate::codec::command::MailboxName;
use crate::folders::Folders;
use crate::session::{Answer, Session};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, name: &MailboxName, is_subscribed: bool) -> Answer {
    let login = session.login()?;
    let folders = Folders::of(&login, name).await?;
    let id = folders.get(name)?.id;
    if !folders.is_own() {
        return match is_subscribed {
            true => Ok(Status::ok("all of others' count as subscribed to")),
            false => Err(Status::no("all of others' count as subscribed to").with("CANNOT").into()),
        };
    }
    let changed = Changed { is_subscribed: Some(is_subscribed), ..Changed::default() };
    folder::update(&session.store(), &login.ctx, login.mailbox_id, id, changed).await?;
    Ok(Status::ok("done"))
}
