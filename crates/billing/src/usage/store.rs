//! SQL of usage: of the tenants of a reseller.

use chrono_tz::Tz;
use db::SystemTx;
use kernel::{ResellerId, TenantId};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::Calendar;
use uuid::Uuid;

use crate::Error;
use crate::price_book::Item;
use crate::rating::Span;

/// A tenant as its rows name it.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) reseller_id: Uuid,
    pub(crate) time_zone: String,
    pub(crate) former_time_zones: Vec<String>,
    pub(crate) former_time_zones_until: Vec<NaiveDate>,
    pub(crate) test_clock: Option<DateTime<Utc>>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}

impl Tenant {
    pub(crate) fn calendar(&self) -> Result<Calendar, Error> {
        let calendar =
            Calendar::of_row(&self.time_zone, &self.former_time_zones, &self.former_time_zones_until);
        calendar.map_err(|_| Error::Stored("time zone"))
    }
}

/// The days of tenants' cycles of seats, and the zone in which they are counted.
pub(crate) async fn cycles(
    conn: &mut PgConnection,
    tenants: &[Uuid],
) -> Result<Vec<(TenantId, (Span, Tz))>, Error> {
    if tenants.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select tenant_id, lower(days) as "start!", upper(days) as "end!", time_zone as "time_zone!" from billing_coverage
           where tenant_id = any ($1) and item = $2 and kind = 'cycle' and not isempty(days) order by tenant_id, starts_on"#,
        tenants,
        Item::Mailbox.as_str()
    )
    .fetch_all(conn)
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let days = Span::new(row.start, row.end).ok_or(Error::Stored("cycle"))?;
            let zone = row.time_zone.parse().map_err(|_| Error::Stored("time zone"))?;
            Ok((TenantId::from_uuid(row.tenant_id), (days, zone)))
        })
        .collect()
}

/// The next tenants of a reseller and of those below it, by id.
pub(crate) async fn tenants(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Tenant>, db::Error> {
    let tenants = sqlx::query_as!(
        Tenant,
        "select id, name, reseller_id, time_zone, former_time_zones, former_time_zones_until, test_clock, deleted_at from tenants
         where reseller_path @> array[$1::uuid] and id > $2 order by id limit $3",
        reseller_id.uuid(),
        after,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(tenants)
}
