//! What tenants used, whoever's they were: the logs of everything that an agreement sells.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::TenantId;
use tenancy::mailbox::count::{self, CountChange};
use tenancy::{seats, storage_sample};

use crate::Error;
use crate::price_book::Item;
use crate::rating::{Log, Step, steps_of_changes};
use crate::subscription::Used;

/// The whole of a tenant's logs, in the order in which they were written.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    seats: Vec<(DateTime<Utc>, i64)>,
    mailboxes: Vec<CountChange>,
    /// Bytes.
    stored: Vec<Step>,
}

/// How much of a tenant's logs was known when a boundary was billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) seat_changes: usize,
    pub(crate) mailbox_changes: usize,
    pub(crate) storage_samples: usize,
}

impl Logs {
    /// Those of some tenants, of each that has any; of what is not sold they are not read. Changes are those up to and including a time;
    /// samples all, since a cycle that is over has none of those to come.
    pub(crate) async fn read(
        tx: &mut SystemTx,
        tenants: &[TenantId],
        sold: &BTreeSet<Item>,
        until: DateTime<Utc>,
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
            for (tenant_id, sample) in storage_sample::of_tenants(tx, tenants).await? {
                let step = Step { at: sample.at, level: sample.used_bytes };
                all.entry(tenant_id).or_default().stored.push(step);
            }
        }
        Ok(all)
    }

    /// All of it.
    pub(crate) fn known(&self) -> Known {
        Known {
            seat_changes: self.seats.len(),
            mailbox_changes: self.mailboxes.len(),
            storage_samples: self.stored.len(),
        }
    }

    /// As much of it as was known; `None` if that is more than there is. What a tenant committed to itself is between it and the
    /// reseller.
    pub(crate) fn used(&self, known: Known) -> Option<Used> {
        let seats = steps_of_changes(self.seats.get(..known.seat_changes)?.iter().copied());
        let mailboxes = self.mailboxes.get(..known.mailbox_changes)?;
        let stored = self.stored.get(..known.storage_samples)?.to_vec();
        Some(Used::new(Log { seats, committed: Vec::new() }, mailboxes, stored))
    }
}
