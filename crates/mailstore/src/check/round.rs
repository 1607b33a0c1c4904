//! The comparison as a duty: a slice at a time, the whole of it once a day.

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{FolderId, MailboxId, ResellerId, TenantId};
use tenancy::quota;
use uuid::Uuid;

use super::store;
use crate::Error;

/// How often everything is compared.
pub const EVERY: TimeDelta = TimeDelta::days(1);

/// How many mailboxes a slice has, with their folders.
const MAILBOXES: i64 = 50;
/// How many tenants.
const TENANTS: i64 = 50;
/// How many resellers, each of which may have all the others' mailboxes below it.
const RESELLERS: i64 = 5;

/// What is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// By how many bytes the counters of bytes of mailboxes, folders and pools are off, whichever way, together.
    pub drift_bytes: u64,
    /// How many counters are off, of bytes or of anything else.
    pub counters: u64,
}

impl Found {
    fn add(&mut self, off: &Off) {
        self.counters += 1;
        if off.counter.ends_with("_bytes") {
            self.drift_bytes = self.drift_bytes.saturating_add(off.says.abs_diff(off.counts));
        }
    }

    fn or_more(self, other: Self) -> Self {
        Self {
            drift_bytes: self.drift_bytes.max(other.drift_bytes),
            counters: self.counters.max(other.counters),
        }
    }
}

/// One process's rounds over all mailboxes with their folders, then tenants, then resellers. One begins each [`EVERY`]; of processes of one
/// database, one at a time goes about one, and who finds another at it leaves it to that one until the next day, or waits until that one is done where
/// its own is under way already.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Holds the lock of those who go about a round, while there is one.
    lead: Option<SystemTx>,
    /// When the last round was begun, or left to another.
    begun_at: Option<DateTime<Utc>>,
    /// Where the round under way goes on.
    place: Option<Place>,
    so_far: Found,
    last: Found,
}

/// After which row.
#[derive(Debug, Clone, Copy)]
enum Place {
    Mailboxes(Uuid, Uuid),
    Tenants(Uuid),
    Resellers(Uuid),
}

impl Rounds {
    /// Compares the next slice, if a round is under way or due, and warns of each counter that is off. What the last round found, or what this
    /// one has found so far if that is more; nothing while rounds are another process's and none is under way here. Each object is compared as it was at one moment, so
    /// writers at work do not show, and a slice costs what is in it however much is written meanwhile.
    ///
    /// # Errors
    /// When the database fails: the same slice is then the next once more.
    pub async fn step(&mut self, db: &Db) -> Result<Found, Error> {
        let now = db.env().now();
        if self.place.is_none() && self.begun_at.is_some_and(|begun_at| now < begun_at + EVERY) {
            return Ok(self.found());
        }
        if !self.leads(db).await? {
            if self.place.is_some() {
                // Where the connection was lost, Postgres may not know it yet: the lock that is in the way is our own then.
                return Ok(self.found());
            }
            *self = Self { begun_at: Some(now), ..Self::default() };
            return Ok(Found::default());
        }
        let place = match self.place {
            Some(place) => place,
            None => {
                self.begun_at = Some(now);
                *self.place.insert(Place::Mailboxes(Uuid::nil(), Uuid::nil()))
            }
        };
        let (off, next) = compare(db, place).await?;
        for off in &off {
            off.warn();
            self.so_far.add(off);
        }
        self.place = next;
        if next.is_none() {
            self.last = std::mem::take(&mut self.so_far);
            if let Some(lead) = self.lead.take() {
                lead.roll_back().await?;
            }
        }
        Ok(self.found())
    }

    fn found(&self) -> Found {
        self.last.or_more(self.so_far)
    }

