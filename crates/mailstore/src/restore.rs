//! Putting back what was in mailboxes at a moment: in its place, or beside what is there now.
//!
//! A restore is asked for, noted as an operation, and done by whichever worker takes it ([`claim`]), in batches of some hundred messages, each a
//! transaction that notes how far it is: whoever goes on after a stop does nothing twice. What there was is told by the journal
//! ([`Pasts`]). Bodies are those that are there: what is deleted stays recoverable for a time, and what was destroyed does not come back.
//!
//! In place, each message that was there is again where it was and marked as it was; what came since stays. One that is in its folder keeps its
//! UID; one that returns to it gets a new, higher UID (RFC 9051 §2.3.1.1), and keeps its id, UIDL and date. Beside, copies go into a folder
//! of their own.

mod batch;
mod folders;
mod past;
mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{FolderId, MailboxId, MessageId, OperationId, TenantId, named};
use serde_json::json;
use tenancy::operation::{self, Operation, Step};
use tenancy::{Action, Ctx, event, quota, tenant};

use crate::Error;

pub use batch::put_back;
pub use past::{Past, Pasts};

/// How long a worker has a restore in hand without anything of it done.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How long it rests after the first failure; twice as long after each further one, up to the lease.
const REST: TimeDelta = TimeDelta::seconds(2);
/// How many restores a tenant has under way at most.
const MAX_UNDER_WAY: i64 = 20;
/// How often it is taken in hand with nothing of it done.
const MAX_ATTEMPTS: i32 = 20;

named! {
    /// Where what was there goes.
    Place {
        /// Where it was.
        InPlace = "in_place",
        /// Into a folder of its own, as copies.
        Beside = "beside",
    }
}

/// How much of a tenant's mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Every mailbox that there is now and that was not deleted.
    Tenant,
    /// A mailbox.
    Mailbox(MailboxId),
    /// A folder that a mailbox had, with what lay below it.
    Folder(MailboxId, FolderId),
    /// A message that a mailbox had.
    Message(MailboxId, MessageId),
}

impl Extent {
    fn mailbox(self) -> Option<MailboxId> {
        match self {
            Self::Tenant => None,
            Self::Mailbox(id) | Self::Folder(id, _) | Self::Message(id, _) => Some(id),
        }
    }

    /// The folder, or the message, that it is no more than.
    fn part(self) -> (Option<FolderId>, Option<MessageId>) {
        match self {
            Self::Tenant | Self::Mailbox(_) => (None, None),
            Self::Folder(_, id) => (Some(id), None),
            Self::Message(_, id) => (None, Some(id)),
        }
    }
}

/// A restore to begin.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The moment.
    pub at: DateTime<Utc>,
    /// Where what was there goes.
    pub place: Place,
    /// How much.
    pub extent: Extent,
}

/// A restore that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Restore {
    /// Whose.
    pub tenant_id: TenantId,
    /// Its operation's.
    pub id: OperationId,
    /// The moment.
    pub at: DateTime<Utc>,
    place: Place,
    folder_id: Option<FolderId>,
    message_id: Option<MessageId>,
    attempts: i32,
}

impl Restore {
    /// Whether it was taken in hand so often, and nothing done, that whoever has it is likely to end as the others did.
    pub fn is_given_up(&self) -> bool {
        self.attempts > MAX_ATTEMPTS
    }
}

/// What came of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    returned: i32,
    moved: i32,
    flagged: i32,
    copied: i32,
    /// Whose body was destroyed since.
    lost: i32,
    over_quota: i32,
}

/// Begins a restore; the operation by which to follow it. `earliest`: how far back the journal goes.
///
/// # Errors
/// `Forbidden` by role, [`Error::NotFound`] for a mailbox that is not this tenant's or was deleted, [`Error::RestoreUnderWay`], `Invalid` for a
/// moment that the journal does not have.
pub async fn request(ctx: &Ctx, wanted: Wanted, earliest: Option<DateTime<Utc>>) -> Result<Operation, Error> {
    match wanted.extent.mailbox() {
        Some(mailbox_id) => ctx.require_mailbox(Action::RestoreWrite, mailbox_id)?,
        None => ctx.require(Action::MailboxWrite)?,
    }
    check_moment(wanted.at, ctx.env().now(), earliest)?;
    let mut tx = ctx.begin().await?;
    let (kind, noted, subject) = match wanted.extent.mailbox() {
        Some(id) if quota::exists(&mut tx, id).await? => {
            ("mailbox.restore", event::Kind::MailboxRestoreRequested, id.to_string())
        }
        Some(_) => return Err(Error::NotFound),
        None => ("tenant.restore", event::Kind::TenantRestoreRequested, ctx.tenant_id().to_string()),
    };
    // Of two at once one is first.
    tenant::lock(&mut tx).await?;
    if store::is_under_way(&mut tx, wanted.extent.mailbox(), MAX_UNDER_WAY).await? {
        return Err(Error::RestoreUnderWay);
    }
    let operation = operation::begin(&mut tx, ctx, kind, &subject).await?;
    store::insert(&mut tx, operation.id, &wanted, operation.created_at).await?;
    let (folder_id, message_id) = wanted.extent.part();
    let data = json!({"operation_id": operation.id, "at": wanted.at, "mode": wanted.place.as_str(),
        "folder_id": folder_id, "message_id": message_id});
    event::record(&mut tx, ctx, noted, subject, data).await?;
    tx.commit().await?;
    Ok(operation)
}

