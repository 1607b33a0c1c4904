//! DATA: the message, once for all its recipients, and a reply for each of them (RFC 2033 §4.2).

use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::RequestId;
use mailstore::ingest::{self, Incoming, Outcome, Target, Within};
use mailstore::message::Flags;
use socket::room::NoRoom;
use tenancy::recipient::Recipient;
use tokio::time::Instant;

use crate::codec::trace::Trace;
use crate::intake::{Intake, Refusal, first_bytes};
use crate::lmtp::Flow;
use crate::reply::{Reply, is_ours};
use crate::serve::{Lmtp, Server};
use crate::session::Session;
use crate::wire::Wire;

/// From so many bytes on, a message is looked through where it holds up no other session: nearly all of it may be header.
const LONG_BYTES: usize = 256 << 10;

/// Takes the message in and replies for each recipient. An error ends the session: the message never ended, and
/// nothing of it is kept.
pub(super) async fn data(
    server: &Server,
    session: &mut Session,
    wire: &mut Wire,
    peer: IpAddr,
) -> io::Result<Flow> {
    let service = &*server.service;
    let transaction = match session.take() {
        Ok(transaction) => transaction,
        Err(reply) => return Ok(Flow::Reply(reply)),
    };
    let (id, mail, started) = (transaction.id, &transaction.mail, Instant::now());
    let at = service.recipients.env().now();
    let trace = Trace {
        sender: &mail.from,
        client: &transaction.client,
        peer,
        hostname: &service.hostname,
        is_utf8: mail.is_utf8,
        id,
        at,
    }
    .render();

    let (limits, wanted_bytes) = (&service.limits, trace.len() as u64 + first_bytes(mail.size_bytes));
    let room = match server.room.take((), wanted_bytes, limits.body_wait).await {
        Ok(room) => room,
        Err(NoRoom) => {
            tracing::warn!(request.id = %id, "no room for a message");
            return Ok(Flow::Reply(Reply::no_room()));
        }
    };
    wire.reply(&Reply::start_data()).await?;
    let mut intake = Intake::new(trace.into_bytes(), limits.message_bytes, (room, limits.body_wait));
    intake.receive(wire, &limits.transfer).await?;

    let size_bytes = intake.body_bytes();
    let recipients = transaction.recipients;
    let replies = match intake.finish() {
        // The room is given back when the store is done with the bytes.
        Ok((bytes, _room)) => deliver(service, id, recipients, bytes.into(), at).await,
        Err(refusal) => refuse(&recipients, refusal),
    };
    metrics::counter!("pillarbox_lmtp_received_bytes_total").increment(size_bytes);
    metrics::histogram!("pillarbox_lmtp_data_duration_seconds").record(started.elapsed().as_secs_f64());
    tracing::info!(
        request.id = %id,
        message.size_bytes = size_bytes,
        recipients.count = replies.len(),
        recipients.stored = replies.iter().filter(|reply| reply.is_positive()).count(),
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "message taken in",
    );
    for reply in replies {
        wire.reply(&reply).await?;
    }
    Ok(Flow::Replied)
}

/// Stores the message for all recipients at once; one reply for each, in the order of their RCPT.
async fn deliver(
    service: &Lmtp,
    id: RequestId,
    recipients: Vec<Recipient>,
    bytes: Bytes,
    at: DateTime<Utc>,
) -> Vec<Reply> {
    let folder = place(service, &bytes).await;
    let target = |to: &Recipient, mailbox_id| Target {
        ctx: to.ctx.clone(),
        mailbox_id,
        folder,
        room_bytes: to.room_bytes,
    };
    let targets = recipients.iter().flat_map(|to| to.mailbox_ids.iter().map(|&id| target(to, id)));
    let incoming = Incoming { bytes, internal_date: at, flags: Flags::default(), import_key: None };
    let results = ingest::ingest(&service.store, targets.collect(), incoming).await;
    for result in &results {
        count(result.as_ref().map_or_else(mailstore::Error::code, |_| "stored"));
        if let Err(error) = result
            && is_ours(error.kind())
        {
            tracing::error!(request.id = %id, error.cause = %kernel::error::chain(error), "delivery failed");
        }
    }
    let mut rest = results.as_slice();
    let replies = recipients.iter().map(|to| {
        let (own, others) = rest.split_at(to.mailbox_ids.len().min(rest.len()));
        rest = others;
        reply_to(own, id)
    });
    replies.collect()
}

/// Which folder a message goes into.
async fn place(service: &Lmtp, bytes: &Bytes) -> Within {
    let Some(mark) = &service.spam_mark else { return Within::Inbox };
    let is_spam = match bytes.len() < LONG_BYTES {
        true => mark.is_on(bytes),
        false => {
            let (mark, bytes) = (mark.clone(), bytes.clone());
            // Without an answer the process is shutting down, and the store takes nothing either.
            tokio::task::spawn_blocking(move || mark.is_on(&bytes)).await.unwrap_or_default()
        }
    };
    if is_spam { Within::Junk } else { Within::Inbox }
}

/// What a recipient is told. Of a group's mailboxes, the one that it went worst for decides, a passing trouble before a
/// lasting one: whoever sent the message learns that not all have it, and sends it again or tells its author. A mailbox
/// that was deleted meanwhile is a member no more.
fn reply_to(results: &[Result<Outcome, mailstore::Error>], id: RequestId) -> Reply {
    let is_gone =
        |result: &&Result<Outcome, mailstore::Error>| matches!(result, Err(mailstore::Error::MailboxGone));
    let there = results.iter().filter(|result| !is_gone(result)).collect::<Vec<_>>();
    let replies = there.iter().map(|result| Reply::delivery(result, id));
    let failed = there.iter().filter(|result| result.is_err()).count();
    match replies.max_by_key(Reply::severity) {
        None => Reply::no_such_mailbox(),
        Some(reply) if failed > 0 && results.len() > 1 => reply.of_group(failed, there.len()),
        Some(reply) => reply,
    }
}

/// The same refusal for each recipient.
fn refuse(recipients: &[Recipient], refusal: Refusal) -> Vec<Reply> {
    let (outcome, reply) = refusal.told();
    recipients.iter().map(|_| count(outcome)).map(|()| reply.clone()).collect()
}

fn count(outcome: &'static str) {
    deliveries(outcome).increment(1);
}

fn deliveries(outcome: &'static str) -> metrics::Counter {
    metrics::counter!("pillarbox_lmtp_deliveries_total", "outcome" => outcome)
}

/// What deliveries come to is counted from the start: who looks for a rise sees the first one too.
pub(crate) fn begin_counts() {
    for outcome in
        ["stored", "quota_exceeded", "unavailable", "internal", "too_large", "no_room", "bare_line_end"]
    {
        deliveries(outcome).increment(0);
    }
}
