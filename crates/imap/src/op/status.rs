//! STATUS (RFC 9051 §6.3.11).

use mailstore::folder::Folder;
use mailstore::view;
use tenancy::MailLogin;

use crate::codec::command::{MailboxName, StatusItem};
use crate::codec::write;
use crate::folders::Folders;
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, name: &MailboxName, items: &[StatusItem]) -> Answer {
    let login = session.login()?;
    let folders = Folders::of(&login, name).await?;
    let folder = folders.get(name)?;
    line(session, &login, &folders, folder, items).await?;
    Ok(Status::ok("that is all"))
}

/// Writes the line of a folder.
pub(super) async fn line(
    session: &mut Session,
    login: &MailLogin,
    folders: &Folders,
    folder: &Folder,
    items: &[StatusItem],
) -> Result<(), Trouble> {
    let mut told = Vec::with_capacity(items.len());
    for item in items {
        told.push(match item {
            StatusItem::Messages => format!("MESSAGES {}", folder.message_count),
            // Nothing is told to the first session alone.
            StatusItem::Recent => "RECENT 0".to_owned(),
            StatusItem::UidNext => format!("UIDNEXT {}", folder.uid_next),
            StatusItem::UidValidity => format!("UIDVALIDITY {}", folder.uid_validity),
            StatusItem::Unseen => format!("UNSEEN {}", folder.unseen_count),
            StatusItem::Deleted | StatusItem::DeletedStorage => {
                let marked = view::marked_as_deleted(&login.ctx, folders.mailbox_id, folder.id).await?;
                match item {
                    StatusItem::Deleted => format!("DELETED {}", marked.messages),
                    _ => format!("DELETED-STORAGE {}", marked.size_bytes),
                }
            }
            // RFC 8438 §3: no less than what FETCH tells of all together.
            StatusItem::Size => {
                let bytes = view::wire_size_bytes(&login.ctx, folders.mailbox_id, folder.id).await?;
                format!("SIZE {bytes}")
            }
            StatusItem::HighestModSeq => {
                session.enable_condstore();
                format!("HIGHESTMODSEQ {}", folder.highest_modseq.max(1))
            }
            StatusItem::AppendLimit => format!("APPENDLIMIT {}", mailstore::MAX_MESSAGE_BYTES),
            StatusItem::MailboxId => format!("MAILBOXID ({})", folder.id),
        });
    }
    let is_utf8 = session.enabled.is_utf8();
    let out = session.connection.out();
    out.extend_from_slice(b"* STATUS ");
    write::mailbox(out, &folders.name_of(folder), is_utf8);
    out.extend_from_slice(format!(" ({})\r\n", told.join(" ")).as_bytes());
    Ok(())
}
