//! APPEND (RFC 9051 §6.3.12).

use chrono::{DateTime, Utc};
use mailstore::ingest::{self, Incoming, Outcome, Target};
use mailstore::message;

use super::store;
use crate::codec::command::{Append, MailboxName};
use crate::folders::Folders;
use crate::session::{Answer, Session};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, name: &MailboxName, messages: Vec<Append>) -> Answer {
    let login = session.login()?;
    let [Append { flags, date, bytes }] = <[Append; 1]>::try_from(messages)
        .map_err(|_| Status::bad("APPEND takes one message here: MULTIAPPEND is not offered"))?;
    if bytes.is_empty() {
        // RFC 3502 §6.3.11 has this for "never mind".
        return Err(Status::no("nothing is put into the folder").into());
    }
    let flags = store::flags(&flags)?;
    let folders = Folders::load(&login.ctx, login.mailbox_id).await?;
    let folder = folders.target(name)?;
    let internal_date: DateTime<Utc> = match date {
        Some(date) => date.to_utc(),
        None => login.ctx.env().now(),
    };
    let target = Target { ctx: login.ctx.clone(), mailbox_id: login.mailbox_id, folder: Some(folder.id) };
    let incoming = Incoming { bytes, internal_date, flags, import_key: None };
    let outcome = ingest::ingest(&session.store(), vec![target], incoming).await.pop();
    let Outcome::Stored(id) = outcome.unwrap_or(Err(mailstore::Error::ShuttingDown))? else {
        // Without an import's key nothing is taken for one that is there already.
        return Err(mailstore::Error::ShuttingDown.into());
    };
    session.note_change();
    // It is there, whatever comes of the look at its number: told otherwise, the client would put it there again.
    match message::stored(&login.ctx, login.mailbox_id, id).await {
        Ok(message) => {
            let code = format!("APPENDUID {} {}", folder.uid_validity, message.uid);
            Ok(Status::ok("stored").with(code))
        }
        Err(error) => {
            tracing::warn!(
                error = kernel::error::chain(&error),
                "a message was put into a folder, its UID is not known"
            );
            Ok(Status::ok("stored"))
        }
    }
}
