//! ACL (RFC 4314): the rights there are, by mailbox. They are given by administrators, and for a mailbox as a whole.

use crate::codec::command::MailboxName;
use crate::codec::write;
use crate::folders::Folders;
use crate::session::{Answer, Session};
use crate::status::Status;

/// What one may do in one's own mailbox, and in those that one has full access to: everything but to give rights (RFC 4314 §2.1), with what RFC 2086
/// called it (§2.1.1).
const ALL: &str = "lrswipkxtecd";

/// What one may do in those that one may read.
const READ: &str = "lr";

/// MYRIGHTS (RFC 4314 §3.5).
pub(crate) async fn mine(session: &mut Session, name: &MailboxName) -> Answer {
    let (_, folders) = Folders::at_present(session, name).await?;
    let (name, rights) =
        (folders.name_of(folders.get(name)?), if folders.is_writable() { ALL } else { READ });
    let is_utf8 = session.enabled.is_utf8();
    let out = session.connection.out();
    out.extend_from_slice(b"* MYRIGHTS ");
    write::mailbox(out, &name, is_utf8);
    out.extend_from_slice(format!(" {rights}\r\n").as_bytes());
    Ok(Status::ok("that is all"))
}

/// GETACL, SETACL, DELETEACL and LISTRIGHTS, which need the right that nobody has here (RFC 4314 §4).
pub(crate) async fn administer(session: &mut Session, name: &MailboxName) -> Answer {
    let login = session.login()?;
    Folders::of(&login, name).await?.get(name)?;
    Err(Status::no("rights are given by the mailbox's administrators").with("NOPERM").into())
}
