//! SQL of number series.

use kernel::ResellerId;
use sqlx::PgConnection;

use super::Series;

/// Takes the next number of a series. Others who want one wait until the transaction ends.
pub(crate) async fn take(
    conn: &mut PgConnection,
    issuer: ResellerId,
    series: Series,
) -> Result<i64, db::Error> {
    let number = sqlx::query_scalar!(
        "insert into number_series (issuer_id, series, last_number) values ($1, $2, 1)
         on conflict (issuer_id, series) do update set last_number = number_series.last_number + 1
         returning last_number",
        issuer.uuid(),
        series.as_str(),
    )
    .fetch_one(conn)
    .await?;
    Ok(number)
}
