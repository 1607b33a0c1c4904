//! Tenants' data keys: made once, kept wrapped, in a row and in the blob store, from which they can be had without a database.
//!
//! The row decides which key it is; the object follows, and only then does the key seal. So whatever has been sealed can be
//! opened by whoever has the bucket and the key-encryption key. The installation has a key as well, as the tenant nil. Each step bears being interrupted: [`Keys::rewrap`] goes on from there.
//!
//! A key whose row was damaged does not seal any more; the next generation does, so that the tenant's mail goes on, and with it the journal, which is everybody's.
//! Where it may be that this process has another key-encryption key of that name, nothing seals here.

pub(crate) mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use blob::{BlobKey, BlobStore, KeyPrefix};
use db::{Db, SystemTx};
use kernel::{TenantId, WrappedKeyId};
use moka::future::Cache;
use pack::{DataKey, Generation, KekId, KeyEncryption, KeyError, WrappedKey};
use serde_json::json;
use tenancy::{Ctx, Scope, event};
use uuid::Uuid;

use crate::Error;

/// As whose the installation's own key is kept: it is for what the journal has of no tenant.
pub const INSTALLATION: TenantId = TenantId::from_uuid(Uuid::nil());

/// How many keys are looked up at a time.
const BATCH: i64 = 500;

/// How many keys are looked at, at most, to see whether a key-encryption key opens them.
const SAMPLES: i64 = 8;

/// The highest generation that is believed of a damaged object: nobody changes a key as often, and higher ones do not fit into a row.
const CREDIBLE: u32 = 1_000_000;

/// How many tenants' keys a process has in memory.
const REMEMBERED: u64 = 100_000;
/// How long a process seals with the same key without looking whether there is a newer one.
const SEALS_FOR: Duration = Duration::from_secs(60);
/// How long a process has a key in memory, also if it was destroyed meanwhile.
const OPENS_FOR: Duration = Duration::from_secs(300);

/// Where wrapped keys are kept, and who unwraps them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys {
    db: Db,
    blobs: Arc<dyn BlobStore>,
    encryption: Arc<dyn KeyEncryption>,
    sealing: Cache<TenantId, Arc<DataKey>>,
    opening: Cache<(TenantId, Generation), Arc<DataKey>>,
}

/// A wrapped key as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    tenant_id: TenantId,
    generation: Generation,
    id: WrappedKeyId,
    /// The name of the key-encryption key, as text.
    kek: String,
    wrapped: Vec<u8>,
    is_stored: bool,
    /// An object that is to be deleted: the same key under an older key-encryption key.
    former: Option<WrappedKeyId>,
}

impl Row {
    /// The wrapped key that it holds.
    fn wrapped_key(&self) -> Result<WrappedKey, KeyError> {
        let wrapped = WrappedKey::decode(&self.wrapped)?;
        // Another's in its place is as good as none.
        if (wrapped.tenant(), wrapped.generation()) != (self.tenant_id, self.generation) {
            return Err(KeyError::Refused(wrapped.kek().clone()));
        }
        Ok(wrapped)
    }

    /// Whether what it holds is a wrapped key, and says of itself what the row says.
    fn is_consistent(&self) -> bool {
        self.wrapped_key().is_ok_and(|wrapped| wrapped.kek().as_str() == self.kek)
    }
}

/// An object of a tenant's that holds no key that opens.
#[derive(Debug)]
pub struct Damaged {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which one.
    pub key: WrappedKeyId,
    /// Why it does not open.
    pub cause: KeyError,
}

/// What a damaged object of a tenant's says that it is, if that can be.
fn told_by(tenant: TenantId, bytes: &[u8]) -> Option<WrappedKey> {
    let wrapped = WrappedKey::decode(bytes).ok()?;
    (wrapped.tenant() == tenant && wrapped.generation().number() <= CREDIBLE).then_some(wrapped)
}

/// What a change of the key-encryption key came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Keys that are wrapped with the current one now and were not before.
    pub keys: u64,
    /// Keys that failed and were passed by; the older key-encryption keys are still needed.
    pub failed: u64,
}

