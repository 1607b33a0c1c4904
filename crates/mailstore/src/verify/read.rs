//! Reading packs: where they end, and all that lies in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use blob::{BlobKey, BlobStore};
use bytes::{Bytes, BytesMut};
use kernel::TenantId;
use pack::{DataKey, Ending, Generation, HEADER_BYTES, Located, Tail};
use sha2::{Digest as _, Sha256};

use super::finding::{Fault, Subject};
use super::store::{self, BodyRow, PackRow};
use super::{Run, bucket, present};
use crate::Error;
use crate::body::Place;

/// How many bytes of a pack's end are asked for at a time.
const END_BYTES: u64 = 1 << 20;
/// How many bytes of bodies are read at a time, unless one alone has more.
const WINDOW_BYTES: u64 = 4 << 20;

/// How an object's end is.
pub(super) enum End {
    /// As it was sealed, and right behind the entries that the row counts.
    Whole(Tail),
    Missing,
    /// The object has no more than the entries, or less.
    Short,
    /// Something else.
    Other,
    /// The store is there and cannot read it.
    Failing(String),
}

pub(super) fn object(pack: &PackRow) -> BlobKey {
    BlobKey::Pack { owner: pack.owner, pack: pack.id }
}

/// Reads what follows the entries, as many as the row says, up to the object's end: so its size need not be asked for.
pub(super) async fn end(blobs: &dyn BlobStore, pack: &PackRow) -> Result<End, Error> {
    let key = object(pack);
    let begin = HEADER_BYTES + crate::from_column(pack.entry_bytes);
    let mut end = BytesMut::new();
    loop {
        let from = begin + end.len() as u64;
        match blobs.get_range(&key, from..from + END_BYTES).await {
            Ok(bytes) => {
                end.extend_from_slice(&bytes);
                if (bytes.len() as u64) < END_BYTES {
                    break;
                }
            }
            Err(blob::Error::NotFound) => return Ok(End::Missing),
            Err(blob::Error::RangeNotSatisfiable) => break,
            // All others are to be looked at nevertheless.
            Err(error @ blob::Error::Internal(_)) => return Ok(End::Failing(kernel::error::chain(&error))),
            Err(error) => return Err(error.into()),
        }
    }
    if end.is_empty() {
        return Ok(End::Short);
    }
    let size = begin + end.len() as u64;
    match Tail::parse(size, &end.freeze()) {
        Ok(Ending::Whole(tail)) if tail.pack() == pack.id && tail.begin() == begin => Ok(End::Whole(tail)),
        _ => Ok(End::Other),
    }
}

/// What is needed for what lies in a pack under a key.
struct Section {
    /// `None` where there is none that opens, which is told elsewhere.
    key: Option<Arc<DataKey>>,
    /// What the footer says by index; `None` if it does not open.
    told: Option<BTreeMap<u32, Located>>,
}

/// Those of a pack.
type Sections = BTreeMap<(TenantId, Generation), Section>;

/// Reads back what lies in a pack that rows name.
pub(super) async fn pack(run: &mut Run<'_>, pack: &PackRow, tail: &Tail) -> Result<(), Error> {
    let bodies = store::bodies(&mut run.look().await?, pack.id).await?;
    let sections = sections(run, pack, tail).await?;
    let mut rest = bodies.as_slice();
    while !rest.is_empty() {
        let (window, range) = window(rest);
        rest = rest.get(window.len()..).unwrap_or_default();
        let bytes = match run.store.blobs.get_range(&object(pack), range.clone()).await {
            // Of each body that is in there it is told that it does not open.
            Err(blob::Error::Internal(_)) => Bytes::new(),
            read => present(read)?.unwrap_or_default(),
        };
        for body in window {
            run.verified.read += 1;
            let Some(fault) = opened(body, &sections, &bytes, range.start).await? else { continue };
            if store::is_there(&mut run.look().await?, body).await? {
                run.report(Subject::Body(body.tenant, body.id), fault, false);
            }
        }
        pause(run, bytes.len() as u64).await;
    }
    Ok(())
}

/// As many of the first bodies as are read at a time, and where they lie.
fn window(bodies: &[BodyRow]) -> (&[BodyRow], std::ops::Range<u64>) {
    let place = |body: &BodyRow| {
        let start = crate::from_column(body.place.pack_offset);
        (start, start + u64::try_from(body.place.stored_bytes).unwrap_or(0))
    };
    let (start, mut end) = bodies.first().map_or((0, 0), place);
    let mut count = bodies.len().min(1);
    for body in bodies.iter().skip(1) {
        let next = place(body).1.max(end);
        if next - start > WINDOW_BYTES {
            break;
        }
        end = next;
        count += 1;
    }
    (bodies.get(..count).unwrap_or_default(), start..end)
}

/// Opens the footers that there are keys for. Of a tenant that was destroyed nothing opens.
async fn sections(run: &mut Run<'_>, pack: &PackRow, tail: &Tail) -> Result<Sections, Error> {
    let mut sections = Sections::new();
    for (tenant, generation) in tail.sections() {
        let key = bucket::key(run.store, tenant, generation).await?;
        let told = key.as_ref().and_then(|key| tail.entries(key).ok());
        if key.is_some() && told.is_none() {
            run.report(Subject::Share(tenant, pack.id), Fault::Footer, false);
        }
        let told =
            told.map(|entries| entries.into_iter().map(|entry| (entry.address.index(), entry)).collect());
        sections.insert((tenant, generation), Section { key, told });
    }
    Ok(sections)
}

/// What is wrong with a body, out of bytes that begin at an offset of its pack.
async fn opened(
    body: &BodyRow,
    sections: &Sections,
    bytes: &Bytes,
    begin: u64,
) -> Result<Option<Fault>, Error> {
    let Ok(Place { address, .. }) = Place::try_from(body.place) else { return Ok(Some(Fault::Outside)) };
    let Some(section) = sections.get(&(body.tenant, address.generation())) else {
        return Ok(Some(Fault::OtherFooter));
    };
    let Some(key) = section.key.clone() else { return Ok(None) };
    let from = usize::try_from(address.offset() - begin).unwrap_or(usize::MAX);
    let to = from.saturating_add(address.length() as usize);
    if to > bytes.len() {
        return Ok(Some(Fault::Unreadable));
    }
    let stored = bytes.slice(from..to);
    // Expanding some MiB would hold up every session of an async thread.
    let open = move || {
        let body = pack::open(&key, &address, &stored).ok()?;
        Some((body.len() as u64, Sha256::digest(&body).to_vec()))
    };
    let opened = tokio::task::spawn_blocking(open).await.map_err(|_| Error::ShuttingDown)?;
    let is_told = section.told.as_ref().is_none_or(|told| {
        let told = told.get(&address.index());
        told.is_some_and(|told| told.address == address && told.about.sha256()[..] == body.sha256)
    });
    Ok(match opened {
        None => Some(Fault::Unreadable),
        Some((size, hash)) if size != crate::from_column(body.size_bytes) || hash != body.sha256 => {
            Some(Fault::OtherBody)
        }
        Some(_) if !is_told => Some(Fault::OtherFooter),
        Some(_) => None,
    })
}

/// Keeps to the rate.
async fn pause(run: &Run<'_>, bytes: u64) {
    if let Some(rate) = run.options.read_bytes_per_second {
        tokio::time::sleep(Duration::from_millis(bytes.saturating_mul(1_000) / rate.max(1))).await;
    }
}
