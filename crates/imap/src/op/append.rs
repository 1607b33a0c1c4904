//! APPEND (RFC 9051 §6.3.12, RFC 3502).

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use kernel::{MailboxId, MessageId};
use mailstore::ingest::{self, Incoming, Outcome, Target, Within};
use mailstore::{message, structure};
use tenancy::MailLogin;

use super::store;
use crate::codec::command::{Append, AppendForm, MailboxName};
use crate::codec::write;
use crate::folders::Folders;
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, name: &MailboxName, messages: Vec<Append>) -> Answer {
    let login = session.login()?;
    if messages.iter().any(|message| message.bytes.is_empty()) {
        // RFC 3502 §6.3.11 has this for "never mind".
        return Err(Status::no("nothing is put into the folder").into());
    }
    let now = login.ctx.env().now();
    let mut incoming = Vec::with_capacity(messages.len());
    for append in messages {
        let internal_date = append.date.map_or(now, |date| date.to_utc());
        let flags = store::flags(&append.flags)?;
        let bytes = match append.form {
            AppendForm::Binary | AppendForm::Utf8 => without_binary(append.bytes).await?,
            AppendForm::Plain => append.bytes,
        };
        incoming.push(Incoming { bytes, internal_date, flags, import_key: None });
    }
    let (login, folders) = Folders::to_change(session, name).await?;
    let (mailbox_id, folder) = (folders.mailbox_id, folders.target(name)?);
    let target =
        Target { ctx: login.ctx.clone(), mailbox_id, folder: Within::Folder(folder.id), room_bytes: None };
    let ids = match (incoming.pop(), incoming.is_empty()) {
        (Some(one), true) => vec![alone(session, target, one).await?],
        (last, _) => {
            incoming.extend(last);
            ingest::ingest_all(&session.store(), target, incoming).await?
        }
    };
    session.note_change();
    let done = Status::ok("stored");
    Ok(match uids(&login, mailbox_id, &ids).await {
        Some(uids) => done.with(format!("APPENDUID {} {uids}", folder.uid_validity)),
        None => done,
    })
}

/// A message that came as it is, as it is kept: there are lines in it and no NULs (RFC 3516 §4.4).
async fn without_binary(bytes: Bytes) -> Result<Bytes, Trouble> {
    let work = move || match structure::without_binary(&bytes).map(Cow::into_owned) {
        Ok(mended) => Ok(mended.into()),
        Err(_) => Err(Status::no("there are NULs where nothing says that it is binary").with("UNKNOWN-CTE")),
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| mailstore::Error::ShuttingDown)??)
}

/// A lone message goes in with what others send at the same time.
async fn alone(session: &Session, target: Target, incoming: Incoming) -> Result<MessageId, mailstore::Error> {
    let outcome = ingest::ingest(&session.store(), vec![target], incoming).await.pop();
    match outcome.unwrap_or(Err(mailstore::Error::ShuttingDown))? {
        Outcome::Stored(id) => Ok(id),
        // Without an import's key nothing is taken for one that is there already.
        Outcome::AlreadyImported => Err(mailstore::Error::ShuttingDown),
    }
}

/// The UIDs of messages that were just stored, as a set (RFC 4315 §3).
async fn uids(login: &MailLogin, mailbox_id: MailboxId, ids: &[MessageId]) -> Option<String> {
    let mut set = BytesMut::new();
    let mut uids = Vec::with_capacity(ids.len());
    for id in ids {
        match message::stored(&login.ctx, mailbox_id, *id).await {
            Ok(message) => uids.push(u32::try_from(message.uid).ok()?),
            Err(error) => {
                // They are there, whatever comes of the look at their numbers: told otherwise, the client would put them there again.
                tracing::warn!(
                    error = kernel::error::chain(&error),
                    "the UID of a message that was stored is not known"
                );
                return None;
            }
        }
    }
    write::set(&mut set, uids.into_iter().map(|uid| uid..=uid));
    Some(String::from_utf8_lossy(&set).into_owned())
}
