//! The queue: what is due, who has it in hand, and what came of it.
//!
//! Whoever claims recipients of a message has them to themselves until their lease ends, so that nobody is sent it by two at once; who does not
//! come back leaves them to the next. What came of it is noted, its sender told, and the message closed when nobody is left, in one transaction.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{BlobId, MailboxId, OutgoingId, TenantId};
use mailstore::parcel::Parcel;
use relay::Reply;
use tenancy::Ctx;
use uuid::Uuid;

use crate::outgoing::{self, NewMessage, Notify, Returned};
use crate::{Error, schedule};

/// For how long recipients are claimed who are sent it by another server: longer than an attempt may take.
pub const LEASE: TimeDelta = TimeDelta::minutes(20);
/// The same of mailboxes of this installation, which have a message once however often it is tried.
pub const LEASE_AT_HOME: TimeDelta = TimeDelta::minutes(2);

/// How many messages are under way to one domain at a time.
const PER_DESTINATION: i64 = 20;
/// When what may not be sent, being held or somebody's who is suspended, is looked at again.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(10);
/// What is this much older than when it was to be given up is not sent any more.
const STALE_AFTER: TimeDelta = TimeDelta::days(1);

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To mailboxes of this installation.
    Home,
    /// To all others.
    Out,
}

/// Recipients of a message in one destination, which nobody else sends it to before the lease ends.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose message it is.
    pub tenant_id: TenantId,
    /// The message.
    pub id: OutgoingId,
    /// Their domain; empty for mailboxes of this installation.
    pub destination: String,
    /// Who they are; one at least.
    pub recipients: Vec<Claimed>,
    pub(crate) lease: Uuid,
    pub(crate) leased_until: DateTime<Utc>,
    pub(crate) message: Message,
}

/// One of the recipients.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The address.
    pub address: String,
    pub(crate) ordinal: i32,
    pub(crate) notify: Option<Vec<Notify>>,
    pub(crate) original: Option<String>,
    /// This attempt included.
    pub(crate) attempts: i32,
    pub(crate) is_delay_told: bool,
}

/// What a message is sent with.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) mailbox_id: MailboxId,
    pub(crate) sender: String,
    pub(crate) blob_id: BlobId,
    pub(crate) size_bytes: u64,
    pub(crate) is_8bit: bool,
    pub(crate) is_utf8: bool,
    pub(crate) envelope_id: Option<String>,
    pub(crate) returned: Option<Returned>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) give_up_at: DateTime<Utc>,
}

/// What an attempt came to, for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Their server, or the smarthost, has taken it; it tells the sender itself of what becomes of it, if it was asked to.
    Delivered { reply: Reply, is_told_of: bool },
    /// It may work later.
    Later(Reply),
    /// It will not work.
    Failed(Reply),
    /// Nothing was tried: the way out, or what we need ourselves, is not there. It is no fault of theirs.
    Untried { wait: TimeDelta },
}

/// What is noted of a recipient.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) ordinal: i32,
    pub(crate) state: &'static str,
    pub(crate) next_attempt_at: Option<DateTime<Utc>>,
    /// Whether the attempt counts.
    pub(crate) is_tried: bool,
    /// Whether its sender is told now that it takes long.
    pub(crate) tells_delay: bool,
    pub(crate) reply: Option<Reply>,
}

/// What to make of an outcome.
pub(crate) fn note(
    claim: &Claim,
    one: &Claimed,
    outcome: &Outcome,
    now: DateTime<Utc>,
    random: [u8; 4],
) -> Note {
    let next = |reply, next_attempt_at| Note {
        ordinal: one.ordinal,
        state: "queued",
        next_attempt_at: Some(next_attempt_at),
        is_tried: true,
        tells_delay: false,
        reply,
    };
    let end = |state, reply: &Reply| Note { state, next_attempt_at: None, ..next(Some(reply.clone()), now) };
    // RFC 3463 §3.5: X.4.7, delivery time expired.
    let expired = |mut reply: Reply| {
        reply.status = Some((5, 4, 7));
        end("failed", &reply)
    };
    let is_over = now >= claim.message.give_up_at;
    match outcome {
        Outcome::Delivered { reply, .. } => end("delivered", reply),
        Outcome::Failed(reply) => end("failed", reply),
        Outcome::Later(reply) if is_over => expired(reply.clone()),
        Outcome::Untried { .. } if is_over => {
            Note { is_tried: false, ..expired(Reply::ours(451, (4, 4, 1), "no way out was found in time")) }
        }
        Outcome::Later(reply) => {
            let wait = schedule::next_attempt(one.attempts.unsigned_abs(), random);
            next(Some(reply.clone()), (now + wait).min(claim.message.give_up_at))
        }
        Outcome::Untried { wait } => Note { is_tried: false, ..next(None, now + *wait) },
    }
}

impl Claim {
    /// Whether it has waited for so long that nobody wants it any more.
    pub(crate) fn is_stale(&self, now: DateTime<Utc>) -> bool {
        now > self.message.give_up_at + STALE_AFTER
    }
}

/// Takes up to `limit` of what is due, few of any one domain, and of each tenant about as many. Each counts as an attempt.
/// What belongs to a tenant or user who may not send, and what is held, is left for some minutes.
///
/// # Errors
/// When the database fails.
pub async fn claim(db: &Db, limit: usize, way: Way) -> Result<Vec<Claim>, Error> {
    let (now, lease) = (db.env().now(), db.env().new_uuid());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (leased_until, per_destination) = match way {
        Way::Home => (now + LEASE_AT_HOME, limit),
        Way::Out => (now + LEASE, PER_DESTINATION),
    };
    let again_at = now + LOOK_AGAIN;
    let mut tx = system(db).await?;
    let ask = store::Ask { now, lease, leased_until, again_at, limit, way, per_destination };
    let claims = store::claim(&mut tx, ask).await?;
    tx.commit().await?;
    Ok(claims)
}

/// A notification that goes into the queue with what it tells of.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) parcel: Parcel,
    pub(crate) message: NewMessage,
}

/// Notes what came of a claim; nothing if the lease has passed to another, or the recipients were taken out of the queue. Whether it was noted.
pub(crate) async fn settle(
    ctx: &Ctx,
    claim: &Claim,
    notes: &[Note],
    notice: Option<&Notice>,
) -> Result<bool, Error> {
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    outgoing::lock(&mut tx, claim.id).await?;
    if store::settle(&mut tx, claim, notes, now).await? == 0 {
        return Ok(false);
    }
    if let Some(Notice { parcel, message }) = notice {
        parcel.enter(&mut tx, now).await?;
        outgoing::insert(&mut tx, message, parcel).await?;
    }
    outgoing::close(&mut tx, claim.id, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// How much waits, for the metrics: how many recipients, and for how many seconds the first of those that are due.
///
/// # Errors
/// When the database fails.
pub async fn depth(db: &Db) -> Result<(i64, f64), Error> {
    Ok(store::depth(&mut system(db).await?, db.env().now()).await?)
}

#[expect(clippy::disallowed_methods, reason = "what is due is looked for across tenants")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
