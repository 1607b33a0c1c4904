//! Resellers: the partners who sell, each with those below it.

mod store;

use chrono::{DateTime, Utc};
use db::{Db, SystemTx};
use kernel::{Checks, Page, PageRequest, ResellerId};
use serde_json::json;

use crate::branding::{self, Branding, BrandingChange, Effective};
use crate::effect::{self, Level};
use crate::{
    Action, Caller, Error, ResellerCtx, Scope, api_key, event, quota, require_version, webhook_endpoint,
};

/// How many levels of resellers there may be.
const MAX_DEPTH: usize = 5;

/// A partner who sells mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reseller {
    /// Its id.
    pub id: ResellerId,
    /// The reseller above it, if the operator is not.
    pub parent_id: Option<ResellerId>,
    /// Its name.
    pub name: String,
    /// `active` or `deleted`.
    pub status: String,
    /// What all its tenants together may have.
    pub caps: Caps,
    /// What they have.
    pub used: Used,
    /// How it presents itself.
    pub branding: Branding,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What a reseller's tenants may have together; `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Tenants.
    pub tenants: Option<i32>,
    /// Their domains.
    pub domains: Option<i32>,
    /// Their users' seats.
    pub seats: Option<i32>,
    /// Their mailboxes that are nobody's own, archives not counted.
    pub shared_mailboxes: Option<i32>,
    /// Bytes of live messages in their mailboxes.
    pub storage_bytes: Option<i64>,
}

/// What a reseller's tenants have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Tenants.
    pub tenants: i32,
    /// Their domains.
    pub domains: i32,
    /// Their users' seats.
    pub seats: i32,
    /// Their mailboxes that are nobody's own, archives not counted.
    pub shared_mailboxes: i32,
    /// Bytes of live messages in their mailboxes; counted only where there is a cap.
    pub storage_bytes: Option<i64>,
}

/// Which caps are to change; `None` leaves one as it is, `Some(None)` lifts it. One below what is used is allowed and
/// stops more.
#[derive(Debug, Clone, Copy, Default)]
pub struct CapsChange {
    /// Tenants.
    pub tenants: Option<Option<i32>>,
    /// Their domains.
    pub domains: Option<Option<i32>>,
    /// Their users' seats.
    pub seats: Option<Option<i32>>,
    /// Their mailboxes that are nobody's own, archives not counted.
    pub shared_mailboxes: Option<Option<i32>>,
    /// Bytes of live messages in their mailboxes.
    pub storage_bytes: Option<Option<i64>>,
}

impl CapsChange {
    fn is_empty(&self) -> bool {
        self.tenants.is_none()
            && self.domains.is_none()
            && self.seats.is_none()
            && self.shared_mailboxes.is_none()
            && self.storage_bytes.is_none()
    }
}

impl Caps {
    fn changed(self, by: CapsChange) -> Self {
        Self {
            tenants: by.tenants.unwrap_or(self.tenants),
            domains: by.domains.unwrap_or(self.domains),
            seats: by.seats.unwrap_or(self.seats),
            shared_mailboxes: by.shared_mailboxes.unwrap_or(self.shared_mailboxes),
            storage_bytes: by.storage_bytes.unwrap_or(self.storage_bytes),
        }
    }

    fn check(self, checks: &mut Checks) {
        let counts = [
            (self.tenants, "/caps/tenants"),
            (self.domains, "/caps/domains"),
            (self.seats, "/caps/seats"),
            (self.shared_mailboxes, "/caps/shared_mailboxes"),
        ];
        for (cap, pointer) in counts {
            checks.require(cap.is_none_or(|cap| cap >= 0), pointer, "must not be negative");
        }
        let bytes_hold = self.storage_bytes.is_none_or(|bytes| bytes >= 0);
        checks.require(bytes_hold, "/caps/storage_bytes", "must not be negative");
    }
}

/// What a new reseller is made of.
#[derive(Debug, Clone)]
pub struct NewReseller {
    /// Its name, 1 to 200 characters.
    pub name: String,
    /// The reseller above it; `None`: the caller's own, or for an operator, none.
    pub parent_id: Option<ResellerId>,
    /// What its tenants may have together.
    pub caps: Caps,
    /// How it presents itself.
    pub branding: BrandingChange,
}

/// What of a reseller is to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct ResellerChange {
    /// A new name.
    pub name: Option<String>,
    /// New caps.
    pub caps: CapsChange,
    /// New branding.
    pub branding: BrandingChange,
}

