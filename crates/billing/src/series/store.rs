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
    take_some(conn, issuer, series, 1).await
}

/// As [`take`], so many in a row; returns the first.
pub(crate) async fn take_some(
    conn: &mut PgConnection,
    issuer: ResellerId,
    series: Series,
    count: i64,
) -> Result<i64, db::Error> {
    let first = sqlx::query_scalar!(
        r#"insert into number_series (issuer_id, series, last_number) values ($1, $2, $3)
           on conflict (issuer_id, series) do update set last_number = number_series.last_number + $3
           returning last_number - $3 + 1 as "first!""#,
        issuer.uuid(),
        series.as_str(),
        count,
    )
    .fetch_one(conn)
    .await?;
    Ok(first)
}
