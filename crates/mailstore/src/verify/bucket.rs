//! Objects, and the rows that name them.

use std::collections::{BTreeMap, HashSet};

use blob::{BlobKey, BlobStore, KeyPrefix};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{PackId, TenantId};
use pack::{Ending, Generation, MAX_PACK_BYTES, OpenError, TAIL_BYTES, Tail, WrappedKey};
use uuid::Uuid;

use super::finding::{Contents, Fault, Section, Subject};
use super::{Run, present, store};
use crate::body::RESERVATION;
use crate::{Error, MailStore};

/// Tells the objects that no row names.
pub(super) async fn walk(run: &mut Run<'_>) -> Result<(), Error> {
    let mut after: Option<String> = None;
    loop {
        let mut page = run.store.blobs.list(&KeyPrefix::All, after.as_deref()).await?;
        // The journal's segments name each other.
        page.keys.retain(|key| !matches!(key, BlobKey::Segment(_)));
        run.verified.objects += (page.keys.len() + page.strays.len()) as u64;
        strays(run, page.strays).await?;
        let named = named(run, &page.keys).await?;
        for key in page.keys {
            if is_named(&named, &key) {
                continue;
            }
            if is_young(run, &key) {
                run.verified.young += 1;
            } else if is_unclaimed(run, &key).await? {
                let contents = contents(run.store, &key).await?;
                run.report(Subject::Object(key), Fault::Unclaimed(contents), false);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Tells what no object of ours is called. Where a link is that leads nowhere and rows name its object, that one is told as missing.
async fn strays(run: &mut Run<'_>, names: Vec<String>) -> Result<(), Error> {
    for name in names {
        if let Ok(key) = name.parse::<BlobKey>()
            && !matches!(key, BlobKey::Segment(_))
            && is_named(&named(run, std::slice::from_ref(&key)).await?, &key)
        {
            continue;
        }
        let contents = Contents { sections: Vec::new(), unknown: Some("it is no object of Pillarbox's") };
        run.report(Subject::Stray(name), Fault::Unclaimed(contents), false);
    }
    Ok(())
}

/// The ids of objects, each with whose it is.
type Named = HashSet<(Option<TenantId>, Uuid)>;

/// Which of some objects rows name.
async fn named(run: &Run<'_>, keys: &[BlobKey]) -> Result<Named, Error> {
    let (mut packs, mut wrapped) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            BlobKey::Pack { pack, .. } => packs.push(pack.uuid()),
            BlobKey::WrappedKey { key, .. } => wrapped.push(key.uuid()),
            BlobKey::Segment(_) => {}
        }
    }
    let mut named = store::packs_of(&mut run.look().await?, &packs).await?;
    named.extend(store::keys_of(&mut run.look().await?, &wrapped).await?);
    Ok(named)
}

/// The journal names its segments itself.
fn is_named(named: &Named, key: &BlobKey) -> bool {
    match key {
        BlobKey::Pack { owner, pack } => named.contains(&(*owner, pack.uuid())),
        BlobKey::WrappedKey { tenant, key } => named.contains(&(Some(*tenant), key.uuid())),
        BlobKey::Segment(_) => true,
    }
}

/// Whether an upload that a row allowed could still be under way, by the time that is in an id.
fn is_young(run: &Run<'_>, key: &BlobKey) -> bool {
    let id = match key {
        BlobKey::Pack { pack, .. } => pack.uuid(),
        BlobKey::WrappedKey { key, .. } => key.uuid(),
        BlobKey::Segment(segment) => segment.uuid(),
    };
    let made = id.get_timestamp().and_then(|made| {
        let (seconds, nanos) = made.to_unix();
        DateTime::<Utc>::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    });
    made.is_some_and(|made| made > run.db.env().now() - RESERVATION)
}

/// Whether an object is there and, looked up after that, no row names it. A tenant's that is being destroyed goes after its rows.
async fn is_unclaimed(run: &Run<'_>, key: &BlobKey) -> Result<bool, Error> {
    if matches!(run.store.blobs.get_range(key, 0..1).await, Err(blob::Error::NotFound)) {
        return Ok(false);
    }
    if is_named(&named(run, std::slice::from_ref(key)).await?, key) {
        return Ok(false);
    }
    match key {
        BlobKey::Pack { owner: Some(tenant), .. } | BlobKey::WrappedKey { tenant, .. } => {
            Ok(!store::is_being_destroyed(&mut run.look().await?, *tenant).await?)
        }
        BlobKey::Pack { owner: None, .. } | BlobKey::Segment(_) => Ok(true),
    }
}

/// What one says that the store has and cannot read.
const UNREAD: &str = "the blob store cannot read it";

/// What an object says of itself.
async fn contents(store: &MailStore, key: &BlobKey) -> Result<Contents, Error> {
    let told = |unknown| Contents { sections: Vec::new(), unknown: Some(unknown) };
    let BlobKey::Pack { pack, .. } = key else {
        let bytes = match store.blobs.get(key).await {
            Err(blob::Error::Internal(_)) => return Ok(told(UNREAD)),
            got => present(got)?.unwrap_or_default(),
        };
        let is_key = WrappedKey::decode(&bytes).is_ok();
        return Ok(told(if is_key { "a wrapped key" } else { "no wrapped key" }));
    };
    let tail = match tail_of(store.blobs.as_ref(), key, *pack).await {
        Ok(Some(tail)) => tail,
        Ok(None) => return Ok(told("it does not end as a pack does")),
        Err(Error::Blob(cause)) if matches!(*cause, blob::Error::Internal(_)) => return Ok(told(UNREAD)),
        Err(error) => return Err(error),
    };
    let mut by_tenant: BTreeMap<TenantId, Section> = BTreeMap::new();
    for (tenant, generation) in tail.sections() {
        let one = section(store, &tail, tenant, generation).await?;
        by_tenant
            .entry(tenant)
            .and_modify(|all| all.bodies = all.bodies.zip(one.bodies).map(|(all, one)| joined(all, one)))
            .or_insert(one);
    }
    Ok(Contents { sections: by_tenant.into_values().collect(), unknown: None })
}

/// How many bodies, of the first and the last date.
type Span = (usize, DateTime<Utc>, DateTime<Utc>);

fn joined(all: Span, one: Span) -> Span {
    (all.0 + one.0, all.1.min(one.1), all.2.max(one.2))
}

async fn section(
    store: &MailStore,
    tail: &Tail,
    tenant: TenantId,
    generation: Generation,
) -> Result<Section, Error> {
    let entries = match key(store, tenant, generation).await? {
        Some(key) => entries(tail, &key),
        None => None,
    };
    let spans = entries.map(|entries| {
        let dates = entries.iter().map(|entry| (1, entry.about.internal_date(), entry.about.internal_date()));
        dates.reduce(joined)
    });
    Ok(Section { tenant, bodies: spans.flatten() })
}

fn entries(tail: &Tail, key: &pack::DataKey) -> Option<Vec<pack::Located>> {
    let entries: Result<_, OpenError> = tail.entries(key);
    entries.ok()
}

/// A generation of a tenant's key, if there is one here that opens.
pub(super) async fn key(
    store: &MailStore,
    tenant: TenantId,
    generation: Generation,
) -> Result<Option<std::sync::Arc<pack::DataKey>>, Error> {
    match store.keys.opening_of(tenant, generation).await {
        Ok(key) => Ok(Some(key)),
        Err(error) if super::keys::is_away(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The footers of a pack whose size no row tells; `None` for what is no whole pack of that id.
async fn tail_of(blobs: &dyn BlobStore, key: &BlobKey, id: PackId) -> Result<Option<Tail>, Error> {
    let size = size_of(blobs, key).await?;
    let mut from = size.saturating_sub(TAIL_BYTES);
    loop {
        let Some(end) = present(blobs.get_range(key, from..size).await)? else { return Ok(None) };
        match Tail::parse(size, &Bytes::clone(&end)) {
            Ok(Ending::Whole(tail)) => return Ok(Some(tail).filter(|tail| tail.pack() == id)),
            Ok(Ending::From(earlier)) if earlier < from => from = earlier,
            Ok(Ending::From(_)) | Err(_) => return Ok(None),
        }
    }
}

/// How many bytes an object has, by asking for single ones: there is no other way that all services answer alike.
async fn size_of(blobs: &dyn BlobStore, key: &BlobKey) -> Result<u64, Error> {
    let (mut at_least, mut at_most) = (0, 2 * MAX_PACK_BYTES);
    while at_least < at_most {
        let middle = at_least.midpoint(at_most);
        match present(blobs.get_range(key, middle..middle + 1).await)? {
            Some(_) => at_least = middle + 1,
            None => at_most = middle,
        }
    }
    Ok(at_least)
}