    /// Whether nobody else goes about a round. A connection that was lost has lost the lock too.
    async fn leads(&mut self, db: &Db) -> Result<bool, Error> {
        if let Some(mut lead) = self.lead.take() {
            if store::lead(&mut lead).await.is_ok_and(|leads| leads) {
                self.lead = Some(lead);
                return Ok(true);
            }
            // Where it can still be given back, it is not in the way of another try.
            lead.roll_back().await.ok();
        }
        let mut tx = begin(db).await?;
        if store::lead(&mut tx).await? {
            self.lead = Some(tx);
        }
        Ok(self.lead.is_some())
    }
}

/// What is off of the slice at a place, and the next place, if it was not the last.
async fn compare(db: &Db, place: Place) -> Result<(Vec<Off>, Option<Place>), Error> {
    let mut tx = snapshot(db).await?;
    match place {
        Place::Mailboxes(tenant_id, mailbox_id) => {
            let slice = store::mailboxes_after(&mut tx, (tenant_id, mailbox_id), MAILBOXES).await?;
            let mut off = store::mailboxes_off(&mut tx, &slice).await?;
            off.extend(store::folders_off(&mut tx, &slice).await?);
            let is_full = i64::try_from(slice.len()).is_ok_and(|count| count >= MAILBOXES);
            let next = match slice.last() {
                Some(&(tenant_id, mailbox_id)) if is_full => Place::Mailboxes(tenant_id, mailbox_id),
                _ => Place::Tenants(Uuid::nil()),
            };
            Ok((off.into_iter().map(Off::of_mailbox).collect(), Some(next)))
        }
        Place::Tenants(after) => {
            let (off, last) = quota::tenants_off(&mut tx, after, TENANTS).await?;
            let next = last.map_or(Place::Resellers(Uuid::nil()), Place::Tenants);
            Ok((off.into_iter().map(Off::of_tenant).collect(), Some(next)))
        }
        Place::Resellers(after) => {
            let (off, last) = quota::resellers_off(&mut tx, after, RESELLERS).await?;
            Ok((off.into_iter().map(Off::of_reseller).collect(), last.map(Place::Resellers)))
        }
    }
}

/// A counter that is off, and whose it is.
struct Off {
    reseller_id: Option<ResellerId>,
    tenant_id: Option<TenantId>,
    mailbox_id: Option<MailboxId>,
    folder_id: Option<FolderId>,
    counter: String,
    says: i64,
    counts: i64,
}

impl Off {
    fn of_mailbox(of: store::Off) -> Self {
        Self {
            reseller_id: None,
            tenant_id: Some(TenantId::from_uuid(of.tenant_id)),
            mailbox_id: Some(MailboxId::from_uuid(of.mailbox_id)),
            folder_id: of.folder_id.map(FolderId::from_uuid),
            counter: of.counter,
            says: of.says,
            counts: of.counts,
        }
    }

    fn of_tenant(of: quota::Off) -> Self {
        let tenant_id = Some(TenantId::from_uuid(of.id));
        Self { tenant_id, ..Self::of_level(of) }
    }

    fn of_reseller(of: quota::Off) -> Self {
        let reseller_id = Some(ResellerId::from_uuid(of.id));
        Self { reseller_id, ..Self::of_level(of) }
    }

    fn of_level(of: quota::Off) -> Self {
        let quota::Off { counter, says, counts, .. } = of;
        Self { reseller_id: None, tenant_id: None, mailbox_id: None, folder_id: None, counter, says, counts }
    }

    fn warn(&self) {
        tracing::warn!(
            reseller.id = self.reseller_id.map(tracing::field::display),
            tenant.id = self.tenant_id.map(tracing::field::display),
            mailbox.id = self.mailbox_id.map(tracing::field::display),
            folder.id = self.folder_id.map(tracing::field::display),
            counter.name = %self.counter,
            counter.says = self.says,
            counter.counts = self.counts,
            "a counter is not the sum of what it counts"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "the counters of all tenants are compared")]
async fn begin(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}

#[expect(clippy::disallowed_methods, reason = "the counters of all tenants are compared")]
async fn snapshot(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::snapshot(db).await?)
}
