//! Messages on their way out, as their senders and administrators see and steer them.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::SystemTx;
use kernel::{DomainName, MailboxId, OutgoingId, Page, PageRequest, RequestId, TenantId, UserId, named};
use mailstore::parcel;
use serde_json::json;
use tenancy::{Action, Caller, Ctx, Scope, TenantTx, event};

use crate::Error;

pub(crate) use store::{forget_body, insert, lock, sending};

/// How much longer a message is tried that somebody has sent again.
const RETRIED_FOR: TimeDelta = TimeDelta::days(1);

named! {
    /// Of what a sender wants to be told (RFC 3461 §4.1).
    Notify {
        /// Of nothing.
        Never = "never",
        /// That it was delivered.
        Success = "success",
        /// That it was not.
        Failure = "failure",
        /// That it takes long.
        Delay = "delay",
    }
}

named! {
    /// How much of a message comes back with the news of its failure (RFC 3461 §4.3).
    Returned {
        /// All of it.
        Full = "full",
        /// Its header.
        Headers = "headers",
    }
}

named! {
    /// How far a message is on its way to one recipient.
    State {
        /// It is sent when its time has come.
        Queued = "queued",
        /// It is being sent at this moment.
        Delivering = "delivering",
        /// Somebody holds it back.
        Held = "held",
        /// Its server, or the smarthost, has taken it.
        Delivered = "delivered",
        /// It was refused or given up, and its sender was told.
        Failed = "failed",
        /// Somebody took it out of the queue.
        Dropped = "dropped",
    }
}

impl State {
    /// Whether only a message that somebody is still to be sent has a recipient in this state.
    fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Delivering | Self::Held)
    }
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The reply code (RFC 5321 §4.2).
    pub code: u16,
    /// The enhanced status code (RFC 3463), if it came with one.
    pub status: Option<String>,
    /// Its text, on one line.
    pub text: String,
}

/// A message on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Whose mailbox sent it.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: OutgoingId,
    /// The mailbox that sent it, or that a notification is for.
    pub mailbox_id: MailboxId,
    /// Who sent it; `None` for a notification.
    pub user_id: Option<UserId>,
    /// The reverse path; empty for a notification.
    pub sender: String,
    /// Its Message-ID, without brackets.
    pub message_id: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Since when it is held back.
    pub held_at: Option<DateTime<Utc>>,
    /// Why it is held back.
    pub hold_reason: Option<String>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it is given up.
    pub give_up_at: DateTime<Utc>,
    /// Since when nobody is left to be sent it.
    pub closed_at: Option<DateTime<Utc>>,
    /// Counts its changes by callers.
    pub version: i64,
    /// Whom it is for.
    pub recipients: Vec<Recipient>,
}

/// One of those a message is for.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The how-manieth, from 0.
    pub ordinal: i32,
    /// The address.
    pub address: String,
    /// The domain that it goes out to; `None` for a mailbox of this installation.
    pub domain: Option<String>,
    /// How far it is.
    pub state: State,
    /// How many attempts were begun.
    pub attempts: i32,
    /// When the next one is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When the last one ended.
    pub attempted_at: Option<DateTime<Utc>>,
    /// What came of it.
    pub reply: Option<Reply>,
    /// Who said so.
    pub remote: Option<String>,
}

/// How far a message is to one recipient, by what its rows say.
pub(crate) fn state(stored: &str, is_leased: bool, is_held: bool) -> State {
    match stored.parse().unwrap_or(State::Failed) {
        State::Queued if is_leased => State::Delivering,
        State::Queued if is_held => State::Held,
        state => state,
    }
}

const NOTHING: Page<Outgoing> = Page { items: Vec::new(), next: None };

/// A message to be queued.
#[derive(Debug)]
pub(crate) struct NewMessage {
    pub(crate) id: OutgoingId,
    pub(crate) mailbox_id: MailboxId,
    pub(crate) user_id: Option<UserId>,
    pub(crate) sender: String,
    pub(crate) message_id: String,
    pub(crate) is_8bit: bool,
    pub(crate) is_utf8: bool,
    pub(crate) envelope_id: Option<String>,
    pub(crate) returned: Option<Returned>,
    pub(crate) request_id: RequestId,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) give_up_at: DateTime<Utc>,
    pub(crate) recipients: Vec<NewRecipient>,
}

/// One of those it is for.
#[derive(Debug)]
pub(crate) struct NewRecipient {
    pub(crate) address: String,
    /// Empty for one of ours.
    pub(crate) destination: String,
    pub(crate) notify: Option<Vec<Notify>>,
    pub(crate) original: Option<String>,
}