fn check_moment(
    at: DateTime<Utc>,
    now: DateTime<Utc>,
    earliest: Option<DateTime<Utc>>,
) -> Result<(), tenancy::Error> {
    if at > now {
        return Err(tenancy::Error::invalid("/at", "must not be in the future"));
    }
    match earliest {
        Some(earliest) if earliest <= at => Ok(()),
        Some(earliest) => {
            let earliest = earliest.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            Err(tenancy::Error::invalid(
                "/at",
                format!("must not be before {earliest}: nothing is known of that time"),
            ))
        }
        None => Err(tenancy::Error::invalid(
            "/at",
            "nothing is known of any moment yet: the journal is only beginning",
        )),
    }
}

/// Takes a restore in hand that nobody has; `None` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn claim(db: &Db) -> Result<Option<Restore>, Error> {
    let now = db.env().now();
    let mut tx = system(db).await?;
    let restore = store::claim(&mut tx, now, now + LEASE).await?;
    tx.commit().await?;
    Ok(restore)
}

/// The mailboxes of a restore that are not finished, with about how many messages each has.
///
/// # Errors
/// When the database fails.
pub async fn mailboxes(ctx: &Ctx, restore: &Restore) -> Result<Vec<(MailboxId, u64)>, Error> {
    Ok(store::mailboxes(&mut *ctx.read().await?, restore.id).await?)
}

/// Goes on having a restore in hand.
///
/// # Errors
/// When the database fails.
pub async fn keep(ctx: &Ctx, restore: &Restore) -> Result<(), Error> {
    let mut tx = ctx.begin().await?;
    store::rest(&mut tx, restore.id, ctx.env().now() + LEASE).await?;
    Ok(tx.commit().await?)
}

/// Lets a restore rest that could not be begun, as if nobody had tried.
///
/// # Errors
/// When the database fails.
pub async fn put_off(db: &Db, restore: &Restore) -> Result<(), Error> {
    put_off_until(db, restore, db.env().now() + LEASE).await
}

/// Lets go of a restore that is to be gone on with elsewhere: whoever looks for one next takes it in hand.
///
/// # Errors
/// When the database fails.
pub async fn hand_over(db: &Db, restore: &Restore) -> Result<(), Error> {
    put_off_until(db, restore, db.env().now()).await
}

async fn put_off_until(db: &Db, restore: &Restore, until: DateTime<Utc>) -> Result<(), Error> {
    let mut tx = system(db).await?;
    store::put_off(&mut tx, restore, until).await?;
    Ok(tx.commit().await?)
}

/// Notes that a mailbox cannot be restored further, and why. What was done stays.
///
/// # Errors
/// When the database fails.
pub async fn give_up_mailbox(
    ctx: &Ctx,
    restore: &Restore,
    mailbox_id: MailboxId,
    code: &str,
) -> Result<(), Error> {
    let mut tx = ctx.begin().await?;
    store::give_up_mailbox(&mut tx, restore.id, mailbox_id, Some(code)).await?;
    Ok(tx.commit().await?)
}

/// Notes that a restore is done, or has failed if it was given up in a mailbox.
///
/// # Errors
/// When the database fails.
pub async fn finish(ctx: &Ctx, restore: &Restore) -> Result<(), Error> {
    end(ctx, restore, None).await
}

/// What becomes of a restore that something went wrong with: it rests, if that may pass, or has failed; what was done stays.
///
/// # Errors
/// When the database fails.
pub async fn stop(ctx: &Ctx, restore: &Restore, code: &str, may_pass: bool) -> Result<(), Error> {
    let mut tx = ctx.begin().await?;
    // Since something of it was done.
    let attempts = store::attempts(&mut tx, restore.id).await?;
    if !may_pass || attempts >= MAX_ATTEMPTS {
        drop(tx);
        return end(ctx, restore, Some(code)).await;
    }
    let doublings = attempts.clamp(1, 16) - 1;
    let rest = (REST * 2_i32.pow(doublings.unsigned_abs())).min(LEASE);
    store::rest(&mut tx, restore.id, ctx.env().now() + rest).await?;
    Ok(tx.commit().await?)
}

async fn end(ctx: &Ctx, restore: &Restore, problem: Option<&str>) -> Result<(), Error> {
    let mut tx = ctx.begin().await?;
    let (counts, given_up) = store::counts(&mut tx, restore.id).await?;
    let problem = problem.map(str::to_owned).or(given_up);
    let steps = [
        ("messages_returned", counts.returned),
        ("messages_moved", counts.moved),
        ("messages_flagged", counts.flagged),
        ("messages_copied", counts.copied),
        ("messages_lost", counts.lost),
        ("messages_over_quota", counts.over_quota),
    ];
    let step = |name: &str, outcome: String| Step { name: name.to_owned(), outcome };
    let steps = steps.into_iter().map(|(name, count)| step(name, count.to_string()));
    let has_succeeded = problem.is_none();
    let steps = steps.chain(problem.map(|code| step("problem", code))).collect();
    if store::delete(&mut tx, restore.id).await? {
        operation::finish(&mut tx, ctx, restore.id, has_succeeded, steps).await?;
    }
    Ok(tx.commit().await?)
}

#[expect(clippy::disallowed_methods, reason = "the queue is of all tenants")]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
