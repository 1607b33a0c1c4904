//! Members of groups. A group may be a member of another, but not, through however many, of itself.

use std::collections::BTreeSet;

use kernel::{GroupId, MailboxId, Page, PageRequest};
use serde_json::json;
use uuid::Uuid;

use super::{require, store};
use crate::event::Happened;
use crate::{Action, Ctx, Error, TenantTx, event, quota, tenant};

/// How many members a group may have, those of its member groups not counted.
pub(super) const MAX_MEMBERS: usize = 10_000;
/// How many of them a new group may be given.
pub(super) const MAX_AT_ONCE: usize = 1_000;

/// A member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// A mailbox.
    Mailbox(MailboxId),
    /// Another group, with all who are in it.
    Group(GroupId),
}

impl Member {
    /// Its id in tables.
    pub(crate) fn uuid(self) -> Uuid {
        match self {
            Self::Mailbox(id) => id.uuid(),
            Self::Group(id) => id.uuid(),
        }
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mailbox(id) => id.fmt(f),
            Self::Group(id) => id.fmt(f),
        }
    }
}

impl std::str::FromStr for Member {
    type Err = kernel::id::IdError;

    /// The wire id of a mailbox or group.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Group(id)),
            Err(_) => text.parse().map(Self::Mailbox),
        }
    }
}

impl serde::Serialize for Member {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Member {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("must be the id of a mailbox or of a group"))
    }
}

/// A group's members, those of its member groups not among them. Deleted mailboxes are not shown; restored, they are
/// members again.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such group.
pub async fn members(ctx: &Ctx, id: GroupId, page: PageRequest) -> Result<Page<Member>, Error> {
    ctx.require(Action::GroupRead)?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let rows = store::members(&mut tx, id, &page).await?;
    Ok(Page::cut(rows, &page, |member| member.uuid()))
}

/// Makes a mailbox or group a member. One that is a member already stays so.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such group, or no such mailbox or group to make a member of it;
/// [`Error::Conflict`] `group_loop` when the group is, through others, a member of what is to be its member, and
/// `too_many_members`.
pub async fn add_member(ctx: &Ctx, id: GroupId, member: Member) -> Result<(), Error> {
    ctx.require(Action::GroupWrite)?;
    let mut tx = ctx.begin().await?;
    require(&mut tx, id).await?;
    if add(&mut tx, ctx, id, member).await? {
        tx.commit().await?;
    }
    Ok(())
}

/// Takes a member from a group. What is no member stays so.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such group.
pub async fn remove_member(ctx: &Ctx, id: GroupId, member: Member) -> Result<(), Error> {
    ctx.require(Action::GroupWrite)?;
    let mut tx = ctx.begin().await?;
    require(&mut tx, id).await?;
    if remove(&mut tx, ctx, id, member).await? {
        tx.commit().await?;
    }
    Ok(())
}

/// Gives a new group its members, and tells of each once; where in the list the first is that the tenant does not have, if it does not have all.
/// A new group is a member of none, so nothing here can close a loop.
pub(super) async fn fill(
    tx: &mut TenantTx,
    ctx: &Ctx,
    id: GroupId,
    members: &[Member],
) -> Result<Option<usize>, Error> {
    for (at, &member) in members.iter().enumerate() {
        if !insert(tx, id, member).await? {
            return Ok(Some(at));
        }
    }
    if members.is_empty() {
        return Ok(None);
    }
    let once: BTreeSet<Member> = members.iter().copied().collect();
    let added = |member| Happened {
        ctx,
        kind: event::Kind::GroupMemberAdded,
        subject: id.to_string(),
        data: told(member),
    };
    event::record_all(tx, once.into_iter().map(added).collect()).await?;
    Ok(None)
}

/// What the trail says of one that comes or goes.
fn told(member: Member) -> serde_json::Value {
    json!({"member_id": member.to_string()})
}

/// Adds a member to a locked group; whether it was none before.
pub(super) async fn add(tx: &mut TenantTx, ctx: &Ctx, id: GroupId, member: Member) -> Result<bool, Error> {
    if store::is_member(tx, id, member).await? {
        return Ok(false);
    }
    if store::count_members(tx, id).await? >= MAX_MEMBERS {
        return Err(too_many());
    }
    if !insert(tx, id, member).await? {
        return Err(Error::NotFound);
    }
    if let Member::Group(inner) = member {
        // Whoever nests groups does so one after the other: of two who would close a loop together, the second sees it.
        tenant::lock(tx).await?;
        if store::reaches(tx, inner, id).await? {
            return Err(Error::conflict("group_loop", "the group would come to be a member of itself"));
        }
    }
    store::touch(tx, id).await?;
    event::record(tx, ctx, event::Kind::GroupMemberAdded, id, told(member)).await?;
    Ok(true)
}

pub(super) fn too_many() -> Error {
    Error::conflict("too_many_members", "a group may have at most 10000 members")
}

/// Takes a member from a locked group; whether it was one.
pub(super) async fn remove(tx: &mut TenantTx, ctx: &Ctx, id: GroupId, member: Member) -> Result<bool, Error> {
    if !store::remove_member(tx, id, member).await? {
        return Ok(false);
    }
    store::touch(tx, id).await?;
    event::record(tx, ctx, event::Kind::GroupMemberRemoved, id, told(member)).await?;
    Ok(true)
}

/// Writes a member down; false when the tenant has no such mailbox or group.
async fn insert(tx: &mut TenantTx, id: GroupId, member: Member) -> Result<bool, Error> {
    let exists = match member {
        Member::Mailbox(id) => quota::exists(tx, id).await?,
        Member::Group(id) => store::exists(tx, id).await?,
    };
    if exists {
        store::insert_member(tx, id, member).await?;
    }
    Ok(exists)
}
