//! Addresses: each leads to one mailbox or group of the tenant, is its primary one or an alias, and keeps its id while it
//! stays where it is.

pub(crate) mod store;

use std::collections::BTreeSet;

use kernel::{AliasId, EmailAddress, GroupId, MailboxId, Page, PageRequest};
use serde_json::json;

use crate::{Action, Ctx, Error, TenantTx, event, group, mailbox};

/// How many aliases a mailbox or group may have.
pub const MAX_ALIASES: usize = 100;

/// What an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A mailbox.
    Mailbox(MailboxId),
    /// A group: to all of its members.
    Group(GroupId),
}

/// A further address of a mailbox or group.
#[derive(Debug, Clone)]
pub struct Alias {
    /// Its id.
    pub id: AliasId,
    /// The address.
    pub address: String,
    /// Where it leads.
    pub target: Target,
}

/// The addresses that something is to have. `None` leaves what there is.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) primary: Option<EmailAddress>,
    pub(crate) aliases: Option<Vec<EmailAddress>>,
    /// Whether the primary address is to go, and none to come in its place.
    pub(crate) without_primary: bool,
}

/// Gives a mailbox or group another address.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such mailbox or group; [`Error::Conflict`] `address_taken`,
/// `too_many_aliases`; [`Error::Invalid`] for an address that is none, or is in no verified domain of the tenant's.
pub async fn create(ctx: &Ctx, address: &str, target: Target) -> Result<Alias, Error> {
    ctx.require(Action::AliasWrite)?;
    let address: EmailAddress = address.parse().map_err(|cause| Error::address("/address", cause))?;
    let mut tx = ctx.begin().await?;
    require_target(&mut tx, ctx, target).await?;
    require_room(store::count_aliases(&mut tx, target).await? + 1)?;
    let id = add(&mut tx, ctx, target, &address, false, "/address").await?;
    let alias = Alias { id, address: address.to_string(), target };
    event::record(&mut tx, ctx, event::Kind::AliasCreated, id, shown(&alias)).await?;
    tx.commit().await?;
    Ok(alias)
}

/// Which aliases are listed: those of which all of this holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this one.
    pub address: Option<String>,
    /// Only those that lead to this mailbox.
    pub mailbox_id: Option<MailboxId>,
    /// Only those that lead to this group.
    pub group_id: Option<GroupId>,
}

/// The tenant's aliases.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see them.
pub async fn list(ctx: &Ctx, filter: &Filter, page: PageRequest) -> Result<Page<Alias>, Error> {
    ctx.require(Action::AliasRead)?;
    let Some(address) = looked_for(filter.address.as_deref()) else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let mut tx = ctx.read().await?;
    let rows = store::list(&mut tx, filter, address.as_ref(), &page).await?;
    Ok(Page::cut(rows, &page, |alias| alias.id.uuid()))
}

/// The address that a filter names, if it names one; `None` when that is no address, which is nobody's.
pub(crate) fn looked_for(text: Option<&str>) -> Option<Option<EmailAddress>> {
    text.map(str::parse).transpose().ok()
}

/// Takes an alias away: mail to it is refused from then on.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such alias; [`Error::Forbidden`] when it is that of a user whose role is
/// beyond the caller's.
pub async fn delete(ctx: &Ctx, id: AliasId) -> Result<(), Error> {
    ctx.require(Action::AliasWrite)?;
    let mut tx = ctx.begin().await?;
    let alias = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    require_target(&mut tx, ctx, alias.target).await?;
    if !store::delete(&mut tx, id).await? {
        return Err(Error::NotFound);
    }
    event::record(&mut tx, ctx, event::Kind::AliasDeleted, id, shown(&alias)).await?;
    tx.commit().await?;
    Ok(())
}

/// What the trail says of one.
fn shown(alias: &Alias) -> serde_json::Value {
    match alias.target {
        Target::Mailbox(id) => json!({"address": alias.address, "mailbox_id": id}),
        Target::Group(id) => json!({"address": alias.address, "group_id": id}),
    }
}

/// Locks what is to get or lose an address, and counts it as changed.
async fn require_target(tx: &mut TenantTx, ctx: &Ctx, target: Target) -> Result<(), Error> {
    match target {
        Target::Mailbox(id) => mailbox::require_manageable(tx, ctx, id).await,
        Target::Group(id) => group::touch(tx, id).await,
    }
}

/// Gives a mailbox or group an address.
///
/// # Errors
/// [`Error::Conflict`] `address_taken` at `pointer`; [`Error::Invalid`] there when the tenant has no such domain.
pub(crate) async fn add(
    tx: &mut TenantTx,
    ctx: &Ctx,
    target: Target,
    address: &EmailAddress,
    is_primary: bool,
    pointer: &str,
) -> Result<AliasId, Error> {
    let id = ctx.env().new_id();
    let inserted = store::insert(tx, id, target, address, is_primary).await;
    if inserted.map_err(|error| taken(error, pointer))? {
        return Ok(id);
    }
    Err(Error::invalid(pointer, "the tenant has no such domain, or it is not verified"))
}

