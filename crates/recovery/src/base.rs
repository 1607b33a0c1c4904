//! Bases: every row of one state of the database.

mod store;

use blob::{BlobKey, KeyPrefix};
use futures::TryStreamExt as _;
use kernel::TenantId;
use pack::segment::{Head, Name, Record};

use crate::ship::Segments;
use crate::{Error, Journal};

/// A base that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Its number.
    pub number: u64,
    /// How many rows it has.
    pub records: u64,
}

/// Takes a base if there is none of the last day and of the schema as it is, and no other process is taking one.
///
/// # Errors
/// When database or bucket fail; then there is no base, and the next call takes one.
pub async fn take_if_due(journal: &Journal) -> Result<Option<Taken>, Error> {
    let mut tx = journal.system().await?;
    let Some(number) = store::take_if_due(&mut tx).await? else { return Ok(None) };
    tx.commit().await?;
    let taken = take(journal, number).await;
    if taken.is_err() {
        let mut tx = journal.system().await?;
        store::give_up(&mut tx).await?;
        tx.commit().await?;
    }
    taken.map(Some)
}

/// Whoever had a lower number and has not forgotten what it put will not forget it any more, and whoever has a higher one read the journal later than
/// that number was given out. So what came after this state is under higher numbers.
async fn take(journal: &Journal, number: u64) -> Result<Taken, Error> {
    let mut tx = journal.snapshot().await?;
    let read_at = store::began_at(&mut tx).await?;
    let mut segments = Segments::new(journal, number, Head { after: number, read_at }, true);
    let schema = store::schema(&mut tx).await?;
    for table in store::tables(&mut tx).await? {
        let mut rows = store::rows(&mut tx, &table);
        while let Some((tenant_id, image)) = rows.try_next().await? {
            let relation = table.relation.clone();
            let record = Record { seq: 0, at: read_at, relation, is_deleted: false, image };
            segments.add(tenant_id.map(TenantId::from_uuid), &record).await?;
        }
    }
    drop(tx);
    let shipped = segments.finish().await?;
    let mut tx = journal.system().await?;
    store::set_taken(&mut tx, number, read_at, schema).await?;
    tx.commit().await?;
    Ok(Taken { number, records: shipped.records })
}

/// Deletes what of the journal is before the last base of more than thirty days ago; how many objects.
///
/// # Errors
/// When database or bucket fail; the next call goes on.
pub async fn let_go(journal: &Journal) -> Result<u64, Error> {
    let mut tx = journal.system().await?;
    let Some(number) = store::oldest_needed(&mut tx).await? else { return Ok(0) };
    drop(tx);
    let mut deleted = 0;
    let mut after = None;
    loop {
        let page = journal.blobs.list(&KeyPrefix::Journal, after.as_deref()).await?;
        for key in page.keys {
            let BlobKey::Segment(id) = key else { continue };
            let Ok(name) = Name::of(id) else { continue };
            if name.number >= number {
                let mut tx = journal.system().await?;
                store::forget_before(&mut tx, number).await?;
                tx.commit().await?;
                return Ok(deleted);
            }
            journal.blobs.delete(&BlobKey::Segment(id)).await?;
            deleted += 1;
        }
        let Some(next) = page.next else { return Ok(deleted) };
        after = Some(next);
    }
}
