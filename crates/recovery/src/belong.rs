//! Whether a database and a bucket belong together: a database that is new beside the journal of another would bury that, and one whose journal went on
//! in another bucket could not be made anew out of either.

mod store;

use blob::BlobStore;
use db::Db;
use mailstore::key;

use crate::Error;
use crate::recover::bucket::{self, Item};
use crate::turn::highest;

/// Whether a database that has no table may be given its tables, beside a bucket: not beside the journal of another. It stays as it is then, as
/// [`recover`](crate::recover()) needs it.
///
/// # Errors
/// [`Error::NotOurs`]; and when database or bucket fail.
pub async fn check_blank(db: &Db, blobs: &dyn BlobStore) -> Result<(), Error> {
    if db::rebuild::is_blank(db).await? && highest(blobs, 0).await?.is_some() {
        return Err(Error::NotOurs);
    }
    Ok(())
}

/// Whether a database may be worked on, beside a bucket: not one that a recovery was begun in and not finished, and not a new one beside
/// the journal of another, which a base of nothing would bury.
///
/// # Errors
/// [`Error::Unfinished`] and [`Error::NotOurs`]; and when database or bucket fail.
pub async fn check(db: &Db, blobs: &dyn BlobStore) -> Result<(), Error> {
    if known(db).await?.number == 0 && highest(blobs, 0).await?.is_some() {
        return Err(Error::NotOurs);
    }
    Ok(())
}

/// Whether a bucket has what a database last put there of its journal: else it is another bucket, or one that has lost it. An older copy of the database
/// knows what may have been let go of since; its bucket has more than it knows of, and its key.
///
/// # Errors
/// [`Error::Astray`] and [`Error::Foreign`]; and when database or bucket fail.
pub async fn check_last(db: &Db, blobs: &dyn BlobStore) -> Result<(), Error> {
    let known = known(db).await?;
    let missing = missing_of(&known, blobs).await?;
    let is_ahead = known.base.is_some() && highest(blobs, known.number).await?.is_some();
    let is_older_copy = is_ahead && key::is_of_installation(db, blobs).await?;
    match missing {
        _ if is_older_copy => Ok(()),
        Some(last) => Err(Error::Astray(last)),
        None if is_ahead => Err(Error::Foreign),
        None => Ok(()),
    }
}

/// What was put into the bucket last, by what a database says, where the bucket does not have it.
///
/// # Errors
/// When database or bucket fail.
pub(crate) async fn missing(db: &Db, blobs: &dyn BlobStore) -> Result<Option<u64>, Error> {
    missing_of(&known(db).await?, blobs).await
}

/// The number of what was put into the bucket last, by what a database says: a recovery that does not come to it loses something. Zero
/// for a database that has put nothing there.
///
/// # Errors
/// [`Error::Unfinished`], and when the database fails.
pub async fn last_put(db: &Db) -> Result<u64, Error> {
    let known = known(db).await?;
    Ok(known.base.map_or(0, |base| base.max(known.shipped)))
}

/// Without a base that it could go on from, one is taken first: nothing before that is needed.
async fn missing_of(known: &store::Known, blobs: &dyn BlobStore) -> Result<Option<u64>, Error> {
    let Some(base) = known.base else { return Ok(None) };
    // What was put before the base is in that.
    let segment = (known.shipped > base).then_some((false, known.shipped));
    for (is_base, number) in [Some((true, base)), segment].into_iter().flatten() {
        let found = bucket::find(blobs, number).await?;
        if found.is_none_or(|found| matches!(found, Item::Base(_)) != is_base) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

async fn known(db: &Db) -> Result<store::Known, Error> {
    #[expect(clippy::disallowed_methods, reason = "it is no tenant's")]
    let mut tx = db::SystemTx::begin(db).await?;
    store::known(&mut tx).await?.ok_or(Error::Unfinished)
}
