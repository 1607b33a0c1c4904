//! GETQUOTA and GETQUOTAROOT (RFC 9208): one root, the mailbox, with the room that it has at this moment.

use tenancy::mailbox;

use crate::codec::command::MailboxName;
use crate::codec::write;
use crate::folders::Folders;
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

/// The one root's name.
const ROOT: &str = "";

pub(crate) async fn get(session: &mut Session, root: &str) -> Answer {
    let Some(resources) = resources(session).await?.filter(|_| root == ROOT) else {
        return Err(Status::no("there is no such quota root").with("NONEXISTENT").into());
    };
    tell(session, &resources);
    Ok(Status::ok("that is all"))
}

pub(crate) async fn root(session: &mut Session, name: &MailboxName) -> Answer {
    let login = session.login()?;
    let folders = Folders::of(&login, name).await?;
    let name = folders.name_of(folders.get(name)?);
    // What another's mailbox has room for is theirs to know.
    let resources = if folders.is_own() { resources(session).await? } else { None };
    let is_utf8 = session.enabled.is_utf8();
    let out = session.connection.out();
    out.extend_from_slice(b"* QUOTAROOT ");
    write::mailbox(out, &name, is_utf8);
    out.extend_from_slice(if resources.is_some() { b" \"\"\r\n".as_slice() } else { b"\r\n" });
    if let Some(resources) = resources {
        tell(session, &resources);
    }
    Ok(Status::ok("that is all"))
}

/// What is limited of one's own mailbox, and how much of it is used, in units of 1,024 octets (RFC 9208 §5.1). `None` where nothing is: there is no root
/// then, since one has a resource at least (§7).
async fn resources(session: &mut Session) -> Result<Option<String>, Trouble> {
    let login = session.login()?;
    let (mailbox, effective) = mailbox::quota(&login.ctx, login.mailbox_id).await?;
    // Used is rounded up and the limit down: a client never sees room where there is none.
    let told = |limit| format!("STORAGE {} {}", (mailbox.quota.used_bytes + 1023) / 1024, limit / 1024);
    Ok(effective.limit_bytes.map(told))
}

fn tell(session: &mut Session, resources: &str) {
    session.connection.untagged(&format!("QUOTA \"\" ({resources})"));
}
