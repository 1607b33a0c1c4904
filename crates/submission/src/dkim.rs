//! The keys that a domain's mail is signed with (RFC 6376).
//!
//! They come in pairs, of RSA and of Ed25519 (RFC 8463), as not every reader knows the younger. A new pair waits until both its records are
//! published; from then on it signs, and the pair before it no more. The private halves of that one are erased then: mail is signed when it is
//! accepted. Its records are needed for as long as mail that it signed is on its way.

mod duty;
mod pair;
mod record;
mod signer;
mod store;

use chrono::{DateTime, TimeDelta, Utc};
use dns::Resolver;
use dns::health::{Dkim, Expected, Health, Status};
use kernel::{DkimKeyId, DomainId, DomainName, Page, PageRequest, named};
use mailstore::MailStore;
use serde_json::json;
use tenancy::{Action, Ctx, event};
use tokio::sync::Semaphore;

use crate::Error;
use crate::schedule::GIVE_UP_AFTER;

pub use duty::{Done, run};
pub use record::Record;
pub(crate) use signer::Signers;
#[cfg(any(test, fuzzing))]
pub(crate) use signer::fuzz;

/// For how long a record is needed after the last signature: mail is under way for days, and is read again by its receiver after that.
const RECORDS_FOR: TimeDelta = GIVE_UP_AFTER.checked_add(&TimeDelta::days(2)).expect("a week is no overflow");

/// Keys are made one after the other: it takes a processor's time, and whoever asks for many waits.
static MAKING: Semaphore = Semaphore::const_new(1);

named! {
    /// What is done with a pair of keys.
    KeyState {
        /// They sign as soon as their records are published.
        Pending = "pending",
        /// They sign.
        Active = "active",
        /// They have signed; the private halves are gone.
        Retired = "retired",
    }
}

/// A pair of keys of a domain.
#[derive(Debug, Clone)]
pub struct DkimKey {
    /// Its id.
    pub id: DkimKeyId,
    /// The domain's name.
    pub domain: DomainName,
    /// What both selectors begin with.
    pub selector: String,
    /// What is done with it.
    pub state: KeyState,
    rsa_public: Vec<u8>,
    ed25519_public: Vec<u8>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it began to sign.
    pub activated_at: Option<DateTime<Utc>>,
    /// When it ceased to sign.
    pub retired_at: Option<DateTime<Utc>>,
    /// Counts its changes.
    pub version: i64,
}

impl DkimKey {
    /// What its owner publishes: of RSA, of Ed25519.
    pub fn records(&self) -> [Record; 2] {
        [
            Record::rsa(&self.selector, &self.domain, &self.rsa_public),
            Record::ed25519(&self.selector, &self.domain, &self.ed25519_public),
        ]
    }

    /// Until when the records of one that signs no more are to stay.
    pub fn records_needed_until(&self) -> Option<DateTime<Utc>> {
        self.retired_at.map(|at| at + RECORDS_FOR)
    }

    fn expected(&self) -> impl Iterator<Item = Dkim> {
        self.records().into_iter().map(|record| Dkim { selector: record.selector, record: record.value })
    }

    /// What the domain name system says of its records. No transaction is to be open meanwhile.
    async fn health(&self, resolver: &Resolver) -> Health {
        let expected = Expected { dkim: self.expected().collect(), ..Expected::default() };
        dns::health::check(resolver, &self.domain, &expected).await
    }
}

/// A domain's keys, the oldest first.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such domain; as of any statement.
pub async fn list(ctx: &Ctx, domain_id: DomainId, page: PageRequest) -> Result<Page<DkimKey>, Error> {
    tenancy::domain::get(ctx, domain_id).await?;
    let rows = store::list(&mut *ctx.read().await?, domain_id, &page).await?;
    Ok(Page::cut(rows, &page, |key| key.id.uuid()))
}

/// One of a domain's.
///
/// # Errors
/// [`Error::NotFound`]; as of any statement.
pub async fn get(ctx: &Ctx, domain_id: DomainId, id: DkimKeyId) -> Result<DkimKey, Error> {
    ctx.require(Action::DomainRead)?;
    find(ctx, domain_id, id).await
}

async fn find(ctx: &Ctx, domain_id: DomainId, id: DkimKeyId) -> Result<DkimKey, Error> {
    store::find(&mut *ctx.read().await?, domain_id, id).await?.ok_or(Error::NotFound)
}

/// What the domain name system should say of the keys of a domain that sign, or are to.
///
/// # Errors
/// `Forbidden` by role; else when the database fails.
pub async fn expected(ctx: &Ctx, domain_id: DomainId) -> Result<Vec<Dkim>, Error> {
    ctx.require(Action::DomainRead)?;
    let keys = store::in_use(&mut *ctx.read().await?, domain_id).await?;
    Ok(keys.iter().flat_map(DkimKey::expected).collect())
}