impl From<crate::Addressee> for NewRecipient {
    fn from(one: crate::Addressee) -> Self {
        let crate::Addressee { address, domain, notify, original } = one;
        Self { address, destination: domain.unwrap_or_default(), notify, original }
    }
}

/// Which messages are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this mailbox.
    pub mailbox_id: Option<MailboxId>,
    /// Those with a recipient in this state.
    pub state: Option<State>,
    /// Those with a recipient in this domain, in whatever form.
    pub domain: Option<String>,
}

impl Filter {
    /// The same with its domain as rows have it; `None` for what is no domain: that has no mail.
    fn read(self) -> Option<Self> {
        let domain = self.domain.map(|domain| domain.parse::<DomainName>()).transpose().ok()?;
        Some(Self { domain: domain.map(|domain| domain.as_str().to_owned()), ..self })
    }
}

/// A tenant's messages on their way out, in the order of their ids; those of people who see their own mailbox alone are theirs.
///
/// # Errors
/// As [`get`].
pub async fn list(ctx: &Ctx, filter: Filter, page: PageRequest) -> Result<Page<Outgoing>, Error> {
    ctx.require(Action::OutgoingRead)?;
    let mailboxes = match (ctx.own_mailbox(), filter.mailbox_id) {
        (Some(own), Some(asked)) if own != asked => return Err(Error::NotFound),
        (own, asked) => own.or(asked),
    };
    let Some(filter) = (Filter { mailbox_id: mailboxes, ..filter }).read() else { return Ok(NOTHING) };
    let mut tx = ctx.read().await?;
    let rows = store::list(&mut tx, &filter, &page, ctx.env().now()).await?;
    Ok(Page::cut(rows, &page, |outgoing| outgoing.id.uuid()))
}

/// Messages on their way out of all tenants that the caller sees, as [`list`] has them.
///
/// # Errors
/// `Forbidden` by role; else when the database fails.
pub async fn list_all(caller: &Caller, filter: Filter, page: PageRequest) -> Result<Page<Outgoing>, Error> {
    caller.require(Action::OutgoingRead)?;
    let reseller = match caller.scope() {
        Scope::Operator => None,
        Scope::Reseller(id) => Some(id),
        Scope::Tenant(id) => return list(&caller.enter(id).await?, filter, page).await,
    };
    let Some(filter) = filter.read() else { return Ok(NOTHING) };
    #[expect(clippy::disallowed_methods, reason = "the messages of all tenants below the caller are meant")]
    let mut tx = SystemTx::begin(caller.db()).await?;
    let rows = store::list_all(&mut tx, reseller, &filter, &page, caller.db().env().now()).await?;
    Ok(Page::cut(rows, &page, |outgoing| outgoing.id.uuid()))
}

/// One of a tenant's messages on their way out.
///
/// # Errors
/// [`Error::NotFound`]; it is forgotten some days after nobody is left to be sent it.
pub async fn get(ctx: &Ctx, id: OutgoingId) -> Result<Outgoing, Error> {
    ctx.require(Action::OutgoingRead)?;
    let mut tx = ctx.read().await?;
    find(&mut tx, ctx, id).await
}

async fn find(tx: &mut TenantTx, ctx: &Ctx, id: OutgoingId) -> Result<Outgoing, Error> {
    let found = store::find(tx, id, ctx.env().now()).await?.ok_or(Error::NotFound)?;
    match ctx.own_mailbox() {
        Some(own) if own != found.mailbox_id => Err(Error::NotFound),
        _ => Ok(found),
    }
}

/// Locks a message to change it, if the caller may and it is still in the version that they have seen.
async fn open(tx: &mut TenantTx, ctx: &Ctx, id: OutgoingId, version: Option<i64>) -> Result<Outgoing, Error> {
    ctx.require(Action::OutgoingWrite)?;
    store::lock(tx, id).await?;
    let found = find(tx, ctx, id).await?;
    tenancy::require_version(version, found.version)?;
    Ok(found)
}

/// Who may be a thief with somebody's password holds nothing, and lets nothing go that was held for that.
fn require_administrator(ctx: &Ctx) -> Result<(), Error> {
    match ctx.own_mailbox() {
        None => Ok(()),
        Some(_) => Err(tenancy::Error::Forbidden(Action::OutgoingWrite.as_str()).into()),
    }
}

