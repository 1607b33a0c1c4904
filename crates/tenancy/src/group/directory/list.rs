//! Lists of groups that are counted: no more of them is held than is shown.

use std::collections::BTreeMap;

use kernel::{Cursor, GroupId, Page, PageRequest};
use uuid::Uuid;

use super::{Entry, Roster, store};
use crate::group::{Group, store as groups};
use crate::user::directory::Window;
use crate::{Action, Ctx, Error, TenantTx};

/// The most groups that [`list`] looks at for a filter.
pub const MAX_SCANNED: u64 = 50_000;

/// Which groups are looked at; of those, a filter keeps some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lookup {
    /// Only the one with this id in the customer's directory.
    pub external_id: Option<String>,
    /// Only those with this name, in whatever case.
    pub display_name: Option<String>,
    /// Only those that have this member.
    pub member: Option<Entry>,
}

impl Lookup {
    /// The member's id in tables, as a user or as a group.
    pub(in crate::group) fn member_ids(&self) -> (Option<Uuid>, Option<Uuid>) {
        match self.member {
            Some(Entry::User(id)) => (Some(id.uuid()), None),
            Some(Entry::Group(id)) => (None, Some(id.uuid())),
            None => (None, None),
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Search {
    /// Where to look.
    pub lookup: Lookup,
    /// Whether the filter is about members, and has to see them.
    pub by_members: bool,
    /// Whether those found are shown with their members.
    pub with_members: bool,
    /// Which of them are shown.
    pub window: Window,
}

/// What a list found.
#[derive(Debug)]
pub struct Found {
    /// How many there are in all.
    pub total: u64,
    /// Those in the window, by id.
    pub rosters: Vec<Roster>,
}

/// The groups that are looked up and kept. `None`: there are more than [`MAX_SCANNED`] to look at.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see groups.
pub async fn list(
    ctx: &Ctx,
    search: &Search,
    keep: Option<impl Fn(&Roster) -> bool + Send>,
) -> Result<Option<Found>, Error> {
    ctx.require(Action::GroupRead)?;
    let mut tx = ctx.read().await?;
    let mut found = match keep {
        None if search.lookup == Lookup::default() => count(&mut tx, search.window).await?,
        // Of an external id there is one.
        _ if search.lookup.external_id.is_none()
            && store::count(&mut tx, &search.lookup).await?.unsigned_abs() > MAX_SCANNED =>
        {
            return Ok(None);
        }
        keep => scan(&mut tx, search, keep).await?,
    };
    if search.with_members && !search.by_members {
        let ids: Vec<GroupId> = found.rosters.iter().map(|roster| roster.group.id).collect();
        let mut entries = store::entries(&mut tx, &ids).await?;
        for roster in &mut found.rosters {
            roster.entries = entries.remove(&roster.group.id).unwrap_or_default();
        }
    }
    Ok(Some(found))
}

/// All groups, of which those before the window are passed over.
async fn count(tx: &mut TenantTx, window: Window) -> Result<Found, Error> {
    let total = store::count(tx, &Lookup::default()).await?.unsigned_abs();
    if window.limit == 0 || window.offset >= total {
        return Ok(Found { total, rosters: Vec::new() });
    }
    let before = match window.offset {
        0 => None,
        offset => match store::nth(tx, i64::try_from(offset - 1).unwrap_or(i64::MAX)).await? {
            Some(last) => Some(Cursor::after(last)),
            // Those before have become fewer since they were counted.
            None => return Ok(Found { total, rosters: Vec::new() }),
        },
    };
    let limit = u16::try_from(window.limit).unwrap_or(u16::MAX);
    let page = page(tx, &Lookup::default(), PageRequest::new(Some(limit), before)).await?;
    let bare = |group| Roster { group, entries: BTreeMap::new() };
    Ok(Found { total, rosters: page.items.into_iter().map(bare).collect() })
}

async fn scan(
    tx: &mut TenantTx,
    search: &Search,
    keep: Option<impl Fn(&Roster) -> bool>,
) -> Result<Found, Error> {
    let mut found = Found { total: 0, rosters: Vec::new() };
    let mut next = None;
    loop {
        let page = page(tx, &search.lookup, PageRequest::new(Some(PageRequest::MAX_LIMIT), next)).await?;
        let ids: Vec<GroupId> = page.items.iter().map(|group| group.id).collect();
        let mut entries = if search.by_members { store::entries(tx, &ids).await? } else { BTreeMap::new() };
        for group in page.items {
            let roster = Roster { entries: entries.remove(&group.id).unwrap_or_default(), group };
            if !keep.as_ref().is_none_or(|keep| keep(&roster)) {
                continue;
            }
            if search.window.has(found.total) {
                found.rosters.push(roster);
            }
            found.total += 1;
        }
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}

async fn page(tx: &mut TenantTx, lookup: &Lookup, request: PageRequest) -> Result<Page<Group>, Error> {
    let found = groups::list(tx, lookup, None, &request).await?;
    Ok(Page::cut(found, &request, |group| group.id.uuid()))
}
