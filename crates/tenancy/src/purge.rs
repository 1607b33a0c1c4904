//! Destroying what was deleted too long ago to be restored: the control plane's part, after the mail store's. A tenant leaves
//! a signed record of what was destroyed, its trail and its invoices.

mod store;

pub(crate) use store::remove_user;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{DestructionRecordId, MailboxId, ResellerId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::auth::Auth;
use crate::{Action, Caller, Ctx, Error, Scope, TenantTx, event};

/// How long after its deletion something is destroyed: a day after the last moment at which it can be restored, so that
/// nobody restores what is being destroyed.
pub const AFTER: TimeDelta = TimeDelta::days(31);

/// How long after its deletion a tenant is destroyed though something of it is still to be billed, or is a draft; but for an account that was
/// parked less than a day ago.
pub const AT_THE_LATEST: TimeDelta = TimeDelta::days(38);

/// For how long somebody can see to an account that is parked, in real time whatever clock the tenant lives by, until that keeps it no more.
const SEEN_TO: TimeDelta = TimeDelta::days(1);

/// How long a backup of the database may take: what it shows is of its beginning, and it is kept from its end on.
const A_BACKUP_TAKES: TimeDelta = TimeDelta::days(1);

/// What of mail a tenant had when its destruction began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroyed {
    /// Messages, deleted ones among them.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects in the blob store that its mail lay in, its own and those that others' lay in too.
    pub objects: u64,
}

/// Some of the mailboxes, deleted with their user or by themselves, whose time has come: those that come after one, in their order, so that
/// what cannot be destroyed does not keep others waiting. None when there are no more.
///
/// # Errors
/// When the database fails.
pub async fn due_mailboxes(
    db: &Db,
    last: Option<(TenantId, MailboxId)>,
) -> Result<Vec<(TenantId, MailboxId)>, Error> {
    let mut tx = system(db).await?;
    Ok(store::due_mailboxes(&mut tx, db.env().now(), AFTER, last).await?)
}

/// As [`due_mailboxes`], some of the tenants whose time has come.
///
/// # Errors
/// When the database fails.
pub async fn due_tenants(db: &Db, last: Option<TenantId>) -> Result<Vec<TenantId>, Error> {
    let mut tx = system(db).await?;
    Ok(store::due_tenants(&mut tx, db.env().now(), AFTER, last).await?)
}

/// Removes a deleted mailbox without content, and the user whose own it was, with all that leads to them.
///
/// # Errors
/// When the database fails.
pub async fn mailbox(tx: &mut TenantTx, ctx: &Ctx, id: MailboxId) -> Result<(), Error> {
    let Some(user_id) = store::remove_mailbox(tx, id).await? else { return Ok(()) };
    let data = json!({"mailbox_id": id});
    match user_id.map(UserId::from_uuid) {
        Some(user_id) => {
            store::remove_user(tx, user_id).await?;
            event::record(tx, ctx, event::Kind::UserPurged, user_id, data).await?;
        }
        None => event::record(tx, ctx, event::Kind::MailboxPurged, id, data).await?,
    }
    Ok(())
}

/// Whether a deleted tenant may be destroyed; if so, it is not billed and nobody destroys it until the transaction ends. It may not while
/// something of it is still to be billed by an account that has not been parked for a day, or is a draft, which becomes final only before; but after
/// [`AT_THE_LATEST`] it may, unless the account was parked within a day. A test clock moves no further than that, and stands there for as long in real
/// time as a tenant without one is kept.
///
/// # Errors
/// When the database fails.
pub async fn may_go(tx: &mut SystemTx, db: &Db, id: TenantId) -> Result<bool, Error> {
    Ok(lock_settled(tx, db, id).await?.is_some())
}

async fn lock_settled(tx: &mut SystemTx, db: &Db, id: TenantId) -> Result<Option<store::Left>, Error> {
    let Some(left) = store::lock_deleted(tx, id).await? else { return Ok(None) };
    let real = db.env().now();
    let now = left.test_clock.unwrap_or(real);
    // It may have been looked up long ago.
    let Some(deleted_at) = left.deleted_at.filter(|&at| at + AFTER < now) else { return Ok(None) };
    // Now that it is held, by a statement of its own: whoever held it before may have billed it.
    let billed = store::billed(tx, &[id], real - SEEN_TO).await?.pop();
    let Some(store::Billed { is_settled: false, is_just_parked, .. }) = billed else { return Ok(Some(left)) };
    let is_last = if left.test_clock.is_none() {
        now > deleted_at + AT_THE_LATEST
    } else {
        let moved_at = store::clock_moved_at(tx, id).await?;
        now >= deleted_at + AT_THE_LATEST && moved_at.is_none_or(|at| real > at + (AT_THE_LATEST - AFTER))
    };
    // After a standstill the first round may have parked it.
    if !is_last || is_just_parked {
        return Ok(None);
    }
    tracing::error!(tenant.id = %id, "a tenant is destroyed though something of it is not billed");
    Ok(Some(left))
}

