//! Tenants' keys: whether they open, and whether their objects hold what their rows do.

use blob::BlobKey;
use kernel::ErrorKind;

use super::finding::{Fault, Subject};
use super::store::{self, KeyRow};
use super::{Run, present};
use crate::Error;

/// How many are looked up at a time.
const BATCH: i64 = 500;

pub(super) async fn walk(run: &mut Run<'_>) -> Result<(), Error> {
    let mut after = None;
    loop {
        let rows = store::keys(&mut run.look().await?, after, BATCH).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some((last.tenant, last.generation));
        run.verified.keys += rows.len() as u64;
        for row in rows {
            one(run, &row).await?;
        }
    }
}

/// Whether it is not known what a key is, rather than that it is none.
pub(super) fn is_away(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable || matches!(error, Error::Db(_))
}

async fn one(run: &mut Run<'_>, row: &KeyRow) -> Result<(), Error> {
    let opens = match run.store.keys.unwrapped(&row.wrapped).await {
        Ok(key) => (key.tenant(), key.generation()) == (row.tenant, row.generation),
        Err(error) if is_away(&error) => return Err(error),
        Err(_) => false,
    };
    let subject = || Subject::Key(row.tenant, row.generation);
    if !opens && store::is_key(&mut run.look().await?, row).await? {
        run.report(subject(), Fault::Shut, false);
    }
    // One that is not stored yet seals nothing yet.
    if !row.is_stored {
        return Ok(());
    }
    let object = BlobKey::WrappedKey { tenant: row.tenant, key: row.id };
    let (fault, holds_none) = match present(run.store.blobs.get(&object).await)? {
        Some(bytes) if bytes == row.wrapped => return Ok(()),
        // Another key that opens may be the only copy there is.
        Some(bytes) => {
            (Fault::OtherKey, run.store.keys.unwrapped(&bytes).await.is_err_and(|error| !is_away(&error)))
        }
        None => (Fault::Missing, true),
    };
    // Wrapped anew or destroyed meanwhile.
    if !store::is_key(&mut run.look().await?, row).await? {
        return Ok(());
    }
    let is_repaired = run.options.is_repairing && opens && holds_none && put(run, row, &object).await?;
    run.report(Subject::Object(object), fault, is_repaired);
    Ok(())
}

/// Puts what a row holds that opens; whether its object stays. A key that was destroyed meanwhile must not come back, not even as an older version.
async fn put(run: &Run<'_>, row: &KeyRow, object: &BlobKey) -> Result<bool, Error> {
    run.store.blobs.put(object, row.wrapped.clone().into()).await?;
    let is_kept = store::is_key(&mut run.look().await?, row).await?;
    if !is_kept {
        run.store.blobs.erase(object).await?;
    }
    Ok(is_kept)
}