/// Holds a message back: what has not begun to be sent is not, until it is released.
///
/// # Errors
/// As [`get`]; [`Error::State`] when nobody is left to be sent it; [`tenancy::Error::Invalid`] for a reason that is none;
/// [`tenancy::Error::Forbidden`] for people without a role above `user`.
pub async fn hold(ctx: &Ctx, id: OutgoingId, reason: &str, version: Option<i64>) -> Result<Outgoing, Error> {
    require_administrator(ctx)?;
    let mut checks = kernel::error::Checks::default();
    checks.name(reason, 200, "/reason");
    let mut tx = ctx.begin().await?;
    let found = open(&mut tx, ctx, id, version).await?;
    checks.done().map_err(tenancy::Error::Invalid)?;
    if found.closed_at.is_some() {
        return Err(Error::State("sent to nobody any more"));
    }
    store::set_hold(&mut tx, id, Some((ctx.env().now(), reason))).await?;
    done(tx, ctx, event::Kind::OutgoingHeld, id, json!({"reason": reason})).await
}

/// Lets a message go on that is held back: now, and for a day more at least.
///
/// # Errors
/// As [`get`]; [`tenancy::Error::Forbidden`] for people without a role above `user`.
pub async fn release(ctx: &Ctx, id: OutgoingId, version: Option<i64>) -> Result<Outgoing, Error> {
    require_administrator(ctx)?;
    let mut tx = ctx.begin().await?;
    let found = open(&mut tx, ctx, id, version).await?;
    if found.held_at.is_none() {
        return Ok(found);
    }
    let now = ctx.env().now();
    store::set_hold(&mut tx, id, None).await?;
    store::make_due(&mut tx, id, now, found.give_up_at.max(now + RETRIED_FOR), false).await?;
    done(tx, ctx, event::Kind::OutgoingReleased, id, json!({})).await
}

/// Sends a message again to those whom it has not reached: now, and for a day more at least.
///
/// # Errors
/// As [`get`]; [`Error::State`] when it has reached all; [`Error::BodyGone`] when it is not kept any more.
pub async fn retry(ctx: &Ctx, id: OutgoingId, version: Option<i64>) -> Result<Outgoing, Error> {
    let mut tx = ctx.begin().await?;
    let found = open(&mut tx, ctx, id, version).await?;
    if !found.recipients.iter().any(|one| !matches!(one.state, State::Delivered | State::Dropped)) {
        return Err(Error::State("sent to nobody any more"));
    }
    let now = ctx.env().now();
    if !store::make_due(&mut tx, id, now, found.give_up_at.max(now + RETRIED_FOR), true).await? {
        return Err(Error::BodyGone);
    }
    done(tx, ctx, event::Kind::OutgoingRetried, id, json!({})).await
}

/// Takes a message out of the queue: those whom it has not reached are not sent it. Its sender is not told.
///
/// # Errors
/// As [`get`]; [`Error::UnderWay`] while it is being sent; [`Error::State`] when nobody is left to be sent it.
pub async fn drop(ctx: &Ctx, id: OutgoingId, version: Option<i64>) -> Result<Outgoing, Error> {
    let mut tx = ctx.begin().await?;
    let found = open(&mut tx, ctx, id, version).await?;
    if found.recipients.iter().any(|one| one.state == State::Delivering) {
        return Err(Error::UnderWay);
    }
    let now = ctx.env().now();
    if store::drop_queued(&mut tx, id, now).await? == 0 {
        return Err(Error::State("sent to nobody any more"));
    }
    // Claimed since it was looked at.
    if !close(&mut tx, id, now).await? {
        return Err(Error::UnderWay);
    }
    done(tx, ctx, event::Kind::OutgoingDropped, id, json!({})).await
}

async fn done(
    mut tx: TenantTx,
    ctx: &Ctx,
    kind: event::Kind,
    id: OutgoingId,
    data: serde_json::Value,
) -> Result<Outgoing, Error> {
    store::count_change(&mut tx, id).await?;
    let changed = find(&mut tx, ctx, id).await?;
    event::record(&mut tx, ctx, kind, id, data).await?;
    tx.commit().await?;
    Ok(changed)
}

/// Closes a locked message that nobody is left to be sent; its body goes, unless somebody may ask for it to be sent again. Whether nobody is.
pub(crate) async fn close(tx: &mut TenantTx, id: OutgoingId, now: DateTime<Utc>) -> Result<bool, Error> {
    let Some(left) = store::close(tx, id, now).await? else { return Ok(false) };
    if let (false, Some(blob)) = (left.has_failed, left.blob_id) {
        store::forget_body(tx, id).await?;
        parcel::let_go(tx, blob).await?;
    }
    Ok(true)
}
