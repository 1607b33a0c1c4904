//! Users as a customer's directory keeps them: fields, sign-in and quota in one change, and lists that are counted.

mod store;

use kernel::{Cursor, EmailAddress, PageRequest, UserId};
use secrecy::SecretString;

use super::{Filter, NewUser, User, UserChange, lifecycle, prepare, require_manageable};
use crate::policy::{self, Capability};
use crate::{Action, Ctx, Error, TenantTx, event, mailbox, require_version};

/// The most users that [`list`] looks at for a filter that no index answers.
pub const MAX_SCANNED: u64 = 50_000;

/// A user, with what of their mailbox a directory knows.
#[derive(Debug, Clone)]
pub struct Account {
    /// Who they are.
    pub user: User,
    /// Their mailbox's quota; `None` is unlimited.
    pub quota_bytes: Option<i64>,
    /// Counts the changes of both.
    pub version: i64,
}

impl Account {
    /// Whether they may sign in.
    #[must_use]
    pub fn may_sign_in(&self) -> bool {
        !self.user.suspended_capabilities.contains(&Capability::SignIn)
    }
}

/// What of an account is to change; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The user's fields.
    pub user: UserChange,
    /// Whether they may sign in.
    pub may_sign_in: Option<bool>,
    /// Another quota; `Some(None)` is unlimited.
    pub quota_bytes: Option<Option<i64>>,
}

/// Creates a user as [`super::create`] does; unless they may sign in, without that capability from the start.
///
/// # Errors
/// As [`super::create`].
pub async fn create(ctx: &Ctx, new: NewUser, may_sign_in: bool) -> Result<Account, Error> {
    ctx.require(Action::UserWrite)?;
    let prepared = prepare(ctx, new).await?;
    let mut tx = ctx.begin().await?;
    let user = super::insert(&mut tx, ctx, prepared).await?;
    let id = user.id;
    set_sign_in(&mut tx, ctx, &user, may_sign_in).await?;
    super::seat(&mut tx, ctx, id).await?;
    let account = find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(account)
}

/// One user's account; a deleted one has none.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such user, or none any more.
pub async fn get(ctx: &Ctx, id: UserId) -> Result<Account, Error> {
    ctx.require(Action::UserRead)?;
    let mut tx = ctx.read().await?;
    find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Changes an account by what `change` makes of its present state, which nobody else changes meanwhile; and its
/// password, if there is a new one. A change of nothing is none.
///
/// # Errors
/// Those of `change`; [`Error::NotFound`]; [`Error::VersionMismatch`] when `if_version` is not the account's;
/// [`Error::Conflict`], [`Error::Invalid`] and [`Error::Forbidden`] as [`super::update`], the last also for a quota that the
/// caller may not set; for other aliases only where the caller's role may not change any.
pub async fn update<E: From<Error>>(
    ctx: &Ctx,
    id: UserId,
    if_version: Option<i64>,
    password: Option<SecretString>,
    change: impl FnOnce(&Account) -> Result<Change, E>,
) -> Result<Account, E> {
    ctx.require(Action::UserWrite)?;
    // Before the transaction: it takes its time.
    let password_hash = match password {
        Some(password) => Some(lifecycle::hash_password(ctx, password).await?),
        None => None,
    };
    let mut tx = ctx.begin().await.map_err(Error::from)?;
    let old = lock(&mut tx, ctx, id, if_version).await?;
    let change = change(&old)?;
    Ok(put(tx, ctx, old, change, password_hash.as_deref()).await?)
}

async fn put(
    mut tx: TenantTx,
    ctx: &Ctx,
    old: Account,
    change: Change,
    password_hash: Option<&str>,
) -> Result<Account, Error> {
    let id = old.user.id;
    if change.user != UserChange::default() {
        let wanted = super::check_change(&change.user)?;
        // A user's addresses are part of what a directory knows of them, so its key needs no right to aliases of its own; its role has one.
        let may_change_aliases = policy::allows(ctx.caller().role(), Action::AliasWrite);
        if super::changes_aliases(&old.user, &wanted) && !may_change_aliases {
            return Err(Error::Forbidden(Action::AliasWrite.as_str()));
        }
        super::apply(&mut tx, ctx, &old.user, &change.user, wanted).await?;
    }
    set_sign_in(&mut tx, ctx, &old.user, change.may_sign_in.unwrap_or(old.may_sign_in())).await?;
    if let Some(hash) = password_hash {
        lifecycle::put_password(&mut tx, ctx, id, hash).await?;
    }
    if let Some(quota_bytes) = change.quota_bytes.filter(|quota_bytes| *quota_bytes != old.quota_bytes) {
        ctx.require(Action::QuotaWrite)?;
        if quota_bytes.is_some_and(|bytes| bytes < 0) {
            return Err(Error::invalid("/quota_bytes", "must not be negative"));
        }
        mailbox::put_quota(&mut tx, ctx, old.user.mailbox_id, quota_bytes).await?;
    }
    let account = find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(account)
}

/// Deletes a user as [`super::delete`] does.
///
/// # Errors
/// As [`super::delete`]; `if_version` is the account's.
pub async fn delete(ctx: &Ctx, id: UserId, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::UserWrite)?;
    let mut tx = ctx.begin().await?;
    let old = lock(&mut tx, ctx, id, if_version).await?;
    lifecycle::remove(&mut tx, ctx, &old.user).await?;
    tx.commit().await?;
    Ok(())
}

