//! A lost database, made anew out of the bucket.

pub(crate) mod bucket;
pub(crate) mod chain;
mod keyring;

use std::collections::BTreeSet;
use std::sync::Arc;

use blob::BlobStore;
use chrono::{DateTime, TimeDelta, Utc};
use db::Db;
use db::rebuild::{Image, Rebuild};
use futures::{StreamExt as _, TryStreamExt as _};
use kernel::TenantId;
use mailstore::MailStore;
use mailstore::found::{self, Found};
use pack::KeyEncryption;
use pack::segment::{Record, Segment};

use crate::{Error, Journal, MOST_SECONDS, base};
use bucket::{Listing, Numbered};
use chain::Chain;
use keyring::Keyring;

/// How many objects are fetched ahead of the one that is put in.
const AHEAD: usize = 8;

/// How far a recovery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The bucket has been listed: the base's parts, and how much comes after it.
    Listed {
        /// The base's number.
        base: u64,
        /// How many objects it has.
        parts: usize,
        /// How many changes and bundles of changes follow it.
        after: usize,
    },
    /// So many parts of the base are in.
    Base(usize),
    /// So many of the changes and bundles that follow are in.
    After(usize),
    /// All is in, and is being checked: what rows refer to, and what mail there is that no row names.
    Checking,
}

/// What a recovery came to.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The base's number.
    pub base: u64,
    /// The moment that the base is of.
    pub based_at: DateTime<Utc>,
    /// The number of the last segment, or of the base if none followed.
    pub last: u64,
    /// All that was committed before this moment is there.
    pub read_at: DateTime<Utc>,
    /// How long a change had been waiting at most when it was read to be put into the bucket, from when its transaction began: of the transactions that began
    /// since the base. The put itself is not in it.
    pub longest_wait: TimeDelta,
    /// How many images of rows were put in.
    pub records: u64,
    /// Tenants that are destroyed, of whom there was something left that nobody can read any more.
    pub destroyed: BTreeSet<TenantId>,
    /// Objects that should hold a key and hold none that opens, each with why. What of the journal is after the base needed none of them; bodies may.
    pub damaged: Vec<String>,
    /// Foreign keys that rows break, by the statements that would put them back: nothing here, unless a destruction was cut short.
    pub broken: Vec<String>,
    /// What was found in packs that no row names: mail that was accepted after that moment.
    pub found: Found,
}

/// What becomes of mail that was accepted after the moment that the journal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It is delivered out of its packs, which go with that: the database is the one to work with from now on.
    Deliver,
    /// It is left where it is, and the bucket as it is: the database is only to show what a recovery comes to.
    Leave,
}

