//! Reading a whole mailbox in order, beside reading the same bytes of the same packs, body by body, without a mail store.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use blob::{BlobKey, BlobStore};
use kernel::{PackId, TenantId};
use testkit::s3::{self, S3Server};
use uuid::Uuid;

use crate::ROUNDS;
use crate::bed::Bed;
use crate::clients::{Side, download, per_second};
use crate::report::{Measure, Target};

/// The group's name.
pub(crate) const NAME: &str = "order";

/// Measures both kinds of stores.
pub(crate) async fn run(binary: &Path) -> Result<()> {
    let bed = Bed::start(binary).await?;
    let url = bed.blob_url();
    measure(bed, "order.pop3.directory", &url).await?;
    let bucket = S3Server::start().await;
    let url = bucket.url("bench");
    let bed = Bed::on_s3(binary, &url).await?;
    measure(bed, "order.pop3.s3", &url).await
}

/// A body's place in the blob store.
struct Place {
    key: BlobKey,
    start: u64,
    end: u64,
}

async fn measure(mut bed: Bed, name: &str, url: &str) -> Result<()> {
    let mut side = Side::filled(&bed).await?;
    let places = places(&bed).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Nothing of it is in the server's memory.
        bed.restart().await?;
        side = side.again(&bed);
        ours.push(download::pop3(&side).await?);
        theirs.push(bare(url, &places).await?);
    }
    let baseline = "a read of each body's bytes";
    Measure { name, unit: "1/s", ours, baseline, theirs, target: Target::AtLeast(0.5) }.report()?;
    bed.stop().await
}

/// The same bodies' bytes as they are stored, in the same order, one read after the other.
async fn bare(url: &str, places: &[Place]) -> Result<f64> {
    let credentials = blob::Credentials {
        access_key_id: s3::ACCESS_KEY_ID.to_owned(),
        secret_access_key: s3::SECRET_ACCESS_KEY.into(),
    };
    let options = blob::S3Options { credentials: Some(credentials), ..blob::S3Options::default() };
    let store = blob::open_with(&url.parse()?, options).await?;
    let store: &dyn BlobStore = store.as_ref();
    let start = Instant::now();
    for place in places {
        store.get_range(&place.key, place.start..place.end).await?;
    }
    Ok(per_second(places.len(), start.elapsed()))
}

async fn places(bed: &Bed) -> Result<Vec<Place>> {
    let mut tx = bed.pool().begin().await?;
    sqlx::query("set local role pillarbox_system").execute(&mut *tx).await?;
    let rows: Vec<(Uuid, Uuid, bool, i64, i32)> = sqlx::query_as(
        "select b.tenant_id, b.pack_id, b.pack_is_own, b.pack_offset, b.stored_bytes
         from messages m join blobs b on b.tenant_id = m.tenant_id and b.id = m.blob_id order by m.uid",
    )
    .fetch_all(&mut *tx)
    .await?;
    let place = |(tenant, pack, is_own, offset, bytes): (Uuid, Uuid, bool, i64, i32)| {
        let owner = is_own.then(|| TenantId::from_uuid(tenant));
        let start = u64::try_from(offset).ok()?;
        let end = start + u64::try_from(bytes).ok()?;
        Some(Place { key: BlobKey::Pack { owner, pack: PackId::from_uuid(pack) }, start, end })
    };
    rows.into_iter().map(place).collect::<Option<_>>().context("a place's numbers")
}