/// Makes a new pair for a domain, which signs once its records are published.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::KeyPending`] while another waits for its records; as of the tenant's data key and any statement.
pub async fn create(store: &MailStore, ctx: &Ctx, domain_id: DomainId) -> Result<DkimKey, Error> {
    ctx.require(Action::DomainWrite)?;
    let domain = {
        let mut tx = ctx.begin().await?;
        // Asked again where it counts; this saves making keys.
        if store::in_use(&mut tx, domain_id).await?.iter().any(|key| key.state == KeyState::Pending) {
            return Err(Error::KeyPending);
        }
        store::domain(&mut tx, domain_id).await?.ok_or(Error::NotFound)?
    };
    let (id, env) = (ctx.env().new_id(), ctx.env().clone());
    let pair = {
        let _turn = MAKING.acquire().await.map_err(Error::keys)?;
        tokio::task::spawn_blocking(move || pair::Pair::generate(&env)).await
    };
    let pair = pair.map_err(Error::keys)?.map_err(Error::keys)?;
    let data_key = store.keys().sealing(ctx).await?;
    let now = ctx.env().now();
    let made = DkimKey {
        id,
        domain,
        selector: selector(now, ctx.env().random()),
        state: KeyState::Pending,
        rsa_public: pair.rsa_public().to_vec(),
        ed25519_public: pair.ed25519_public().to_vec(),
        created_at: now,
        activated_at: None,
        retired_at: None,
        version: 1,
    };
    let sealed = pair.seal(&data_key, ctx.env(), &place(domain_id, id));
    let mut tx = ctx.begin().await?;
    let inserted = store::insert(&mut tx, domain_id, &made, &sealed, data_key.generation()).await;
    inserted.map_err(|error| match error.constraint() {
        Some("dkim_keys_one_pending") => Error::KeyPending,
        Some("dkim_keys_domain") => Error::NotFound,
        _ => error.into(),
    })?;
    let data = json!({"domain": made.domain, "selector": made.selector});
    event::record(&mut tx, ctx, event::Kind::DkimKeyCreated, id, data).await?;
    tx.commit().await?;
    Ok(made)
}

/// Has a pair sign whose records are published, at this moment; the one that signed so far does so no more. One that signs already goes on.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::KeyState`] for one that is retired; [`Error::KeyNotPublished`] when the records are not there, or not as they
/// should be; [`Error::DnsUnavailable`] when the domain name system does not answer.
pub async fn activate(
    ctx: &Ctx,
    resolver: &Resolver,
    domain_id: DomainId,
    id: DkimKeyId,
) -> Result<DkimKey, Error> {
    ctx.require(Action::DomainWrite)?;
    let key = find(ctx, domain_id, id).await?;
    match key.state {
        KeyState::Pending => {}
        KeyState::Active => return Ok(key),
        KeyState::Retired => return Err(Error::KeyState("retired")),
    }
    let health = key.health(resolver).await;
    if let Some(check) = health.checks.iter().find(|check| check.status != Status::Ok) {
        return Err(match check.status {
            Status::Unavailable => Error::DnsUnavailable,
            _ => Error::KeyNotPublished(check.name.clone()),
        });
    }
    let (mut tx, now) = (ctx.begin().await?, ctx.env().now());
    store::lock_domain(&mut tx, domain_id).await?;
    store::retire(&mut tx, domain_id, now).await?;
    if !store::activate(&mut tx, domain_id, id, now).await? {
        drop(tx);
        // Deleted meanwhile, or by another hand active, or retired again.
        let key = find(ctx, domain_id, id).await?;
        return if key.state == KeyState::Active {
            Ok(key)
        } else {
            Err(Error::KeyState(key.state.as_str()))
        };
    }
    let data = json!({"domain": key.domain, "selector": key.selector});
    event::record(&mut tx, ctx, event::Kind::DkimKeyActivated, id, data).await?;
    let key = store::find(&mut tx, domain_id, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(key)
}

/// Looks whether the records of a pair that signs are published still, and tells of it when that changes: whether they are, as far as is known.
async fn watch(ctx: &Ctx, resolver: &Resolver, domain_id: DomainId, id: DkimKeyId) -> Result<bool, Error> {
    let key = find(ctx, domain_id, id).await?;
    let health = key.health(resolver).await;
    let is_gone = |status| !matches!(status, Status::Ok | Status::Unavailable);
    let gone: Vec<_> =
        health.checks.iter().filter(|check| is_gone(check.status)).map(|check| &check.name).collect();
    if gone.is_empty() && !health.is_ok() {
        return Ok(true);
    }
    let (mut tx, now) = (ctx.begin().await?, ctx.env().now());
    let is_published = gone.is_empty();
    if store::put_unpublished(&mut tx, domain_id, id, (!is_published).then_some(now)).await? {
        let data = json!({"domain": key.domain, "selector": key.selector, "published": is_published, "missing": gone});
        event::record(&mut tx, ctx, event::Kind::DkimKeyUnpublished, id, data).await?;
        tx.commit().await?;
    }
    Ok(is_published)
}

/// Removes a pair that does not sign.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::KeyState`] for one that signs; [`Error::Mail`] of another version.
pub async fn delete(
    ctx: &Ctx,
    domain_id: DomainId,
    id: DkimKeyId,
    if_version: Option<i64>,
) -> Result<(), Error> {
    ctx.require(Action::DomainWrite)?;
    let mut tx = ctx.begin().await?;
    store::lock_domain(&mut tx, domain_id).await?;
    let key = store::find(&mut tx, domain_id, id).await?.ok_or(Error::NotFound)?;
    tenancy::require_version(if_version, key.version)?;
    if key.state == KeyState::Active {
        return Err(Error::KeyState("active"));
    }
    store::delete(&mut tx, domain_id, id).await?;
    let data = json!({"domain": key.domain, "selector": key.selector});
    event::record(&mut tx, ctx, event::Kind::DkimKeyDeleted, id, data).await?;
    tx.commit().await?;
    Ok(())
}

/// What a pair's private halves are sealed for.
fn place(domain_id: DomainId, id: DkimKeyId) -> Vec<u8> {
    [b"dkim".as_slice(), domain_id.uuid().as_bytes(), id.uuid().as_bytes()].concat()
}

/// No selector comes twice, whatever a domain has published before.
fn selector(at: DateTime<Utc>, random: [u8; 4]) -> String {
    format!("pb{}-{:08x}", at.format("%Y%m%d"), u32::from_be_bytes(random))
}
