//! The rows of tenants' usage.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{ResellerId, TenantId};
use tenancy::{seats, storage_sample};
use uuid::Uuid;

use super::{Scope, Window};
use crate::Error;
use crate::subscription;
use crate::table::{Cell, Format, Table};
use crate::usage::store::{self, Tenant};
use crate::usage::{Logs, UsageDay};

const COLUMNS: [&str; 7] =
    ["tenant_id", "tenant_name", "reseller_id", "day", "seats_used", "seats_committed", "used_bytes"];

/// How many tenants are read at once, each of which has a row a day.
const PAGE_TENANTS: i64 = 10;

fn cells(tenant: &Tenant, day: UsageDay) -> [Cell; COLUMNS.len()] {
    let [on, seats_used, seats_committed, used_bytes] = day.cells();
    [
        Cell::of(TenantId::from_uuid(tenant.id)),
        Cell::of(&tenant.name),
        Cell::of(ResellerId::from_uuid(tenant.reseller_id)),
        on,
        seats_used,
        seats_committed,
        used_bytes,
    ]
}

/// The pages of the file.
#[derive(Debug)]
pub(super) struct Pages {
    table: Table<{ COLUMNS.len() }>,
    window: Window,
    now: DateTime<Utc>,
    after: Uuid,
}

impl Pages {
    pub(super) fn new(window: Window, now: DateTime<Utc>, format: Format) -> Self {
        Self { table: Table::new(format, COLUMNS), window, now, after: Uuid::nil() }
    }

    /// The next page, and whether there may be another.
    pub(super) async fn next(&mut self, tx: &mut SystemTx, scope: &Scope) -> Result<(Vec<u8>, bool), Error> {
        let tenants = store::tenants(tx, scope.reseller_id, self.after, PAGE_TENANTS).await?;
        let ids: Vec<TenantId> = tenants.iter().map(|tenant| TenantId::from_uuid(tenant.id)).collect();
        let mut logs = BTreeMap::<TenantId, Logs>::new();
        let latest = tenants.iter().filter_map(|tenant| tenant.test_clock).chain([self.now]).max();
        for (id, change) in seats::changes_of(tx, &ids, latest.unwrap_or(self.now)).await? {
            logs.entry(id).or_default().seats.push((change.at, change.delta.into()));
        }
        let uuids: Vec<Uuid> = tenants.iter().map(|tenant| tenant.id).collect();
        for (id, steps) in subscription::store::commitments_among(tx.conn(), &uuids).await? {
            logs.entry(id).or_default().commitments = steps;
        }
        let wanted: Vec<_> = ids.iter().map(|id| storage_sample::Wanted::all(*id)).collect();
        for (id, sample) in storage_sample::of_tenants(tx, &wanted).await? {
            logs.entry(id).or_default().storage.push(sample);
        }
        let calendars = tenants.iter().map(Tenant::calendar).collect::<Result<Vec<_>, _>>()?;
        let moved = tenants.iter().zip(&calendars).filter(|(_, calendar)| calendar.has_changed());
        let moved: Vec<Uuid> = moved.map(|(tenant, _)| tenant.id).collect();
        for (id, cycle) in store::cycles(tx.conn(), &moved).await? {
            logs.entry(id).or_default().cycles.push(cycle);
        }
        let mut rows = Vec::new();
        for (tenant, calendar) in tenants.iter().zip(&calendars) {
            // A deleted tenant is charged, and used, up to the day of its deletion.
            let now = tenant.test_clock.unwrap_or(self.now);
            let now = tenant.deleted_at.map_or(now, |deleted_at| now.min(deleted_at));
            let of_it = logs.remove(&TenantId::from_uuid(tenant.id)).unwrap_or_default();
            rows.extend(of_it.days(self.window, calendar, now)?.into_iter().map(|day| cells(tenant, day)));
            self.after = tenant.id;
        }
        Ok((self.table.piece(rows)?, i64::try_from(ids.len()).is_ok_and(|count| count == PAGE_TENANTS)))
    }
}
