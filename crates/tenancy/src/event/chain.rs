//! The chain of a trail: each event's hash covers it and the one before, so that none can be changed, left out or put
//! in between without every later hash being wrong.

use std::collections::HashMap;

use db::Db;
use kernel::{EventId, TenantId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Event, store, system};
use crate::{Action, Caller, Error, Scope, webhook_endpoint};

/// What the first event of a trail follows.
const START: [u8; 32] = [0; 32];
/// How many events are chained in one transaction.
const BATCH: i64 = 500;

/// An event in its place.
#[derive(Debug, Clone)]
pub struct Chained {
    /// What happened.
    pub event: Event,
    /// Its place in the feed of all trails.
    pub position: i64,
    /// The hash of the event before it on its trail; 32 zero bytes for the first.
    pub previous_hash: Vec<u8>,
    /// SHA-256 over `previous_hash` and the event's canonical form.
    pub hash: Vec<u8>,
}

/// The hash of an event after another: SHA-256 over the 32 bytes of `previous` and the canonical JSON (RFC 8785) of
/// the event as `GET /v1/audit-log` shows it, without `position`, `previous_hash` and `hash`.
///
/// # Errors
/// [`Error::Internal`] for data that JSON cannot hold, of which there are none.
pub fn hash(previous: &[u8], event: &Event) -> Result<[u8; 32], Error> {
    let canonical = serde_json_canonicalizer::to_vec(&canonical(event)).map_err(Error::internal)?;
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(canonical);
    Ok(hash.finalize().into())
}

/// The event as the trail shows it.
pub(crate) fn canonical(event: &Event) -> Value {
    json!({
        "id": event.id,
        "trail": event.trail.to_string(),
        "kind": event.kind,
        "subject": event.subject,
        "data": event.data,
        "principal": event.principal,
        "role": event.role,
        "network": event.network,
        "request_id": event.request_id,
        // One form for a time: seconds always, microseconds when there are any.
        "at": event.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
    })
}

/// Chains what was written since the last time, and queues it for the webhook endpoints that get it; how many. One process at a time does it, whoever comes first.
///
/// # Errors
/// As of any statement.
pub async fn chain(db: &Db) -> Result<u64, Error> {
    let mut chained = 0;
    loop {
        let mut tx = system(db).await?;
        if !store::lock_chain(&mut tx).await? {
            return Ok(chained);
        }
        let fresh = store::unchained(&mut tx, BATCH).await?;
        if fresh.is_empty() {
            return Ok(chained);
        }
        let mut position = store::last_position(&mut tx).await?;
        let mut heads: HashMap<Scope, Vec<u8>> = HashMap::new();
        let mut places = Vec::with_capacity(fresh.len());
        for event in fresh {
            let previous_hash = match heads.remove(&event.trail) {
                Some(head) => head,
                None => store::head(&mut tx, event.trail).await?.unwrap_or_else(|| START.to_vec()),
            };
            let hash = hash(&previous_hash, &event)?.to_vec();
            position += 1;
            heads.insert(event.trail, hash.clone());
            places.push(Chained { event, position, previous_hash, hash });
        }
        store::set_places(&mut tx, &places).await?;
        webhook_endpoint::queue(&mut tx, &places, db.env().now()).await?;
        tx.commit().await?;
        chained += places.len() as u64;
        if (places.len() as i64) < BATCH {
            return Ok(chained);
        }
    }
}

/// What is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The first event that does not add up.
    pub event: EventId,
    /// Its position.
    pub position: i64,
    /// How.
    pub what: &'static str,
}

/// What became of looking through a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many events were looked at.
    pub events: u64,
    /// The hash of the last; whoever kept an earlier one can see that it is still on the trail.
    pub head: Vec<u8>,
    /// The first fault.
    pub fault: Option<Fault>,
}

/// Recomputes a trail from its beginning, also of a tenant that is deleted or destroyed. `None`: every trail, one after another, each with its
/// own verdict.
///
/// # Errors
/// [`Error::Forbidden`] without the right to read the trail; [`Error::NotFound`] for a tenant out of scope.
pub async fn verify(caller: &Caller, tenant_id: Option<TenantId>) -> Result<Vec<(Scope, Verdict)>, Error> {
    caller.require(Action::AuditRead)?;
    let mut tx = system(caller.db()).await?;
    let trails = match tenant_id {
        Some(tenant_id) => vec![Scope::Tenant(caller.enter_deleted_too(tenant_id).await?.tenant_id())],
        None if caller.scope() == Scope::Operator => store::trails(&mut tx).await?,
        None => vec![caller.scope()],
    };
    let mut verdicts = Vec::with_capacity(trails.len());
    for trail in trails {
        let mut checker = Checker::default();
        let mut after = 0;
        loop {
            let page = store::trail_page(&mut tx, trail, after, &[], BATCH).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            page.iter().try_for_each(|chained| checker.take(chained))?;
        }
        verdicts.push((trail, checker.verdict()));
    }
    Ok(verdicts)
}

/// Takes the events of one trail in their order.
#[derive(Debug, Default)]
struct Checker {
    events: u64,
    head: Option<Vec<u8>>,
    fault: Option<Fault>,
}

impl Checker {
    fn take(&mut self, chained: &Chained) -> Result<(), Error> {
        let expected = self.head.as_deref().unwrap_or(&START);
        let what = if chained.previous_hash != expected {
            Some("does not follow the event before it")
        } else if hash(&chained.previous_hash, &chained.event)?.as_slice() != chained.hash {
            Some("is not what was hashed")
        } else {
            None
        };
        if let Some(what) = what
            && self.fault.is_none()
        {
            self.fault = Some(Fault { event: chained.event.id, position: chained.position, what });
        }
        self.events += 1;
        self.head = Some(chained.hash.clone());
        Ok(())
    }

    fn verdict(self) -> Verdict {
        Verdict { events: self.events, head: self.head.unwrap_or_else(|| START.to_vec()), fault: self.fault }
    }
}