/// Creates a reseller.
///
/// # Errors
/// [`Error::NotFound`] for a parent out of scope, [`Error::Invalid`] for bad input or one level too many.
pub async fn create(caller: &Caller, new: NewReseller) -> Result<Reseller, Error> {
    caller.require(Action::ResellerWrite)?;
    let mut checks = Checks::default();
    checks.name(&new.name, 200, "/name");
    new.caps.check(&mut checks);
    branding::check(&mut checks, &new.branding);
    checks.done().map_err(Error::Invalid)?;
    let parent = match (new.parent_id, caller.scope()) {
        (Some(parent), _) => Some(caller.enter_reseller(parent).await?),
        (None, Scope::Operator) => None,
        (None, _) => Some(caller.enter_reseller(caller.own_reseller()?).await?),
    };
    let mut path = parent.as_ref().map(|parent| parent.path().to_vec()).unwrap_or_default();
    if path.len() >= MAX_DEPTH {
        return Err(Error::invalid(
            "/parent_id",
            format_args!("resellers nest at most {MAX_DEPTH} levels deep"),
        ));
    }
    let env = caller.db().env();
    let id = env.new_id();
    path.push(id);
    let reseller = Reseller {
        id,
        parent_id: parent.map(|parent| parent.reseller_id()),
        name: new.name,
        status: "active".into(),
        caps: new.caps,
        used: Used { storage_bytes: new.caps.storage_bytes.map(|_| 0), ..Used::default() },
        branding: branding::changed(&Branding::new(), &new.branding),
        created_at: env.now(),
        version: 1,
    };
    let mut tx = system(caller.db()).await?;
    if let Some(parent) = reseller.parent_id {
        require_there(&mut tx, parent).await?;
    }
    store::insert(&mut tx, &reseller, &path).await?;
    let trail = Scope::Reseller(reseller.id);
    event::record_on(&mut tx, caller, trail, event::Kind::ResellerCreated, reseller.id, shown(&reseller))
        .await?;
    effect::note(&mut tx, caller, Level::Reseller(reseller.id)).await?;
    tx.commit().await?;
    Ok(reseller)
}

/// One reseller.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see resellers.
pub async fn get(ctx: &ResellerCtx) -> Result<Reseller, Error> {
    ctx.require(Action::ResellerRead)?;
    let mut tx = system(ctx.db()).await?;
    store::find(&mut tx, ctx).await?.ok_or(Error::NotFound)
}

/// The resellers that the caller sees: those that are there, or those that were deleted.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see resellers.
pub async fn list(caller: &Caller, deleted: bool, page: PageRequest) -> Result<Page<Reseller>, Error> {
    caller.require(Action::ResellerRead)?;
    let root = match caller.scope() {
        Scope::Operator => None,
        Scope::Reseller(id) => Some(id),
        Scope::Tenant(_) => return Err(Error::Forbidden(Action::ResellerRead.as_str())),
    };
    let mut tx = system(caller.db()).await?;
    let rows = store::list(&mut tx, root, deleted, &page).await?;
    Ok(Page::cut(rows, &page, |reseller| reseller.id.uuid()))
}

/// Changes a reseller. Its own caps are its parent's to set.
///
/// # Errors
/// [`Error::Forbidden`] when a reseller means to change its own caps; [`Error::Invalid`] for bad input;
/// [`Error::VersionMismatch`] when `if_version` is not the reseller's.
pub async fn update(
    ctx: &ResellerCtx,
    if_version: Option<i64>,
    change: ResellerChange,
) -> Result<Reseller, Error> {
    ctx.require(Action::ResellerWrite)?;
    if !change.caps.is_empty() && ctx.caller().scope() == Scope::Reseller(ctx.reseller_id()) {
        return Err(Error::Forbidden("changing one's own caps"));
    }
    let mut checks = Checks::default();
    if let Some(name) = &change.name {
        checks.name(name, 200, "/name");
    }
    Caps::default().changed(change.caps).check(&mut checks);
    branding::check(&mut checks, &change.branding);
    checks.done().map_err(Error::Invalid)?;
    let mut tx = system(ctx.db()).await?;
    let limited = store::find(&mut tx, ctx).await?.is_some_and(|old| old.caps.storage_bytes.is_some());
    if change.caps.storage_bytes.flatten().is_some() && !limited {
        // Mailboxes are locked before the levels above them; those that are made meanwhile are counted below.
        quota::count_reseller(&mut tx, ctx.reseller_id()).await?;
    }
    let old = store::find_locked(&mut tx, ctx).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    let caps = old.caps.changed(change.caps);
    let used_bytes = match (old.caps.storage_bytes, caps.storage_bytes) {
        (None, Some(_)) => Some(quota::count_reseller(&mut tx, ctx.reseller_id()).await?),
        _ => None,
    };
    let new = store::New {
        name: change.name.unwrap_or_else(|| old.name.clone()),
        caps,
        used_bytes,
        branding: branding::changed(&old.branding, &change.branding),
    };
    let reseller = store::update(&mut tx, ctx, &new).await?.ok_or(Error::NotFound)?;
    effect::note(&mut tx, ctx.caller(), Level::Reseller(reseller.id)).await?;
    if reseller == (Reseller { version: reseller.version, ..old.clone() }) {
        return Ok(old);
    }
    let trail = Scope::Reseller(reseller.id);
    let kind = event::Kind::ResellerUpdated;
    event::record_on(&mut tx, ctx.caller(), trail, kind, reseller.id, shown(&reseller)).await?;
    tx.commit().await?;
    Ok(reseller)
}

