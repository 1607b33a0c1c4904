//! Groups as a customer's directory keeps them: their fields and members in one change. A directory knows people and groups;
//! mailboxes that are nobody's own stay members whatever it says.

mod list;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use kernel::{GroupId, UserId};

use super::{Group, GroupChange, Member, NewGroup, apply, check_change, member, require};
use crate::{Action, Ctx, Error, TenantTx, require_version};

pub use list::{Found, Lookup, MAX_SCANNED, Search, list};

/// A member that a directory knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A person, by their personal mailbox.
    User(UserId),
    /// Another group.
    Group(GroupId),
}

/// A group with the members that a directory knows.
#[derive(Debug, Clone)]
pub struct Roster {
    /// The group.
    pub group: Group,
    /// Its members and their names.
    pub entries: BTreeMap<Entry, String>,
}

/// What of a group is to change; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The group's fields.
    pub group: GroupChange,
    /// All members that the directory knows.
    pub entries: Option<BTreeSet<Entry>>,
}

/// Creates a group.
///
/// # Errors
/// As [`super::create`]; [`Error::Invalid`] at `/members` for a user or group that the tenant does not have.
pub async fn create(ctx: &Ctx, new: NewGroup, entries: &BTreeSet<Entry>) -> Result<Roster, Error> {
    let group = super::prepare(ctx, &new)?;
    require_room(entries.len())?;
    let mut tx = ctx.begin().await?;
    let group = super::insert(&mut tx, ctx, new, group).await?;
    let mailboxes = store::mailboxes(&mut tx, entries).await?;
    let members = entries.iter().map(|entry| member_of(entry, &mailboxes).ok_or_else(unknown));
    let members = members.collect::<Result<Vec<Member>, Error>>()?;
    if member::fill(&mut tx, ctx, group.id, &members).await?.is_some() {
        return Err(unknown());
    }
    let roster = find(&mut tx, group.id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(roster)
}

/// One group with its members.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such group.
pub async fn get(ctx: &Ctx, id: GroupId) -> Result<Roster, Error> {
    ctx.require(Action::GroupRead)?;
    let mut tx = ctx.read().await?;
    find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Changes a group by what `change` makes of its present state, which nobody else changes meanwhile. A change of nothing is
/// none.
///
/// # Errors
/// Those of `change`; [`Error::NotFound`]; [`Error::VersionMismatch`]; those of [`super::update`] and
/// [`super::add_member`]; [`Error::Invalid`] at `/members` for a user or group that the tenant does not have.
pub async fn update<E: From<Error>>(
    ctx: &Ctx,
    id: GroupId,
    if_version: Option<i64>,
    change: impl FnOnce(&Roster) -> Result<Change, E>,
) -> Result<Roster, E> {
    ctx.require(Action::GroupWrite)?;
    let mut tx = ctx.begin().await.map_err(Error::from)?;
    let old = lock(&mut tx, id, if_version).await?;
    let change = change(&old)?;
    Ok(put(tx, ctx, &old, change).await?)
}

async fn lock(tx: &mut TenantTx, id: GroupId, if_version: Option<i64>) -> Result<Roster, Error> {
    let group = require(tx, id).await?;
    require_version(if_version, group.version)?;
    find(tx, id).await?.ok_or(Error::NotFound)
}

async fn put(mut tx: TenantTx, ctx: &Ctx, old: &Roster, change: Change) -> Result<Roster, Error> {
    let id = old.group.id;
    if change.group != GroupChange::default() {
        let wanted = check_change(&change.group)?;
        apply(&mut tx, ctx, &old.group, &change.group, wanted).await?;
    }
    if let Some(entries) = change.entries {
        require_room(entries.len())?;
        let had: BTreeSet<Entry> = old.entries.keys().copied().collect();
        let moved: BTreeSet<Entry> = had.symmetric_difference(&entries).copied().collect();
        let mailboxes = store::mailboxes(&mut tx, &moved).await?;
        // Those who leave make room for those who come.
        for entry in had.difference(&entries) {
            if let Some(member) = member_of(entry, &mailboxes) {
                member::remove(&mut tx, ctx, id, member).await?;
            }
        }
        for entry in entries.difference(&had) {
            let member = member_of(entry, &mailboxes).ok_or_else(unknown)?;
            member::add(&mut tx, ctx, id, member).await.map_err(|error| match error {
                Error::NotFound => unknown(),
                other => other,
            })?;
        }
    }
    let now = find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(now)
}

/// Before anything is written: one by one they would be counted at each.
fn require_room(members: usize) -> Result<(), Error> {
    if members <= member::MAX_MEMBERS { Ok(()) } else { Err(member::too_many()) }
}

fn unknown() -> Error {
    Error::invalid("/members", "the tenant has no such user or group")
}

fn member_of(entry: &Entry, mailboxes: &BTreeMap<UserId, kernel::MailboxId>) -> Option<Member> {
    match entry {
        Entry::User(id) => mailboxes.get(id).map(|&mailbox_id| Member::Mailbox(mailbox_id)),
        Entry::Group(id) => Some(Member::Group(*id)),
    }
}

async fn find(tx: &mut TenantTx, id: GroupId) -> Result<Option<Roster>, Error> {
    let Some(group) = super::store::find(tx, id).await? else { return Ok(None) };
    let entries = store::entries(tx, &[id]).await?.remove(&id).unwrap_or_default();
    Ok(Some(Roster { group, entries }))
}
