//! CREATE (RFC 9051 §6.3.4), with a special use (RFC 6154 §3).

use mailstore::folder::{self, NewFolder, Role, SEPARATOR};
use tenancy::MailLogin;

use super::list;
use crate::codec::command::MailboxName;
use crate::folders::{Folders, special_use};
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, name: &MailboxName, uses: &[String]) -> Answer {
    session.login()?;
    let role = role(uses)?;
    // A separator at the end says that others are to lie below it (RFC 9051 §6.3.4): here they may below any.
    let kept = MailboxName::from(name.name.trim_end_matches(SEPARATOR).to_owned());
    let (login, folders) = Folders::to_change(session, &kept).await?;
    if role.is_some() && !folders.is_own() {
        return Err(Status::no("the folders of others have no special use here").with("USEATTR").into());
    }
    let id = make(session, &login, &folders, &folders.path_of(&kept), role).await?;
    let mut attributes = vec![list::NO_CHILDREN, list::SUBSCRIBED];
    attributes.extend(role.and_then(special_use));
    list::instead(session, &attributes, &kept.name, name.given.as_deref());
    Ok(Status::ok("made").with(format!("MAILBOXID ({id})")))
}

/// Makes a folder, and those on the way to it.
pub(super) async fn make(
    session: &Session,
    login: &MailLogin,
    folders: &Folders,
    path: &str,
    role: Option<Role>,
) -> Result<kernel::FolderId, Trouble> {
    let (mut parent_id, mut rest) = (None, path);
    for folder in folders.all() {
        // The deepest that the path leads through comes last.
        if let Some(below) = path.strip_prefix(&folder.path).and_then(|rest| rest.strip_prefix(SEPARATOR)) {
            (parent_id, rest) = (Some(folder.id), below);
        }
    }
    let store = session.store();
    // All of them first: where one is none, nothing is made.
    let names: Vec<String> = rest.split(SEPARATOR).map(folder::named).collect::<Result<_, _>>()?;
    let mut names = names.into_iter().peekable();
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        let new = NewFolder {
            parent_id,
            name,
            role: role.filter(|_| is_last),
            // Whoever makes a folder wants to see it; clients that do not subscribe to it would have lost it.
            is_subscribed: true,
        };
        parent_id = Some(folder::create(&store, &login.ctx, folders.mailbox_id, new).await?.id);
    }
    Ok(parent_id.ok_or_else(|| Status::bad("a folder has a name"))?)
}

/// The role of a special use.
fn role(uses: &[String]) -> Result<Option<Role>, Status> {
    let [wanted] = uses else {
        let several = || Status::no("a folder has one special use").with("USEATTR");
        return if uses.is_empty() { Ok(None) } else { Err(several()) };
    };
    let is_it = |role: &Role| special_use(*role).is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    match Role::ALL.iter().copied().find(is_it) {
        Some(role) => Ok(Some(role)),
        None => Err(Status::no("there is no such special use here").with("USEATTR")),
    }
}
