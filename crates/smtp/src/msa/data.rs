//! DATA: the message, and whether it was accepted for all its recipients.

use bytes::Bytes;
use kernel::MailboxId;
use socket::room::{NoRoom, Room};
use submission::limit::LimitLevel;
use submission::{Envelope, Error, Secured};
use tokio::time::Instant;

use super::limits::Limits;
use super::session::{End, Login, Session, Transaction};
use crate::codec::path::ReversePath;
use crate::intake::{Intake, Refusal, first_bytes, most_bytes};
use crate::reply::{Reply, is_ours};

/// How often a message is in memory once more when all of it has come: mended, and sealed.
const COPIES: u64 = 2;

/// Room for messages, in which each mailbox has its share: what two of the largest take, at least. That of copies is a room of its own: who waits for it
/// waits only for those who wait for nobody, however much is just coming.
#[derive(Debug)]
pub(super) struct Rooms {
    coming: Room<MailboxId>,
    copies: Room<MailboxId>,
}

impl Rooms {
    pub(super) fn new(limits: &Limits) -> Self {
        let share_bytes = COPIES * most_bytes(limits.message_bytes);
        let room = || Room::new((limits.bodies_in_flight_bytes / 2).max(share_bytes), share_bytes);
        Self { coming: room(), copies: room() }
    }
}

/// Takes the message in. An error ends the session: the message never ended, and nothing of it is kept.
pub(super) async fn data(session: &mut Session) -> Result<Reply, End> {
    // A transaction without recipients stays open, as RFC 5321 §4.1.4 has it for any command that fails.
    let ready = session.transaction.take_if(|transaction| !transaction.recipients.is_empty());
    let Some(transaction) = ready else {
        return refuse_early(session, Reply::out_of_sequence("no valid recipients")).await;
    };
    session.forgive();
    let mailbox_id = session.login.as_ref().map(|login| login.login.mailbox_id);
    let Some(mailbox_id) = mailbox_id else { return refuse_early(session, Reply::sign_in_first()).await };
    let turn = session.turns.take(mailbox_id);
    let Some(_turn) = turn else { return refuse_early(session, Reply::too_many_messages()).await };
    let (id, started, limits) = (transaction.id, Instant::now(), session.service.limits.clone());
    let wanted_bytes = first_bytes(transaction.mail.size_bytes);
    let room = match session.rooms.coming.take(mailbox_id, wanted_bytes, limits.body_wait).await {
        Ok(room) => room,
        Err(NoRoom) => {
            tracing::warn!(request.id = %id, "no room for a message");
            return refuse_early(session, Reply::no_room()).await;
        }
    };
    session.wire.reply(&Reply::start_data()).await?;
    let mut intake = Intake::new(Vec::new(), limits.message_bytes, (room, limits.body_wait));
    intake.receive(&mut session.wire, &limits.transfer).await?;
    let size_bytes = intake.body_bytes();
    let reply = match intake.finish() {
        // The room is given back when the message is durable.
        Ok((bytes, _room)) => {
            let copies_bytes = COPIES * bytes.len() as u64;
            match session.rooms.copies.take(mailbox_id, copies_bytes, limits.body_wait).await {
                Ok(_copies) => accept(session, transaction, bytes.into()).await,
                Err(NoRoom) => refuse(Refusal::NoRoom),
            }
        }
        Err(refusal) => refuse(refusal),
    };
    metrics::histogram!("pillarbox_submission_data_duration_seconds").record(started.elapsed().as_secs_f64());
    tracing::info!(request.id = %id, message.size_bytes = size_bytes, message.accepted = reply.is_positive(), "message submitted");
    Ok(reply)
}

/// Refuses DATA itself. A client that has sent its message before it heard of that would have it taken for commands, under its login: it has to go.
async fn refuse_early(session: &mut Session, reply: Reply) -> Result<Reply, End> {
    if !session.wire.has_input() {
        return Ok(reply);
    }
    session.wire.reply(&reply).await?;
    session.end("pipelined_past_data", &Reply::pipelined_past_data()).await
}

async fn accept(session: &Session, transaction: Transaction, message: Bytes) -> Reply {
    let Transaction { id, mail, recipients } = transaction;
    let Some(Login { login, .. }) = &session.login else { return Reply::sign_in_first() };
    // RFC 5322 has none, and readers differ in what they make of it.
    if message.contains(&0) {
        count("nul");
        return Reply::nul();
    }
    let sender = match &mail.from {
        ReversePath::Null => None,
        ReversePath::Mailbox(mailbox) => mailbox.address(),
    };
    let envelope = Envelope {
        sender,
        is_utf8: mail.is_utf8,
        envelope_id: mail.envelope_id,
        returned: mail.returned,
        recipients,
    };
    let secured = if session.wire.is_tls() { Secured::Tls } else { Secured::Plain };
    match session.service.submission.accept(login, envelope, message, secured, id).await {
        Ok(queued) => {
            count("accepted");
            Reply::accepted(queued)
        }
        Err(error) => {
            count(error.code());
            if let Error::SendingLimit { level, limit, period, .. } = &error {
                limited(*level).increment(1);
                let (mailbox, level) = (login.mailbox_id, level.as_str());
                tracing::warn!(request.id = %id, mailbox.id = %mailbox, limit.level = level, limit.recipients = limit, limit.period = period, "a sending limit was reached");
            }
            if is_ours(error.kind()) && !matches!(error, Error::NotYours(_) | Error::Malformed(_)) {
                tracing::error!(request.id = %id, error.cause = %kernel::error::chain(&error), "a message was not accepted");
            }
            Reply::not_accepted(&error, id)
        }
    }
}

fn refuse(refusal: Refusal) -> Reply {
    let (outcome, reply) = refusal.told();
    count(outcome);
    reply
}

fn limited(level: LimitLevel) -> metrics::Counter {
    metrics::counter!("pillarbox_sending_limited_total", "level" => level.as_str())
}

/// Limits that are reached are counted from the start: who looks for a rise sees the first one too.
pub(crate) fn begin_counts() {
    for level in LimitLevel::ALL {
        limited(*level).increment(0);
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("pillarbox_submission_messages_total", "outcome" => outcome).increment(1);
}
