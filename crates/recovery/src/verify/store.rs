//! SQL of verification.

use db::{Error, SystemRead};

fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The bases that are known, in the order of their numbers.
pub(super) async fn bases(read: &mut SystemRead) -> Result<Vec<u64>, Error> {
    let numbers = sqlx::query_scalar!("select number from journal_bases order by number");
    Ok(numbers.fetch_all(read.conn()).await?.into_iter().map(from_column).collect())
}

/// The last number that was acknowledged: what was put under it is kept nowhere else.
pub(super) async fn acknowledged(read: &mut SystemRead) -> Result<Option<u64>, Error> {
    let number = sqlx::query_scalar!("select shipped from journal_head").fetch_optional(read.conn()).await?;
    Ok(number.map(from_column))
}