/// Where a list looks: an index names one user at most, or all are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// All users.
    Everyone,
    /// The one with this id.
    Id(UserId),
    /// The one with this id in the customer's directory.
    ExternalId(String),
    /// The one with this address, primary or not.
    Address(String),
    /// No one.
    Nobody,
}

/// Which of the found accounts are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many come before.
    pub offset: u64,
    /// The most that are shown; up to [`PageRequest::MAX_LIMIT`].
    pub limit: u64,
}

impl Window {
    /// Whether it shows the one with so many before it.
    #[must_use]
    pub fn has(self, at: u64) -> bool {
        (self.offset..self.offset.saturating_add(self.limit)).contains(&at)
    }
}

/// What a list found.
#[derive(Debug)]
pub struct Found {
    /// How many there are in all.
    pub total: u64,
    /// Those in the window, by id.
    pub accounts: Vec<Account>,
}

/// The accounts that `lookup` finds and the filter keeps. `None`: there are more than [`MAX_SCANNED`] to look at.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see users.
pub async fn list(
    ctx: &Ctx,
    lookup: &Lookup,
    keep: Option<impl Fn(&Account) -> bool + Send>,
    window: Window,
) -> Result<Option<Found>, Error> {
    ctx.require(Action::UserRead)?;
    let mut tx = ctx.read().await?;
    let found = match (lookup, keep) {
        (Lookup::Everyone, None) => count(&mut tx, window).await?,
        (Lookup::Everyone, Some(_)) if store::count(&mut tx).await?.unsigned_abs() > MAX_SCANNED => {
            return Ok(None);
        }
        (Lookup::Everyone, Some(keep)) => scan(&mut tx, keep, window).await?,
        (lookup, keep) => {
            let mut accounts = look_up(&mut tx, lookup).await?;
            accounts.retain(|account| keep.as_ref().is_none_or(|keep| keep(account)));
            let total = accounts.len() as u64;
            if !window.has(0) {
                accounts.clear();
            }
            Found { total, accounts }
        }
    };
    Ok(Some(found))
}

async fn count(tx: &mut TenantTx, window: Window) -> Result<Found, Error> {
    let total = store::count(tx).await?.unsigned_abs();
    if window.limit == 0 || window.offset >= total {
        return Ok(Found { total, accounts: Vec::new() });
    }
    let before = match window.offset {
        0 => None,
        offset => match store::nth(tx, i64::try_from(offset - 1).unwrap_or(i64::MAX)).await? {
            Some(last) => Some(Cursor::after(last)),
            // Those before have become fewer since they were counted.
            None => return Ok(Found { total, accounts: Vec::new() }),
        },
    };
    let limit = u16::try_from(window.limit).unwrap_or(u16::MAX);
    let page = page(tx, &Filter::default(), None, PageRequest::new(Some(limit), before)).await?;
    Ok(Found { total, accounts: page.items })
}

