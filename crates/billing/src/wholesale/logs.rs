//! What tenants used, whoever's they were: the logs of everything that an agreement sells.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::TenantId;
use tenancy::mailbox::count::{self, CountChange};
use tenancy::storage_sample::{StorageSample, Wanted};
use tenancy::{seats, storage_sample};

use crate::Error;
use crate::price_book::Item;
use crate::rating::{Log, steps_of_changes};
use crate::subscription::Used;

/// A tenant's logs, in the order in which they were written.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    seats: Vec<(DateTime<Utc>, i64)>,
    mailboxes: Vec<CountChange>,
    stored: Vec<StorageSample>,
}

/// How much of a tenant's logs was known when a boundary was billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) seat_changes: usize,
    pub(crate) mailbox_changes: usize,
    /// The last one's position.
    pub(crate) storage_sample: Option<i64>,
}

impl Logs {
    /// Those of some tenants up to and including a time, of each that has any; of what is not sold they are not read. Of samples, those
    /// that say what was stored `from` an instant on, if there is one.
    pub(crate) async fn read(
        tx: &mut SystemTx,
        tenants: &[TenantId],
        sold: &BTreeSet<Item>,
        (from, until): (Option<DateTime<Utc>>, DateTime<Utc>),
    ) -> Result<BTreeMap<TenantId, Self>, Error> {
        let mut all = BTreeMap::<TenantId, Self>::new();
        for (tenant_id, change) in seats::changes_of(tx, tenants, until).await? {
            all.entry(tenant_id).or_default().seats.push((change.at, change.delta.into()));
        }
        if sold.contains(&Item::SharedMailbox) || sold.contains(&Item::Archive) {
            for (tenant_id, change) in count::changes_of(tx, tenants, until).await? {
                all.entry(tenant_id).or_default().mailboxes.push(change);
            }
        }
        if sold.contains(&Item::Storage) {
            let wanted: Vec<_> = tenants.iter().map(|id| Wanted { tenant_id: *id, from, until }).collect();
            for (tenant_id, sample) in storage_sample::of_tenants(tx, &wanted).await? {
                all.entry(tenant_id).or_default().stored.push(sample);
            }
        }
        Ok(all)
    }

    /// All of it.
    pub(crate) fn known(&self) -> Known {
        Known {
            seat_changes: self.seats.len(),
            mailbox_changes: self.mailboxes.len(),
            storage_sample: self.stored.last().map(|sample| sample.position),
        }
    }

    /// As much of it as was known; `None` if that is more than there is. What a tenant committed to itself is between it and the
    /// reseller.
    pub(crate) fn used(&self, known: Known) -> Option<Used> {
        let seats = steps_of_changes(self.seats.get(..known.seat_changes)?.iter().copied());
        let mailboxes = self.mailboxes.get(..known.mailbox_changes)?;
        let stored = StorageSample::up_to(&self.stored, known.storage_sample)?;
        Some(Used::new(Log { seats, committed: Vec::new() }, mailboxes, stored))
    }
}
