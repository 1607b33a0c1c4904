//! How long statements wait for locks.

use sqlx::PgConnection;

use crate::Error;

/// From here to the end of the transaction, or to [`wait_without_end`], a statement that waits for a lock longer than half a
/// minute fails.
///
/// # Errors
/// [`Error`] when the database fails.
pub async fn wait_half_a_minute(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("set local lock_timeout = '30s'").execute(conn).await?;
    Ok(())
}

/// Statements wait as they did before [`wait_half_a_minute`].
///
/// # Errors
/// [`Error`] when the database fails.
pub async fn wait_without_end(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("set local lock_timeout to default").execute(conn).await?;
    Ok(())
}