async fn scan(tx: &mut TenantTx, keep: impl Fn(&Account) -> bool, window: Window) -> Result<Found, Error> {
    let mut found = Found { total: 0, accounts: Vec::new() };
    let mut next = None;
    loop {
        let request = PageRequest::new(Some(PageRequest::MAX_LIMIT), next);
        let page = page(tx, &Filter::default(), None, request).await?;
        for account in page.items.into_iter().filter(|account| keep(account)) {
            if window.has(found.total) {
                found.accounts.push(account);
            }
            found.total += 1;
        }
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}

async fn look_up(tx: &mut TenantTx, lookup: &Lookup) -> Result<Vec<Account>, Error> {
    let (filter, address) = match lookup {
        Lookup::Id(id) => return Ok(find(tx, *id).await?.into_iter().collect()),
        Lookup::ExternalId(text) => (Filter { external_id: Some(text.clone()), ..Filter::default() }, None),
        Lookup::Address(text) => match text.parse::<EmailAddress>() {
            Ok(address) => (Filter::default(), Some(address)),
            // What is no address is nobody's.
            Err(_) => return Ok(Vec::new()),
        },
        Lookup::Everyone | Lookup::Nobody => return Ok(Vec::new()),
    };
    Ok(page(tx, &filter, address.as_ref(), PageRequest::new(Some(1), None)).await?.items)
}

async fn page(
    tx: &mut TenantTx,
    filter: &Filter,
    address: Option<&EmailAddress>,
    request: PageRequest,
) -> Result<kernel::Page<Account>, Error> {
    let users = super::store::list(tx, filter, address, &request).await?;
    let page = kernel::Page::cut(users, &request, |user| user.id.uuid());
    Ok(kernel::Page { items: accounts(tx, page.items).await?, next: page.next })
}

async fn find(tx: &mut TenantTx, id: UserId) -> Result<Option<Account>, Error> {
    let user = super::store::find(tx, id).await?.filter(|user| user.deleted_at.is_none());
    Ok(accounts(tx, user.into_iter().collect()).await?.pop())
}

/// The users' accounts, in their order.
async fn accounts(tx: &mut TenantTx, users: Vec<User>) -> Result<Vec<Account>, Error> {
    let mut mailboxes = store::mailboxes(tx, users.iter().map(|user| user.mailbox_id)).await?;
    let each = users.into_iter().filter_map(|user| {
        let mailbox = mailboxes.remove(&user.mailbox_id)?;
        let version = user.version + mailbox.version - 1;
        Some(Account { user, quota_bytes: mailbox.quota_bytes, version })
    });
    Ok(each.collect())
}

/// The account, locked, if the caller may change it and has seen its version.
async fn lock(tx: &mut TenantTx, ctx: &Ctx, id: UserId, if_version: Option<i64>) -> Result<Account, Error> {
    let user = require_manageable(tx, ctx, id).await?;
    mailbox::lock(tx, user.mailbox_id).await?;
    let account = find(tx, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, account.version)?;
    Ok(account)
}

/// Takes the capability from a locked user or gives it back, if they do not have it so.
async fn set_sign_in(tx: &mut TenantTx, ctx: &Ctx, old: &User, may: bool) -> Result<(), Error> {
    let had = &old.suspended_capabilities;
    let (kind, suspended) = if may {
        (event::Kind::UserResumed, Capability::given_back(had, &[Capability::SignIn]))
    } else {
        (event::Kind::UserSuspended, Capability::taken(had, &[Capability::SignIn]))
    };
    if suspended == *had {
        return Ok(());
    }
    lifecycle::put_suspended(tx, ctx, old.id, kind, &suspended).await
}
