//! SQL of bundles.

use db::{Error, SystemTx};

/// Whether nobody else is bundling; nobody will until the transaction ends.
pub(super) async fn lock(tx: &mut SystemTx) -> Result<bool, Error> {
    let is_alone =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('journal_bundle')) as "is_alone!""#)
            .fetch_one(tx.conn())
            .await?;
    Ok(is_alone)
}
