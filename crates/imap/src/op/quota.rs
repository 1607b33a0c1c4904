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
    session.login()?;
    if root != ROOT {
        return Err(Status::no("there is no such quota root").with("NONEXISTENT").into());
    }
    tell(session).await?;
    Ok(Status::ok("that is all"))
}

pub(crate) async fn root(session: &mut Session, name: &MailboxName) -> Answer {
    let login = session.login()?;
    let folders = Folders::of(&login, name).await?;
    let (name, is_own) = (folders.name_of(folders.get(name)?), folders.is_own());
    let is_utf8 = session.enabled.is_utf8();
    let out = session.connection.out();
    out.extend_from_slice(b"* QUOTAROOT ");
    write::mailbox(out, &name, is_utf8);
    // What another's mailbox has room for is theirs to know.
    out.extend_from_slice(if is_own { b" \"\"\r\n".as_slice() } else { b"\r\n" });
    if is_own {
        tell(session).await?;
    }
    Ok(Status::ok("that is all"))
}

/// RFC 9208 §5.1: in units of 1,024 octets. A root without a limit has no resource.
async fn tell(session: &mut Session) -> Result<(), Trouble> {
    let login = session.login()?;
    let (mailbox, effective) = mailbox::quota(&login.ctx, login.mailbox_id).await?;
    let resources = match effective.limit_bytes {
        // Used is rounded up and the limit down: a client never sees room where there is none.
        Some(limit) => format!("STORAGE {} {}", (mailbox.quota.used_bytes + 1023) / 1024, limit / 1024),
        None => String::new(),
    };
    session.connection.untagged(&format!("QUOTA \"\" ({resources})"));
    Ok(())
}
