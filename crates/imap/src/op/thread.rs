//! THREAD (RFC 5256 §3).

use super::{headers, search};
use crate::codec::command::{Thread, ThreadAlgorithm};
use crate::order::subject;
use crate::order::thread::{self, Mail};
use crate::session::{Answer, Session};
use crate::status::Status;

/// About how much memory a message takes while threads are made.
const MEMORY_BYTES: u64 = 1 << 10;

pub(crate) async fn run(session: &mut Session, command: &Thread) -> Answer {
    let uids = search::find(session, Some(&command.charset), &command.key).await?;
    let _room = session.room_for(uids.len() as u64 * MEMORY_BYTES).await?;
    let mut mails = Vec::with_capacity(uids.len());
    headers::each(session, &uids, |found| {
        let number = session.selected()?.name_of(found.uid, command.by_uid);
        let sent_at = headers::sent_at(&found);
        let parsed = found.parsed;
        mails.extend(number.map(|number| Mail {
            number,
            sent_at,
            subject: subject::base_subject(parsed.subject.as_deref().unwrap_or_default()),
            message_id: parsed.message_id,
            references: match parsed.references.is_empty() {
                true => parsed.in_reply_to.into_iter().take(1).collect(),
                false => parsed.references,
            },
        }));
        Ok(())
    })
    .await?;
    let algorithm = command.algorithm;
    let work = move || {
        let forest = match algorithm {
            ThreadAlgorithm::OrderedSubject => thread::ordered_subject(&mails),
            ThreadAlgorithm::References => thread::references(&mails),
        };
        forest.to_string()
    };
    let threads = tokio::task::spawn_blocking(work).await.map_err(|_| mailstore::Error::ShuttingDown)?;
    let space = if threads.is_empty() { "" } else { " " };
    session.connection.untagged(&format!("THREAD{space}{threads}"));
    session.connection.spill().await?;
    Ok(Status::ok("that is all"))
}