/// Gives a new mailbox or group its addresses.
pub(crate) async fn add_all(
    tx: &mut TenantTx,
    ctx: &Ctx,
    target: Target,
    primary: Option<&EmailAddress>,
    aliases: &[EmailAddress],
) -> Result<(), Error> {
    if let Some(primary) = primary {
        add(tx, ctx, target, primary, true, "/address").await?;
    }
    for (at, alias) in aliases.iter().enumerate() {
        add(tx, ctx, target, alias, false, &format!("/aliases/{at}")).await?;
    }
    Ok(())
}

/// # Errors
/// [`Error::Conflict`] `too_many_aliases`.
fn require_room(aliases: usize) -> Result<(), Error> {
    if aliases > MAX_ALIASES {
        return Err(Error::conflict("too_many_aliases", "a mailbox or group may have at most 100 aliases"));
    }
    Ok(())
}

/// Gives a mailbox or group the addresses that are wanted. An old primary address stays as an alias when another comes, unless `aliases` says
/// otherwise, and goes when none does, unless `aliases` has it; addresses that stay keep their ids.
///
/// # Errors
/// As [`add`]; [`Error::Conflict`] `too_many_aliases` when the old primary address would be one too many.
pub(crate) async fn change(
    tx: &mut TenantTx,
    ctx: &Ctx,
    target: Target,
    wanted: Wanted,
) -> Result<(), Error> {
    let Wanted { primary, aliases, without_primary } = wanted;
    let had = store::of(tx, target).await?;
    let stays = |one: &store::Held| !(one.is_primary && without_primary);
    let first = match &primary {
        Some(primary) => Some(primary.to_string()),
        None => had.iter().find(|one| one.is_primary && stays(one)).map(|one| one.address.clone()),
    };
    let others: Vec<String> = match &aliases {
        Some(aliases) => aliases.iter().map(EmailAddress::to_string).collect(),
        None => had.iter().filter(|one| stays(one)).map(|one| one.address.clone()).collect(),
    };
    require_room(others.iter().filter(|alias| first.as_ref() != Some(*alias)).count())?;
    for one in &had {
        let is_primary = first.as_ref() == Some(&one.address);
        if !is_primary && !others.contains(&one.address) {
            store::delete(tx, one.id).await?;
        } else if one.is_primary != is_primary {
            store::set_primary(tx, one.id, is_primary).await?;
        }
    }
    let is_new = |address: &String| had.iter().all(|one| one.address != *address);
    if let Some(primary) = primary.as_ref().filter(|primary| is_new(&primary.to_string())) {
        add(tx, ctx, target, primary, true, "/address").await?;
    }
    for (at, alias) in aliases.iter().flatten().enumerate() {
        let text = alias.to_string();
        // One that is named twice is new the first time only, and taken the second.
        if first.as_ref() != Some(&text) && (is_new(&text) || others[..at].contains(&text)) {
            add(tx, ctx, target, alias, false, &format!("/aliases/{at}")).await?;
        }
    }
    Ok(())
}

/// Whether other aliases are wanted than something has, with its primary address. That it is given another one changes none: the old one becomes an
/// alias by that, unless it is dropped.
pub(crate) fn changes_aliases(primary: Option<&str>, aliases: &[String], wanted: &Wanted) -> bool {
    let Some(others) = &wanted.aliases else { return false };
    let first = wanted.primary.as_ref().map(EmailAddress::to_string);
    let first = first.as_deref().or(primary.filter(|_| !wanted.without_primary));
    let others: Vec<String> = others.iter().map(EmailAddress::to_string).collect();
    let is_alias = |address: &&str| Some(*address) != first;
    let had: BTreeSet<&str> = aliases.iter().map(String::as_str).chain(primary).filter(is_alias).collect();
    let wants: BTreeSet<&str> = others.iter().map(String::as_str).filter(is_alias).collect();
    had != wants
}

/// An address in use is a conflict.
fn taken(error: db::Error, pointer: &str) -> Error {
    match error.constraint() {
        Some("addresses_once" | "addresses_once_a_mailbox") => {
            Error::conflict_at(pointer, "address_taken", "the address is in use already")
        }
        _ => error.into(),
    }
}

/// An address as it was given, or a mistake at `pointer`.
pub(crate) fn check(checks: &mut kernel::Checks, text: &str, pointer: &str) -> Option<EmailAddress> {
    text.parse().map_err(|cause| checks.require(false, pointer, cause)).ok()
}

/// Aliases as they were given, at `/aliases`.
pub(crate) fn check_aliases(checks: &mut kernel::Checks, texts: &[String]) -> Vec<EmailAddress> {
    checks.require(texts.len() <= MAX_ALIASES, "/aliases", format_args!("must be at most {MAX_ALIASES}"));
    let parsed = texts.iter().enumerate();
    parsed.filter_map(|(at, text)| check(checks, text, &format!("/aliases/{at}"))).collect()
}
