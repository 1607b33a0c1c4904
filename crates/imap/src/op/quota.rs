//! GETQUOTA and GETQUOTAROOT (RFC 9208): one root for each mailbox that one may change, with the room that it has at this moment. The name of one's own
//! is empty, that of another's is what its folders lie below.

use tenancy::{MailLogin, mailbox};

use crate::codec::command::MailboxName;
use crate::codec::write;
use crate::folders::Folders;
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

pub(crate) async fn get(session: &mut Session, root: &str) -> Answer {
    let login = session.login()?;
    let folders = Folders::of(&login, &MailboxName::from(root.to_owned())).await?;
    let resources = match root == root_of(&folders) {
        true => resources(&login, &folders).await?,
        false => None,
    };
    let Some(resources) = resources else {
        return Err(Status::no("there is no such quota root").with("NONEXISTENT").into());
    };
    tell(session, root, &resources);
    Ok(Status::ok("that is all"))
}

pub(crate) async fn root(session: &mut Session, name: &MailboxName) -> Answer {
    let login = session.login()?;
    let folders = Folders::of(&login, name).await?;
    let name = folders.name_of(folders.get(name)?);
    let resources = resources(&login, &folders).await?;
    let is_utf8 = session.enabled.is_utf8();
    let out = session.connection.out();
    out.extend_from_slice(b"* QUOTAROOT ");
    write::mailbox(out, &name, is_utf8);
    if resources.is_some() {
        out.extend_from_slice(b" ");
        write::astring(out, root_of(&folders), is_utf8);
    }
    out.extend_from_slice(b"\r\n");
    if let Some(resources) = resources {
        tell(session, root_of(&folders), &resources);
    }
    Ok(Status::ok("that is all"))
}

/// The name of the root.
fn root_of(folders: &Folders) -> &str {
    folders.top().unwrap_or_default()
}

/// What is limited of a mailbox, and how much of it is used, in units of 1,024 octets (RFC 9208 §5.1). `None` where nothing is: there is no root
/// then, since one has a resource at least (§7). What a mailbox has room for that one may only read is not told.
async fn resources(login: &MailLogin, folders: &Folders) -> Result<Option<String>, Trouble> {
    if !folders.is_writable() {
        return Ok(None);
    }
    let (mailbox, effective) = mailbox::quota(&login.ctx, folders.mailbox_id).await?;
    // Used is rounded up and the limit down: a client never sees room where there is none.
    let told = |limit| format!("STORAGE {} {}", (mailbox.quota.used_bytes + 1023) / 1024, limit / 1024);
    // Where a pool is tighter whose room is not theirs to know, the mailbox's own.
    Ok(effective.limit_bytes.or(mailbox.quota.bounds.quota_bytes).map(told))
}

fn tell(session: &mut Session, root: &str, resources: &str) {
    let is_utf8 = session.enabled.is_utf8();
    let out = session.connection.out();
    out.extend_from_slice(b"* QUOTA ");
    write::astring(out, root, is_utf8);
    out.extend_from_slice(format!(" ({resources})\r\n").as_bytes());
}
