//! RENAME (RFC 9051 §6.3.6).

use mailstore::folder::{self, Changed, SEPARATOR};
use mailstore::message::Target;
use mailstore::view;

use super::{create, list};
use crate::codec::command::MailboxName;
use crate::folders::{Folders, below};
use crate::session::{Answer, Session};
use crate::status::Status;

/// Renames a folder with what lies below it. Of the Inbox the messages go into a new folder, and it stays.
pub(crate) async fn run(session: &mut Session, from: &MailboxName, to: &MailboxName) -> Answer {
    let (_, there) = Folders::to_change(session, to).await?;
    let (login, folders) = Folders::to_change(session, from).await?;
    if there.mailbox_id != folders.mailbox_id {
        return Err(Status::no("a folder stays in its mailbox").with("CANNOT").into());
    }
    let (mailbox_id, old) = (folders.mailbox_id, folders.get(from)?);
    let kept = MailboxName::from(to.name.trim_end_matches(SEPARATOR).to_owned());
    let path = folders.path_of(&kept);
    // Before anything is made on the way.
    for name in path.split(SEPARATOR) {
        folder::named(name)?;
    }
    if folders.is_inbox(old) {
        let id = create::make(session, &login, &folders, &path, None).await?;
        let all = [1..=u64::from(u32::MAX)];
        let target = Target { mailbox_id, folder: Some(id) };
        view::relocate(&session.store(), &login.ctx, mailbox_id, old.id, &all, target).await?;
        session.note_change();
        // The Inbox has no other name now (RFC 9051 §6.3.6).
        let attributes = [list::NO_CHILDREN, list::SUBSCRIBED];
        list::instead(session, &attributes, &kept.name, to.given.as_deref());
        return Ok(Status::ok("moved"));
    }
    if below(&path, &old.path).is_some_and(|rest| !rest.is_empty()) {
        return Err(Status::no("a folder cannot lie below itself").with("CANNOT").into());
    }
    let (parent, name) = Folders::split(&path);
    let parent_id = match parent {
        None => None,
        Some(parent) => match folders.all().iter().find(|folder| folder.path == parent) {
            Some(folder) => Some(folder.id),
            None => Some(create::make(session, &login, &folders, parent, None).await?),
        },
    };
    let changed = Changed { name: Some(name.to_owned()), parent_id: Some(parent_id), is_subscribed: None };
    folder::update(&session.store(), &login.ctx, mailbox_id, old.id, changed).await?;
    let was = from.given.as_deref().or_else(|| to.given.as_ref().map(|_| from.name.as_str()));
    list::instead(session, &list::renamed(&folders, old), &kept.name, was);
    Ok(Status::ok("renamed"))
}