/// Why a deleted tenant is not billed to the end, so that it [may go](may_go) only at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbilled {
    /// Its account has been parked for less than a day: somebody may be seeing to it.
    Parked,
    /// For another reason.
    Otherwise,
}

/// Those of the tenants that are not billed to the end.
///
/// # Errors
/// When the database fails.
pub async fn unbilled(db: &Db, ids: &[TenantId]) -> Result<BTreeMap<TenantId, Unbilled>, Error> {
    let billed = store::billed(&mut system(db).await?, ids, db.env().now() - SEEN_TO).await?;
    let unbilled = billed.into_iter().filter(|billed| !billed.is_settled).map(|billed| {
        let why = if billed.is_just_parked { Unbilled::Parked } else { Unbilled::Otherwise };
        (TenantId::from_uuid(billed.tenant_id), why)
    });
    Ok(unbilled.collect())
}

/// Notes what a deleted tenant has before any of it goes, so that its record says so however often the work is taken up
/// anew; what was noted first.
///
/// # Errors
/// When the database fails.
pub async fn begin(tx: &mut SystemTx, id: TenantId, counted: Destroyed) -> Result<Destroyed, Error> {
    let noted = serde_json::to_value(counted).map_err(Error::internal)?;
    let noted = store::begin(tx, id, &noted).await?;
    serde_json::from_value(noted).map_err(Error::internal)
}

/// Removes what is left of a deleted tenant whose mail is destroyed, and writes the record. A backup of the database that was taken until then
/// has the tenant's rows and its wrapped keys: the record names the day on which the last of those, kept for so long from its end on, is gone. One
/// that was begun before and ends on the next day has them too. `false`: somebody else has destroyed it, or it [may not go](may_go).
///
/// # Errors
/// When the database fails.
pub async fn tenant(
    db: &Db,
    auth: &Auth,
    id: TenantId,
    destroyed: Destroyed,
    backups_kept: TimeDelta,
) -> Result<bool, Error> {
    let server = Caller::server(db.clone());
    let mut tx = system(db).await?;
    let Some(left) = lock_settled(&mut tx, db, id).await? else { return Ok(false) };
    let now = db.env().now();
    let mut counts = serde_json::to_value(destroyed).map_err(Error::internal)?;
    for (name, count) in store::remove_all(&mut tx, id).await? {
        counts[name] = json!(count);
    }
    let record = json!({
        "iss": "pillarbox",
        "sub": id,
        "iat": now.timestamp(),
        "tenant_id": id,
        "name": left.name,
        "deleted_at": left.deleted_at,
        "purged_at": now,
        "backups_expire_on": (now + backups_kept + A_BACKUP_TAKES).date_naive(),
        "destroyed": counts,
        "kept": ["audit trail", "invoices", "payments", "ledger", "subscription", "seat changes", "standings", "placements", "stored bytes by hour"],
    });
    let jws = auth.attest(&record).await?;
    store::insert_record(&mut tx, id, db.env().new_id(), &jws, now).await?;
    store::set_purged(&mut tx, id, now).await?;
    let reseller = left.reseller_path.last().map(|&id| Scope::Reseller(ResellerId::from_uuid(id)));
    for trail in reseller.into_iter().chain([Scope::Tenant(id)]) {
        let data = json!({"destroyed": counts, "record": jws});
        event::record_on(&mut tx, &server, trail, event::Kind::TenantPurged, id, data).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// What is left of a tenant that was destroyed.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id.
    pub id: DestructionRecordId,
    /// Its payload and signature: a JWS in compact form (RFC 7515), with the public key in its header.
    pub jws: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// A destroyed tenant's record.
///
/// # Errors
/// [`Error::NotFound`] for a tenant that is not destroyed; [`Error::Forbidden`] without the right to see tenants.
pub async fn record(ctx: &Ctx) -> Result<Record, Error> {
    ctx.require(Action::TenantRead)?;
    let mut tx = ctx.read().await?;
    store::record(&mut tx).await?.ok_or(Error::NotFound)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is due is looked for across tenants, and the deleted cannot be entered"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
