//! SQL of rates of tax.

use db::SystemTx;
use kernel::ResellerId;
use sqlx::PgConnection;

use super::TaxRate;
use crate::Error;

/// All of an issuer's, in the order in which they were added.
pub(crate) async fn rates(conn: &mut PgConnection, reseller_id: ResellerId) -> Result<Vec<TaxRate>, Error> {
    let rows = sqlx::query!(
        r#"select country, rate::text as "rate!", valid_from, set_at from tax_rates
           where reseller_id = $1 order by ordinal"#,
        reseller_id.uuid()
    )
    .fetch_all(conn)
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            Ok(TaxRate {
                country: row.country.parse().map_err(|_| Error::Stored("country"))?,
                rate: row.rate.parse().map_err(|_| Error::Stored("rate of tax"))?,
                valid_from: row.valid_from,
                set_at: row.set_at,
            })
        })
        .collect()
}

/// The issuer has to be locked.
pub(super) async fn append(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    rate: &TaxRate,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into tax_rates (reseller_id, ordinal, country, rate, valid_from, set_at)
         select $1, coalesce(max(ordinal), 0) + 1, $2, $3::text::numeric, $4, $5 from tax_rates where reseller_id = $1",
        reseller_id.uuid(),
        rate.country.code(),
        rate.rate.to_string(),
        rate.valid_from,
        rate.set_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
