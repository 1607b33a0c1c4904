//! SQL of what a database says of its bucket.

use db::{Error, SystemTx};

/// Numbers of the journal.
pub(super) struct Known {
    /// The last that was given out.
    pub(super) number: u64,
    /// The last whose changes are in the bucket and nowhere else.
    pub(super) shipped: u64,
    /// The newest base.
    pub(super) base: Option<u64>,
}

/// `None` while a recovery is under way.
pub(super) async fn known(tx: &mut SystemTx) -> Result<Option<Known>, Error> {
    let row = sqlx::query!("select number, shipped, base_number from journal_head")
        .fetch_optional(tx.conn())
        .await?;
    let from_column = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(row.map(|row| Known {
        number: from_column(row.number),
        shipped: from_column(row.shipped),
        base: row.base_number.map(from_column),
    }))
}
