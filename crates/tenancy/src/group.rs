//! Groups: distribution lists of mailboxes and of other groups. Mail to a group's address goes to each mailbox below it once.

pub mod directory;
mod member;
mod store;

use chrono::{DateTime, Utc};
use kernel::{Checks, EmailAddress, GroupId, Page, PageRequest};
use serde_json::json;

use crate::address::{self, Target, Wanted};
use crate::{Action, Ctx, Error, TenantTx, event, require_version};

use member::MAX_AT_ONCE;
pub use member::{Member, add_member, members, remove_member};

/// A distribution list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name as people see it.
    pub display_name: String,
    /// Its primary address; without one it gets no mail.
    pub address: Option<String>,
    /// Its further addresses.
    pub aliases: Vec<String>,
    /// Its id in the customer's directory.
    pub external_id: Option<String>,
    /// How many members it has, those of its member groups not counted.
    pub member_count: i64,
    /// When it was created, in the tenant's time.
    pub created_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What a new group is made of.
#[derive(Debug, Clone, Default)]
pub struct NewGroup {
    /// Its name as people see it.
    pub display_name: String,
    /// The primary address, in a domain of the tenant.
    pub address: Option<String>,
    /// Further addresses.
    pub aliases: Vec<String>,
    /// Its id in the customer's directory.
    pub external_id: Option<String>,
    /// Its members.
    pub members: Vec<Member>,
}

/// What of a group is to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupChange {
    /// A new name.
    pub display_name: Option<String>,
    /// A new primary address. The old one stays, as an alias, unless `aliases` says otherwise. `Some(None)` takes it off: it goes, unless
    /// `aliases` has it.
    pub address: Option<Option<String>>,
    /// All further addresses.
    pub aliases: Option<Vec<String>>,
    /// A new id in the customer's directory; `Some(None)` takes it away.
    pub external_id: Option<Option<String>>,
}

