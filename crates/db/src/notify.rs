//! Words between the processes on one database: `NOTIFY` and `LISTEN`. They may get lost; whoever needs to know asks besides.

use sqlx::postgres::PgListener;

use crate::{Db, Error};

/// Tells all who listen on a channel. Each payload has at most 7,999 bytes. In a transaction of its own that need not be durable: a
/// `NOTIFY` in another's would make commits wait for each other.
///
/// # Errors
/// [`Error`] when the database fails; then nobody was told.
pub async fn notify(db: &Db, channel: &str, payloads: &[String]) -> Result<(), Error> {
    // The statement is the transaction: in one round trip.
    sqlx::query(
        "with quick as materialized (select set_config('synchronous_commit', 'off', true))
         select pg_notify($1, payload) from quick, unnest($2::text[]) as payload",
    )
    .bind(channel)
    .bind(payloads)
    .execute(db.pools.transactions.take(None).await?.conn())
    .await?;
    Ok(())
}

/// A connection of its own that listens.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Begins to listen on a channel.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn open(db: &Db, channel: &str) -> Result<Self, Error> {
        let mut listener = PgListener::connect(db.url()).await?;
        listener.listen(channel).await?;
        Ok(Self(listener))
    }

    /// The next payload.
    ///
    /// # Errors
    /// When the connection is lost; what was told meanwhile is lost as well, and whoever wants to go on opens another one.
    pub async fn next(&mut self) -> Result<String, Error> {
        match self.0.try_recv().await? {
            Some(told) => Ok(told.payload().to_owned()),
            None => Err(Error::Unavailable(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()))),
        }
    }
}