/// Deletes a reseller for good, in the caller's transaction: its keys prove nothing from then on, and its endpoints are told nothing
/// more. What it was and what became of it stays to be seen from above.
///
/// # Errors
/// [`Error::Forbidden`] when a reseller means itself; [`Error::Conflict`] `reseller_not_empty` while a reseller or a tenant is below it,
/// be it one that could be restored; [`Error::VersionMismatch`] when `if_version` is not the reseller's.
pub async fn delete(tx: &mut SystemTx, ctx: &ResellerCtx, if_version: Option<i64>) -> Result<(), Error> {
    let id = ctx.reseller_id();
    let old = store::find_alone(tx, ctx).await?.ok_or(Error::NotFound)?;
    require_deletable(tx, ctx, &old, if_version).await?;
    let trail = Scope::Reseller(id);
    api_key::revoke_all(tx, trail, ctx.db().env().now()).await?;
    webhook_endpoint::delete_all(tx, trail).await?;
    store::set_deleted(tx, id).await?;
    event::record_on(tx, ctx.caller(), trail, event::Kind::ResellerDeleted, id, shown(&old)).await?;
    effect::note(tx, ctx.caller(), Level::Reseller(id)).await?;
    Ok(())
}

/// Refuses what [`delete`] would refuse at this moment, without holding the reseller: in one that is in use, all would wait for that.
///
/// # Errors
/// As [`delete`].
pub async fn look_at_deletion(
    tx: &mut SystemTx,
    ctx: &ResellerCtx,
    if_version: Option<i64>,
) -> Result<(), Error> {
    let reseller = store::find(tx, ctx).await?.ok_or(Error::NotFound)?;
    require_deletable(tx, ctx, &reseller, if_version).await
}

async fn require_deletable(
    tx: &mut SystemTx,
    ctx: &ResellerCtx,
    reseller: &Reseller,
    if_version: Option<i64>,
) -> Result<(), Error> {
    ctx.require(Action::ResellerWrite)?;
    if ctx.caller().scope() == Scope::Reseller(reseller.id) {
        return Err(Error::Forbidden("deleting oneself"));
    }
    require_version(if_version, reseller.version)?;
    if store::has_any_below(tx, reseller.id).await? {
        return Err(Error::conflict(
            "reseller_not_empty",
            "there are resellers or tenants below it, or deleted tenants that can still be restored",
        ));
    }
    Ok(())
}

/// Has nobody delete a reseller until the transaction ends, for who makes something that is its own or below it.
///
/// # Errors
/// [`Error::NotFound`] when it was deleted since it was entered.
pub async fn require_there(tx: &mut SystemTx, id: ResellerId) -> Result<(), Error> {
    if store::keep(tx, id).await? { Ok(()) } else { Err(Error::NotFound) }
}

/// What the trail says of a reseller.
fn shown(reseller: &Reseller) -> serde_json::Value {
    let caps = reseller.caps;
    json!({"name": reseller.name, "parent_id": reseller.parent_id, "branding": branding::shown(&reseller.branding),
        "caps": {"tenants": caps.tenants, "domains": caps.domains, "seats": caps.seats,
            "shared_mailboxes": caps.shared_mailboxes, "storage_bytes": caps.storage_bytes}})
}

/// How a reseller presents itself, with what it inherits.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see resellers.
pub async fn branding(ctx: &ResellerCtx) -> Result<Effective, Error> {
    ctx.require(Action::ResellerRead)?;
    let mut tx = system(ctx.db()).await?;
    Ok(branding::effective(branding::of_resellers(&mut tx, ctx.path()).await?))
}

/// Where a reseller stands.
pub(crate) struct Place {
    /// It and those above it, the topmost first.
    pub(crate) path: Vec<ResellerId>,
    pub(crate) is_deleted: bool,
}

/// `None` when there never was such a reseller.
pub(crate) async fn place(db: &Db, id: ResellerId) -> Result<Option<Place>, db::Error> {
    let mut tx = system(db).await?;
    store::place(&mut tx, id).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "resellers stand above tenants; each call here is bounded by a ResellerCtx or a scope"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