/// For each key-encryption key that is in use, by its name, some keys that are wrapped with it: whoever opens one of each opens all that are not damaged. Those
/// that are no wrapped keys any more, or name another one, are left out.
///
/// # Errors
/// When the database fails.
#[expect(clippy::disallowed_methods, reason = "the keys of all tenants are meant")]
pub async fn in_use(db: &Db) -> Result<BTreeMap<String, Vec<WrappedKey>>, Error> {
    let mut in_use: BTreeMap<String, Vec<WrappedKey>> = BTreeMap::new();
    for (kek, wrapped) in store::some_of_each(&mut SystemTx::begin(db).await?, SAMPLES).await? {
        let wrapped = WrappedKey::decode(&wrapped).ok().filter(|wrapped| wrapped.kek().as_str() == kek);
        in_use.entry(kek).or_default().extend(wrapped);
    }
    Ok(in_use)
}

/// Those of some tenants who are not destroyed: without a key, what they have cannot be read.
///
/// # Errors
/// When the database fails.
#[expect(clippy::disallowed_methods, reason = "tenants are meant that cannot be entered")]
pub async fn kept_of(db: &Db, tenants: &BTreeSet<TenantId>) -> Result<BTreeSet<TenantId>, Error> {
    Ok(store::kept_of(&mut SystemTx::begin(db).await?, tenants).await?)
}