/// Makes a database that has no table anew, out of a bucket and with the key-encryption keys. What is begun and not finished is no database
/// to work with ([`crate::check`]): it is emptied, and the recovery begun again.
///
/// # Errors
/// [`Error::NoBase`] and [`Error::Missing`] where the bucket lacks something, [`Error::KeysMissing`] and [`Error::Key`] where keys are
/// lacking, [`db::Error::NotEmpty`]; and when bucket or database fail.
pub async fn recover(
    db: &Db,
    blobs: Arc<dyn BlobStore>,
    encryption: Arc<dyn KeyEncryption>,
    late: Late,
    progress: &mut (dyn FnMut(Step) + Send),
) -> Result<Recovered, Error> {
    let listing = Listing::read(&*blobs).await?;
    let (base, after) = listing.plan()?;
    progress(Step::Listed { base: base.number, parts: base.parts.len(), after: after.len() });
    let mut keys = Keyring::new(blobs.clone(), encryption.clone(), listing.keys.clone());
    let mut filling = Filling::new(Rebuild::begin(db).await?, &mut keys);

    let objects = &*blobs;
    let mut chain = Chain::new(base.number);
    let mut parts = futures::stream::iter(base.parts.iter().enumerate())
        .map(|(at, part)| async move { Ok::<_, Error>((at, bucket::fetch(objects, *part).await?)) })
        .buffered(AHEAD);
    while let Some((at, part)) = parts.try_next().await? {
        filling.put(base.number, &part).await?;
        progress(Step::Base(at + 1));
    }
    drop(parts);
    filling.based_at = filling.read_at;

    let mut items = futures::stream::iter(after.iter().enumerate())
        .map(|(at, item)| async move { Ok::<_, Error>((at, bucket::fetch_all(objects, item).await?)) })
        .buffered(AHEAD);
    while let Some((at, fetched)) = items.try_next().await? {
        progress(Step::After(at));
        for numbered in fetched {
            if let Some(settled) = chain.follow(numbered)? {
                filling.put_all(&settled).await?;
            }
        }
    }
    drop(items);
    if let Some(settled) = chain.end() {
        filling.put_all(&settled).await?;
    }
    progress(Step::After(after.len()));

    progress(Step::Checking);
    let Filling { rebuild, records, based_at, read_at, longest_wait, .. } = filling;
    let broken = rebuild.finish().await?;
    let destroyed = keys.missing().clone();
    let unread = mailstore::key::kept_of(db, &destroyed).await?;
    if !unread.is_empty() {
        return Err(Error::KeysMissing(list(&unread, &keys.damaged())));
    }
    let store = MailStore::new(db.clone(), blobs.clone(), encryption);
    let damaged = store.keys().adopt(keys.objects()).await?;
    keys.add_damaged(damaged);
    let found = match late {
        Late::Deliver => {
            let found = found::take_in(&store, &listing.packs, read_at, MOST_SECONDS).await?;
            mailstore::search::index::queue_all(db).await?;
            let mut older = Vec::new();
            for (base, first) in listing.bases() {
                older.push((base.number, bucket::fetch(objects, first).await?.head().read_at));
            }
            // Last: were it lost again from here on, it would be made anew as it is now, with what it has given out.
            base::begin(&Journal::new(db, &store), listing.highest + 1, &older).await?;
            found
        }
        Late::Leave => Found::default(),
    };
    let (base, last, damaged) = (base.number, chain.last(), keys.damaged());
    Ok(Recovered { base, based_at, last, read_at, longest_wait, records, destroyed, damaged, broken, found })
}

/// Whose keys are missing, and which objects may have had them.
fn list(tenants: &BTreeSet<TenantId>, damaged: &[String]) -> String {
    let mut list = tenants.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !damaged.is_empty() {
        list.push_str(&format!(" (damaged: {})", damaged.join(", ")));
    }
    list
}

/// A database that is being filled.
struct Filling<'a> {
    rebuild: Rebuild,
    keys: &'a mut Keyring,
    records: u64,
    /// When the base was read, once it is in.
    based_at: DateTime<Utc>,
    /// When what was put in last was read.
    read_at: DateTime<Utc>,
    longest_wait: TimeDelta,
}

impl<'a> Filling<'a> {
    fn new(rebuild: Rebuild, keys: &'a mut Keyring) -> Self {
        let (based_at, read_at) = (DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC);
        Self { rebuild, keys, records: 0, based_at, read_at, longest_wait: TimeDelta::zero() }
    }

    async fn put_all(&mut self, fetched: &Numbered<Segment>) -> Result<(), Error> {
        for part in &fetched.parts {
            self.put(fetched.number, part).await?;
        }
        Ok(())
    }

    async fn put(&mut self, number: u64, segment: &Segment) -> Result<(), Error> {
        let mut records: Vec<Record> = Vec::new();
        for (tenant, generation) in segment.sections() {
            let keys = self.keys.find(tenant, generation).await?;
            let mut opened = None;
            for key in keys {
                opened = Some(segment.records(&key));
                if matches!(opened, Some(Ok(_))) {
                    break;
                }
            }
            let Some(section) = opened else { continue };
            records.extend(section.map_err(|cause| Error::Unreadable { number, cause })?);
        }
        // Stable: in a base, where nothing comes before anything, sections stay whole.
        records.sort_by_key(|record| record.seq);
        let images: Vec<_> = records
            .iter()
            .map(|record| Image {
                relation: &record.relation,
                is_deleted: record.is_deleted,
                json: &record.image,
            })
            .collect();
        self.rebuild.apply(&images).await?;
        self.records += images.len() as u64;
        self.read_at = segment.head().read_at;
        // What began before the base was read may be in that, and is left out also where it is not.
        let since = records.iter().map(|record| record.at).filter(|at| *at >= self.based_at).min();
        self.longest_wait =
            since.map_or(self.longest_wait, |since| self.longest_wait.max(self.read_at - since));
        Ok(())
    }
}
