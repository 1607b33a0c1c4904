//! THREAD (RFC 5256 §3).

use mailstore::view::Said;

use super::{headers, search};
use crate::codec::command::{Thread, ThreadAlgorithm};
use crate::order::thread::{self, Mail};
use crate::session::{Answer, Session};
use crate::status::Status;

/// About how much memory a message takes while threads are made.
const MEMORY_BYTES: u64 = 1 << 10;
/// How many of a message's references are looked at.
const MAX_REFERENCES: usize = 20;
/// What threads are made of.
const SAID: [Said; 5] = [Said::Subject, Said::Date, Said::MessageId, Said::InReplyTo, Said::References];

pub(crate) async fn run(session: &mut Session, command: &Thread) -> Answer {
    let uids = search::find(session, Some(&command.charset), &command.key).await?;
    let room = session.room_for(uids.len() as u64 * MEMORY_BYTES).await?;
    let mut mails = Vec::with_capacity(uids.len());
    headers::each(session, &uids, &SAID, |session, found| {
        let number = session.selected()?.name_of(found.uid, command.by_uid);
        let sent_at = headers::sent_at(&found);
        let subject = headers::base_subject(&found);
        let parsed = found.parsed;
        // RFC 5256 §3, step 1: where no reference is an id, the first that it is in reply to. Without an @ it is none, but some make such ids.
        let are_ids = |ids: &[String]| ids.iter().any(|id| id.contains('@'));
        let (references, first) = (&parsed.references, parsed.in_reply_to.get(..1).unwrap_or_default());
        let answers = if references.is_empty() || (are_ids(first) && !are_ids(references)) {
            first
        } else {
            // The last of them are the nearest.
            references.get(references.len().saturating_sub(MAX_REFERENCES)..).unwrap_or_default()
        };
        let references = answers.iter().map(|id| thread::id(id)).collect();
        mails.extend(number.map(|number| Mail {
            number,
            sent_at,
            subject,
            message_id: parsed.message_id.as_deref().map(thread::id),
            references,
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
    // Who takes it slowly does not keep the room from others.
    drop(room);
    let space = if threads.is_empty() { "" } else { " " };
    // Who searches by modification sequence hears of them from then on, as after SEARCH (RFC 7162 §3.1), but of none here (§3.1.9).
    if search::asks_for_modseq(&command.key) {
        session.enable_condstore();
    }
    session.connection.queue(format!("* THREAD{space}{threads}\r\n").as_bytes()).await?;
    Ok(Status::ok("that is all"))
}