/// Whether a blob store has an object of the installation's own key: then it is this installation's, or a copy of that. So is any where no such object
/// was put yet.
///
/// # Errors
/// When the database or the blob store fails.
#[expect(clippy::disallowed_methods, reason = "it is no tenant's")]
pub async fn is_of_installation(db: &Db, blobs: &dyn BlobStore) -> Result<bool, Error> {
    let put = store::put_of(&mut SystemTx::begin(db).await?, INSTALLATION).await?;
    for &key in &put {
        match blobs.get(&BlobKey::WrappedKey { tenant: INSTALLATION, key }).await {
            Ok(_) => return Ok(true),
            Err(blob::Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(put.is_empty())
}

fn damaged_keys() -> metrics::Counter {
    metrics::counter!("pillarbox_tenant_keys_damaged_total")
}

impl Keys {
    /// Keys in `blobs` and `db`, wrapped by `encryption`.
    pub fn new(db: Db, blobs: Arc<dyn BlobStore>, encryption: Arc<dyn KeyEncryption>) -> Self {
        // Counted from the start: who looks for a rise sees the first one too.
        damaged_keys().increment(0);
        Self {
            db,
            blobs,
            encryption,
            sealing: Cache::builder().max_capacity(REMEMBERED).time_to_live(SEALS_FOR).build(),
            opening: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(OPENS_FOR)
                .support_invalidation_closures()
                .build(),
        }
    }

    /// The key that seals a tenant's mail now, or a minute ago; made if the tenant has none, or a damaged one. Callers at the same time wait for one of them.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a tenant that is being destroyed, [`Error::Key`] when its key-encryption key is not at hand, or is another one of that
    /// name, `Blob` when it cannot be stored.
    pub async fn sealing(&self, ctx: &Ctx) -> Result<Arc<DataKey>, Error> {
        self.sealing_of(ctx.tenant_id()).await
    }

    /// The key that seals what the journal has of a tenant, or of none; `None` for a tenant that is being destroyed.
    ///
    /// # Errors
    /// As [`Self::sealing`].
    pub async fn for_journal(&self, tenant: Option<TenantId>) -> Result<Option<Arc<DataKey>>, Error> {
        match self.sealing_of(tenant.unwrap_or(INSTALLATION)).await {
            Ok(key) => Ok(Some(key)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn sealing_of(&self, tenant: TenantId) -> Result<Arc<DataKey>, Error> {
        let newest = Box::pin(async { self.newest(tenant).await.map(Arc::new) });
        self.sealing.try_get_with(tenant, newest).await.map_err(|error| Error::clone(&error))
    }

    async fn newest(&self, tenant: TenantId) -> Result<DataKey, Error> {
        let mut damaged = None;
        loop {
            let row = match self.row(tenant, None).await? {
                Some(row) => row,
                None => {
                    self.add(tenant, Generation::FIRST).await?.0.commit().await?;
                    self.row(tenant, None).await?.ok_or(Error::NotFound)?
                }
            };
            let error = match self.unwrap(&row).await {
                Ok(key) => {
                    // Where the row has changed under our hands, the next look sees to what.
                    if row.is_stored || self.put(&row).await? {
                        return Ok(key);
                    }
                    continue;
                }
                Err(error) => error,
            };
            if !self.is_damaged(&row, &error).await? {
                return Err(error);
            }
            match damaged.replace(row.id) {
                None => self.follow(&row, &error).await?,
                // None could be added: it is being destroyed.
                Some(id) if id == row.id => return Err(Error::NotFound),
                Some(_) => return Err(error),
            }
        }
    }

    /// Whether it is the row's fault that its key was not unwrapped.
    async fn is_damaged(&self, row: &Row, error: &Error) -> Result<bool, Error> {
        let Error::Key(cause) = error else { return Ok(false) };
        match &**cause {
            KeyError::Unavailable(_) => Ok(false),
            KeyError::Unknown(_) | KeyError::Refused(_) | KeyError::Malformed(_) if !row.is_consistent() => {
                Ok(true)
            }
            KeyError::Unknown(_) | KeyError::Malformed(_) => Ok(false),
            KeyError::Refused(_) => self.opens_others(row).await,
        }
    }

    /// Whether this process has the key-encryption key that a row names, rather than another one of that name, with which it must not seal: it opens
    /// some of the other keys that are wrapped with it, and not fewer than it does not. Where two have wrapped, it has the one that has wrapped more.
    async fn opens_others(&self, row: &Row) -> Result<bool, Error> {
        let others = store::others_of_its_kek(&mut self.system().await?, row, SAMPLES).await?;
        let (mut opened, mut refused) = (0, 0);
        for other in others {
            let Ok(wrapped) = WrappedKey::decode(&other) else { continue };
            // A name that was changed says nothing of the row's.
            if wrapped.kek().as_str() != row.kek {
                continue;
            }
            match self.encryption.unwrap(&wrapped).await {
                Ok(_) => opened += 1,
                Err(error @ KeyError::Unavailable(_)) => return Err(error.into()),
                Err(KeyError::Unknown(_) | KeyError::Refused(_) | KeyError::Malformed(_)) => refused += 1,
            }
        }
        Ok(opened > 0 && opened >= refused)
    }

    /// Adds the generation after one that is damaged, for what is sealed from now on; unless another process has.
    async fn follow(&self, damaged: &Row, cause: &Error) -> Result<(), Error> {
        let Some(next) = damaged.generation.next() else { return Ok(()) };
        let (tx, is_new) = self.add(damaged.tenant_id, next).await?;
        tx.commit().await?;
        if is_new {
            damaged_keys().increment(1);
            tracing::error!(
                tenant.id = %damaged.tenant_id,
                key.id = %damaged.id,
                key.generation = damaged.generation.number(),
                error.cause = %kernel::error::chain(cause),
                "a tenant's key is damaged: what it sealed cannot be read, and the next generation seals from now on"
            );
        }
        Ok(())
    }

    async fn row(&self, tenant: TenantId, generation: Option<Generation>) -> Result<Option<Row>, Error> {
        Ok(store::find(&mut self.system().await?, tenant, generation).await?)
    }

    /// A generation of a tenant's key, for what was sealed under it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::Key`] when it cannot be unwrapped.
    pub async fn opening(&self, ctx: &Ctx, generation: Generation) -> Result<Arc<DataKey>, Error> {
        self.opening_of(ctx.tenant_id(), generation).await
    }

    /// As [`Self::opening`], of deleted tenants as well, and of none ([`INSTALLATION`]).
    ///
    /// # Errors
    /// As [`Self::opening`].
    pub async fn opening_of(&self, tenant: TenantId, generation: Generation) -> Result<Arc<DataKey>, Error> {
        // In a box, which each call makes, however seldom it is run: else it were part of every future that may come to read a body, several
        // times over.
        let unwrapped = Box::pin(async {
            let row = self.row(tenant, Some(generation)).await?.ok_or(Error::NotFound)?;
            self.unwrap(&row).await.map(Arc::new)
        });
        self.opening.try_get_with((tenant, generation), unwrapped).await.map_err(|error| Error::clone(&error))
    }

    /// Gives a tenant a new key for what is sealed from now on, and within a minute by other processes; the older ones go on opening
    /// what they sealed. The generation that seals now.
    ///
    /// # Errors
    /// As [`Self::sealing`].
    pub async fn rotate(&self, ctx: &Ctx) -> Result<Generation, Error> {
        let tenant = ctx.tenant_id();
        let current = self.newest(tenant).await?.generation();
        if let Some(next) = current.next() {
            let (mut tx, is_new) = self.add(tenant, next).await?;
            if is_new {
                let (trail, data) = (Scope::Tenant(tenant), json!({"generation": next.number()}));
                let kind = event::Kind::TenantKeyRotated;
                event::record_on(&mut tx, ctx.caller(), trail, kind, tenant, data).await?;
            }
            tx.commit().await?;
        }
        self.sealing.invalidate(&tenant).await;
        Ok(self.sealing(ctx).await?.generation())
    }

    /// Writes down keys that have an object and no row, in a database that was made anew without the last it had; which of these objects are damaged.
    /// Those of tenants that it does not have are left alone.
    ///
    /// A damaged one is written down as well if it tells its generation, which is not used again: what that sealed opens once the object is mended.
    ///
    /// # Errors
    /// `Blob` when objects cannot be read, [`Error::Key`] when whoever has the key-encryption keys does not answer.
    pub async fn adopt(
        &self,
        objects: &BTreeMap<TenantId, Vec<WrappedKeyId>>,
    ) -> Result<Vec<Damaged>, Error> {
        let ids: Vec<_> = objects.values().flatten().copied().collect();
        let known = store::known(&mut self.system().await?, &ids).await?;
        let mut all_damaged = Vec::new();
        for (&tenant, keys) in objects {
            let (mut damaged, mut told) = (Vec::new(), Vec::new());
            for &key in keys.iter().filter(|key| !known.contains(key)) {
                let bytes = self.blobs.get(&BlobKey::WrappedKey { tenant, key }).await?;
                match self.checked(tenant, &bytes).await {
                    Ok(wrapped) => self.write_down(key, &wrapped).await?,
                    Err(cause) if cause.is_damage() => {
                        damaged.push(Damaged { tenant, key, cause });
                        told.extend(told_by(tenant, &bytes).map(|wrapped| (key, wrapped)));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            // After the others: one of the same generation may be whole.
            for (key, wrapped) in told {
                self.write_down(key, &wrapped).await?;
            }
            all_damaged.extend(damaged);
        }
        let tenants = all_damaged.iter().map(|one| one.tenant).collect();
        let kept = kept_of(&self.db, &tenants).await?;
        all_damaged.retain(|one| one.tenant == INSTALLATION || kept.contains(&one.tenant));
        Ok(all_damaged)
    }

    async fn write_down(&self, id: WrappedKeyId, wrapped: &WrappedKey) -> Result<(), Error> {
        let (mut tx, now) = (self.system().await?, self.db.env().now());
        store::insert(&mut tx, id, wrapped, now).await?;
        Ok(tx.commit().await?)
    }

    /// The wrapped key of a tenant's that some bytes are. One whose key-encryption key is not at hand may open elsewhere.
    async fn checked(&self, tenant: TenantId, bytes: &[u8]) -> Result<WrappedKey, KeyError> {
        let wrapped = WrappedKey::decode(bytes)?;
        if wrapped.tenant() != tenant {
            return Err(KeyError::Refused(wrapped.kek().clone()));
        }
        match self.encryption.unwrap(&wrapped).await {
            Ok(_) | Err(KeyError::Unknown(_)) => Ok(wrapped),
            Err(error) => Err(error),
        }
    }

    /// Deletes the keys of a tenant that is being destroyed, in rows and in objects with all their versions, and forgets them. From then on
    /// nothing of it opens, and what another process was just wrapping anew has no row to be noted in, and goes.
    ///
    /// # Errors
    /// `Blob` when a version may be left: as long as there is one, whoever may read versions and has the key-encryption key reads the mail.
    pub(crate) async fn destroy(&self, tenant: TenantId) -> Result<(), Error> {
        let mut tx = self.system().await?;
        store::delete_of(&mut tx, tenant).await?;
        tx.commit().await?;
        self.sealing.invalidate(&tenant).await;
        // The cache was made for it.
        let _ = self.opening.invalidate_entries_if(move |(of, _), _| *of == tenant);
        Ok(self.blobs.erase_all(&KeyPrefix::WrappedKeys(tenant)).await?)
    }

    /// Makes a key of a generation, unless another process has made it meanwhile or the tenant is being destroyed, in a transaction
    /// that the caller commits; whether it did.
    async fn add(&self, tenant: TenantId, generation: Generation) -> Result<(SystemTx, bool), Error> {
        let env = self.db.env();
        let wrapped = self.encryption.wrap(&DataKey::generate(env, tenant, generation)).await?;
        let mut tx = self.system().await?;
        let is_new = store::insert(&mut tx, env.new_id(), &wrapped, env.now()).await?;
        Ok((tx, is_new))
    }

    async fn unwrap(&self, row: &Row) -> Result<DataKey, Error> {
        Ok(self.encryption.unwrap(&row.wrapped_key()?).await?)
    }

    /// The key in a wrapping, as a row or an object has it.
    pub(crate) async fn unwrapped(&self, wrapped: &[u8]) -> Result<DataKey, Error> {
        let wrapped = WrappedKey::decode(wrapped).map_err(KeyError::from)?;
        Ok(self.encryption.unwrap(&wrapped).await?)
    }

    /// Puts a row's object and notes that it is there; whether the row is still that one.
    async fn put(&self, row: &Row) -> Result<bool, Error> {
        let key = BlobKey::WrappedKey { tenant: row.tenant_id, key: row.id };
        if let Err(error) = self.blobs.put(&key, row.wrapped.clone().into()).await {
            if let Err(failed) = self.take_back(row, &key).await {
                tracing::warn!(blob.key = %key, error.cause = %kernel::error::chain(&failed), "a key's object was not erased");
            }
            return Err(error.into());
        }
        let mut tx = self.system().await?;
        let noted = store::set_stored(&mut tx, row, self.db.env().now()).await?;
        tx.commit().await?;
        if !noted {
            // The key was wrapped anew or the tenant destroyed in the meantime: nobody would find the object.
            self.blobs.erase(&key).await?;
        }
        Ok(noted)
    }

    /// Erases what a put that failed may have left all the same, if the row is gone: nobody would find it. Where the row is there, the next put
    /// replaces it.
    async fn take_back(&self, row: &Row, key: &BlobKey) -> Result<(), Error> {
        if store::known(&mut self.system().await?, &[row.id]).await?.is_empty() {
            self.blobs.erase(key).await?;
        }
        Ok(())
    }

    /// The key-encryption key that keys are wrapped with.
    pub fn wrapping(&self) -> &KekId {
        self.encryption.current()
    }

    /// Wraps every key with the current key-encryption key that is not, of deleted tenants as well, and deletes what it was wrapped with before.
    /// No body is touched. Several processes may do so at once. What fails is logged, counted and tried again by the next call.
    ///
    /// # Errors
    /// When the keys cannot be looked up.
    pub async fn rewrap(&self) -> Result<Rewrapped, Error> {
        let mut done = Rewrapped::default();
        let mut after = None;
        loop {
            let mut tx = self.system().await?;
            let rows = store::unsettled(&mut tx, self.encryption.current(), after, BATCH).await?;
            drop(tx);
            let Some(last) = rows.last() else { return Ok(done) };
            after = Some((last.tenant_id, last.generation));
            for row in rows {
                let (tenant, id) = (row.tenant_id, row.id);
                match self.settle(row).await {
                    Ok(changed) => done.keys += u64::from(changed),
                    Err(error) => {
                        done.failed += 1;
                        tracing::warn!(tenant.id = %tenant, key.id = %id, error.cause = %kernel::error::chain(&error), "a key was not wrapped anew");
                    }
                }
            }
        }
    }

    /// Finishes what is begun for a key, and wraps it anew if it has to be; whether it was.
    async fn settle(&self, row: Row) -> Result<bool, Error> {
        // First of all: where the row is damaged, the objects are all that is left of the key, the former one too.
        let wrapped = row.wrapped_key()?;
        let key = self.encryption.unwrap(&wrapped).await?;
        if !self.finish(&row).await? || wrapped.kek() == self.encryption.current() {
            return Ok(false);
        }
        let wrapped = self.encryption.wrap(&key).await?;
        let id = self.db.env().new_id();
        let mut tx = self.system().await?;
        let replaced = store::replace(&mut tx, &row, id, &wrapped).await?;
        tx.commit().await?;
        let anew = Row {
            id,
            kek: wrapped.kek().as_str().to_owned(),
            wrapped: wrapped.encode(),
            is_stored: false,
            former: Some(row.id),
            ..row
        };
        Ok(replaced && self.finish(&anew).await?)
    }

    /// Puts the object if it is not there, and then erases the former one: an older version of that would open by the key-encryption key that
    /// is changed because it may have leaked. Whether the row is still that one: another process may have been first, or the tenant is no more.
    async fn finish(&self, row: &Row) -> Result<bool, Error> {
        if !row.is_stored && !self.put(row).await? {
            return Ok(false);
        }
        if let Some(former) = row.former {
            self.blobs.erase(&BlobKey::WrappedKey { tenant: row.tenant_id, key: former }).await?;
            let mut tx = self.system().await?;
            store::forget_former(&mut tx, row).await?;
            tx.commit().await?;
        }
        Ok(true)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "keys are the server's business, and are kept for deleted tenants too, which cannot be entered"
    )]
    async fn system(&self) -> Result<SystemTx, Error> {
        Ok(SystemTx::begin(&self.db).await?)
    }
}
