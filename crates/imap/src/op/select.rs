//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3).

use mailstore::{change, view};

use super::list;
use crate::codec::command::{MailboxName, SelectParameters};
use crate::folders::Folders;
use crate::resync;
use crate::selected::Selected;
use crate::session::{Answer, Session};
use crate::status::Status;

pub(crate) async fn run(
    session: &mut Session,
    name: &MailboxName,
    is_read_only: bool,
    parameters: &SelectParameters,
) -> Answer {
    session.login()?;
    if parameters.qresync.is_some() && !session.enabled.qresync {
        return Err(Status::bad("QRESYNC is to be enabled first").into());
    }
    // Also where the new one cannot be opened (RFC 9051 §6.3.2).
    if session.selected.take().is_some() {
        session.connection.untagged("OK [CLOSED] the folder that was open is closed");
    }
    if parameters.condstore {
        session.enable_condstore();
    }
    let (login, folders) = Folders::at_present(session, name).await?;
    let folder = folders.get(name)?;
    let (mailbox_id, is_read_only) = (folders.mailbox_id, is_read_only || !folders.is_writable());
    // Before the look: what changes between the two is not missed.
    let watch = change::watch(&session.store(), &login.ctx, mailbox_id).await?;
    let view = view::open(&login.ctx, mailbox_id, folder.id).await?;
    let selected = Selected::new(&view, mailbox_id, watch, is_read_only, session.lists());
    let out = &mut session.connection;
    out.untagged(&selected.flags_line());
    let permanent = if is_read_only { String::new() } else { format!("{} \\*", selected.flags()) };
    out.untagged(&format!("OK [PERMANENTFLAGS ({permanent})] flags that are kept"));
    out.untagged(&format!("{} EXISTS", view.uids.len()));
    let is_rev2 = session.enabled.rev2;
    if !is_rev2 {
        out.untagged("0 RECENT");
    }
    if let Some(first) = view.first_unseen.filter(|_| !is_rev2) {
        let number = view.uids.partition_point(|uid| *uid < first) + 1;
        out.untagged(&format!("OK [UNSEEN {number}] the first that is not seen"));
    }
    out.untagged(&format!("OK [UIDVALIDITY {}] UIDs are valid", view.folder.uid_validity));
    out.untagged(&format!("OK [UIDNEXT {}] the next UID", view.folder.uid_next));
    // Changes that come meanwhile have higher ones, and are told.
    out.untagged(&format!("OK [HIGHESTMODSEQ {}] changes so far", view.folder.highest_modseq.max(1)));
    out.untagged(&format!("OK [MAILBOXID ({})] the folder's id", view.folder.id));
    if is_rev2 {
        list::selected(session, &folders, folder, name);
    }
    session.selected = Some(selected);
    let known = parameters.qresync.as_ref();
    if let Some(known) = known.filter(|known| known.uid_validity.get() == view.folder.uid_validity)
        && let Err(trouble) = resync::tell(session, &login, known).await
    {
        session.selected = None;
        return Err(trouble);
    }
    let code = if is_read_only { "READ-ONLY" } else { "READ-WRITE" };
    Ok(Status::ok("opened").with(code))
}
