//! Resellers: the partners who sell, each with those below it.

mod store;

use chrono::{DateTime, Utc};
use db::{Db, SystemTx};
use kernel::{Checks, Page, PageRequest, ResellerId};
use serde_json::json;

use crate::{Action, Caller, Error, ResellerCtx, Scope, event, require_version};

/// How many levels of resellers there may be.
const MAX_DEPTH: usize = 5;

/// A partner who sells mailboxes.
#[derive(Debug, Clone)]
pub struct Reseller {
    /// Its id.
    pub id: ResellerId,
    /// The reseller above it, if the operator is not.
    pub parent_id: Option<ResellerId>,
    /// Its name.
    pub name: String,
    /// `active`, `suspended` or `deleted`.
    pub status: String,
    /// How many seats all its tenants together may have; `None` is unlimited.
    pub seats_limit: Option<i32>,
    /// How many seats they have.
    pub seats_used: i32,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What a new reseller is made of.
#[derive(Debug, Clone)]
pub struct NewReseller {
    /// Its name, 1 to 200 characters.
    pub name: String,
    /// The reseller above it; `None`: the caller's own, or for an operator, none.
    pub parent_id: Option<ResellerId>,
    /// The cap on its tenants' seats.
    pub seats_limit: Option<i32>,
}

/// What of a reseller is to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct ResellerChange {
    /// A new name.
    pub name: Option<String>,
    /// A new cap; `Some(None)` lifts it. One below the seats in use is allowed and stops new ones.
    pub seats_limit: Option<Option<i32>>,
}

/// Creates a reseller.
///
/// # Errors
/// [`Error::NotFound`] for a parent out of scope, [`Error::Invalid`] for bad input or one level too many.
pub async fn create(caller: &Caller, new: NewReseller) -> Result<Reseller, Error> {
    caller.require(Action::ResellerWrite)?;
    let mut checks = Checks::default();
    checks.name(&new.name, 200, "/name");
    checks.require(new.seats_limit.is_none_or(|limit| limit >= 0), "/caps/seats", "must not be negative");
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
        seats_limit: new.seats_limit,
        seats_used: 0,
        created_at: env.now(),
        version: 1,
    };
    let mut tx = system(caller.db()).await?;
    store::insert(&mut tx, &reseller, &path).await?;
    let trail = Scope::Reseller(reseller.id);
    event::record_on(&mut tx, caller, trail, event::Kind::ResellerCreated, reseller.id, shown(&reseller))
        .await?;
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

/// The resellers that the caller sees.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see resellers.
pub async fn list(caller: &Caller, page: PageRequest) -> Result<Page<Reseller>, Error> {
    caller.require(Action::ResellerRead)?;
    let root = match caller.scope() {
        Scope::Operator => None,
        Scope::Reseller(id) => Some(id),
        Scope::Tenant(_) => return Err(Error::Forbidden(Action::ResellerRead.as_str())),
    };
    let mut tx = system(caller.db()).await?;
    let rows = store::list(&mut tx, root, &page).await?;
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
    if change.seats_limit.is_some() && ctx.caller().scope() == Scope::Reseller(ctx.reseller_id()) {
        return Err(Error::Forbidden("changing one's own caps"));
    }
    let mut checks = Checks::default();
    if let Some(name) = &change.name {
        checks.name(name, 200, "/name");
    }
    let limit_holds = change.seats_limit.flatten().is_none_or(|limit| limit >= 0);
    checks.require(limit_holds, "/caps/seats", "must not be negative");
    checks.done().map_err(Error::Invalid)?;
    let mut tx = system(ctx.db()).await?;
    let version = store::lock(&mut tx, ctx).await?.ok_or(Error::NotFound)?;
    require_version(if_version, version)?;
    let reseller = store::update(&mut tx, ctx, &change).await?.ok_or(Error::NotFound)?;
    let trail = Scope::Reseller(reseller.id);
    let kind = event::Kind::ResellerUpdated;
    event::record_on(&mut tx, ctx.caller(), trail, kind, reseller.id, shown(&reseller)).await?;
    tx.commit().await?;
    Ok(reseller)
}

/// What the trail says of a reseller.
fn shown(reseller: &Reseller) -> serde_json::Value {
    json!({"name": reseller.name, "parent_id": reseller.parent_id, "caps": {"seats": reseller.seats_limit}})
}

/// A reseller and those above it, the topmost first; `None` when there is no such reseller.
pub(crate) async fn path(db: &Db, id: ResellerId) -> Result<Option<Vec<ResellerId>>, db::Error> {
    let mut tx = system(db).await?;
    store::path(&mut tx, id).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "resellers stand above tenants; each call here is bounded by a ResellerCtx or a scope"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
