//! A transaction in a session of its own.

use sqlx::PgConnection;

use crate::Error;
use crate::session::{Session, Sessions};

/// A transaction, in whatever role it was begun. Rolled back when dropped, some time after.
#[derive(Debug)]
pub struct Transaction(Session);

impl Transaction {
    /// Begins one, by statements of which the first is `begin`, in one round trip. What else they say is to be local to the transaction: a
    /// session's setting would leak to the next one.
    pub(crate) async fn begin(sessions: &Sessions, statements: String) -> Result<Self, Error> {
        let mut session = sessions.take(None).await?;
        session.begin(statements).await?;
        Ok(Self(session))
    }

    /// The connection, for a store's statements.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.0.conn()
    }

    /// Makes its changes durable.
    ///
    /// # Errors
    /// [`Error::Unresolved`] when it is not known whether they are; any other error means that they are not.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.0.end("commit").await.map_err(Error::of_commit)
    }

    /// Takes its changes back, and has given its locks back when it returns.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn roll_back(mut self) -> Result<(), Error> {
        Ok(self.0.end("rollback").await?)
    }
}