/// Creates a group.
///
/// # Errors
/// [`Error::Conflict`] `address_taken`, `external_id_taken`; [`Error::Invalid`], also for members that the tenant does not have.
pub async fn create(ctx: &Ctx, new: NewGroup) -> Result<Group, Error> {
    let addresses = prepare(ctx, &new)?;
    let members = new.members.clone();
    let mut tx = ctx.begin().await?;
    let group = insert(&mut tx, ctx, new, addresses).await?;
    if let Some(at) = member::fill(&mut tx, ctx, group.id, &members).await? {
        return Err(Error::invalid(&format!("/members/{at}"), "the tenant has no such mailbox or group"));
    }
    let group = store::find(&mut tx, group.id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(group)
}

/// The addresses of a new group that was checked.
struct Addresses {
    primary: Option<EmailAddress>,
    aliases: Vec<EmailAddress>,
}

fn prepare(ctx: &Ctx, new: &NewGroup) -> Result<Addresses, Error> {
    ctx.require(Action::GroupWrite)?;
    let mut checks = Checks::default();
    checks.name(&new.display_name, 200, "/display_name");
    check_external_id(&mut checks, new.external_id.as_deref());
    let primary = new.address.as_deref().and_then(|text| address::check(&mut checks, text, "/address"));
    let aliases = address::check_aliases(&mut checks, &new.aliases);
    let in_bounds = new.members.len() <= MAX_AT_ONCE;
    checks.require(in_bounds, "/members", format_args!("must be at most {MAX_AT_ONCE} at once"));
    checks.done().map_err(Error::Invalid)?;
    Ok(Addresses { primary, aliases })
}

/// Writes a new group down, without its members.
async fn insert(tx: &mut TenantTx, ctx: &Ctx, new: NewGroup, addresses: Addresses) -> Result<Group, Error> {
    let id = ctx.env().new_id();
    let inserted = store::insert(tx, id, &new.display_name, new.external_id.as_deref(), ctx.now()).await;
    inserted.map_err(taken)?;
    let Addresses { primary, aliases } = addresses;
    address::add_all(tx, ctx, Target::Group(id), primary.as_ref(), &aliases).await?;
    let group = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    event::record(tx, ctx, event::Kind::GroupCreated, id, shown(&group)).await?;
    Ok(group)
}

/// One group.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such group.
pub async fn get(ctx: &Ctx, id: GroupId) -> Result<Group, Error> {
    ctx.require(Action::GroupRead)?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Which groups are listed: those of which all of this holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only the one with this address, primary or not.
    pub address: Option<String>,
    /// Only the one with this id in the customer's directory.
    pub external_id: Option<String>,
}

/// The tenant's groups.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see groups.
pub async fn list(ctx: &Ctx, filter: &Filter, page: PageRequest) -> Result<Page<Group>, Error> {
    ctx.require(Action::GroupRead)?;
    let Some(address) = address::looked_for(filter.address.as_deref()) else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let lookup = directory::Lookup { external_id: filter.external_id.clone(), ..Default::default() };
    let mut tx = ctx.read().await?;
    let rows = store::list(&mut tx, &lookup, address.as_ref(), &page).await?;
    Ok(Page::cut(rows, &page, |group| group.id.uuid()))
}

/// Changes a group.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Conflict`] and [`Error::Invalid`] as [`create`]; [`Error::Forbidden`], also
/// for other aliases without the right to change aliases.
pub async fn update(
    ctx: &Ctx,
    id: GroupId,
    if_version: Option<i64>,
    change: GroupChange,
) -> Result<Group, Error> {
    ctx.require(Action::GroupWrite)?;
    let wanted = check_change(&change)?;
    let mut tx = ctx.begin().await?;
    let old = require(&mut tx, id).await?;
    require_version(if_version, old.version)?;
    if address::changes_aliases(old.address.as_deref(), &old.aliases, &wanted) {
        ctx.require(Action::AliasWrite)?;
    }
    let group = apply(&mut tx, ctx, &old, &change, wanted).await?;
    if group == (Group { version: group.version, ..old.clone() }) {
        return Ok(old);
    }
    tx.commit().await?;
    Ok(group)
}

/// Makes a checked change of a locked group; what it is then.
async fn apply(
    tx: &mut TenantTx,
    ctx: &Ctx,
    old: &Group,
    change: &GroupChange,
    wanted: Wanted,
) -> Result<Group, Error> {
    store::update(tx, old.id, change).await.map_err(taken)?;
    if wanted.primary.is_some() || wanted.aliases.is_some() || wanted.without_primary {
        address::change(tx, ctx, Target::Group(old.id), wanted).await?;
    }
    let group = store::find(tx, old.id).await?.ok_or(Error::NotFound)?;
    event::record(tx, ctx, event::Kind::GroupUpdated, old.id, shown(&group)).await?;
    Ok(group)
}

/// Deletes a group: mail to its addresses is refused from then on. Its members stay.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`].
pub async fn delete(ctx: &Ctx, id: GroupId, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::GroupWrite)?;
    let mut tx = ctx.begin().await?;
    let group = require(&mut tx, id).await?;
    require_version(if_version, group.version)?;
    store::delete(&mut tx, id).await?;
    event::record(&mut tx, ctx, event::Kind::GroupDeleted, id, shown(&group)).await?;
    tx.commit().await?;
    Ok(())
}

/// The group, locked.
pub(crate) async fn require(tx: &mut TenantTx, id: GroupId) -> Result<Group, Error> {
    store::lock(tx, id).await?;
    store::find(tx, id).await?.ok_or(Error::NotFound)
}

/// Locks a group and counts it as changed.
pub(crate) async fn touch(tx: &mut TenantTx, id: GroupId) -> Result<(), Error> {
    if store::touch(tx, id).await? { Ok(()) } else { Err(Error::NotFound) }
}

fn check_change(change: &GroupChange) -> Result<Wanted, Error> {
    let mut checks = Checks::default();
    if let Some(name) = &change.display_name {
        checks.name(name, 200, "/display_name");
    }
    check_external_id(&mut checks, change.external_id.as_ref().and_then(Option::as_deref));
    let address = change.address.as_ref().and_then(Option::as_deref);
    let primary = address.and_then(|text| address::check(&mut checks, text, "/address"));
    let aliases = change.aliases.as_deref().map(|texts| address::check_aliases(&mut checks, texts));
    checks.done().map_err(Error::Invalid)?;
    Ok(Wanted { primary, aliases, without_primary: change.address == Some(None) })
}

fn check_external_id(checks: &mut Checks, external_id: Option<&str>) {
    if let Some(text) = external_id {
        checks.name(text, 200, "/external_id");
    }
}

fn taken(error: db::Error) -> Error {
    match error.constraint() {
        Some("groups_external_id_once") => {
            Error::conflict_at("/external_id", "external_id_taken", "another group has this external_id")
        }
        _ => error.into(),
    }
}

/// What the trail says of a group.
fn shown(group: &Group) -> serde_json::Value {
    json!({"display_name": group.display_name, "address": group.address, "aliases": group.aliases,
        "external_id": group.external_id})
}
