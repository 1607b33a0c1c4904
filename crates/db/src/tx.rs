//! The transaction that sees every tenant, and the session that only looks.

use sqlx::PgConnection;

use crate::{Db, Error, Session, Transaction};

/// A transaction as the system role, which sees every tenant's rows. The named exception to the rule that a
/// tenant's table is reached by a proven tenant: sign-in, recipient lookup, resellers, workers.
#[derive(Debug)]
pub struct SystemTx {
    tx: Transaction,
    is_trial: bool,
}

impl SystemTx {
    /// Begins one. Rolled back when dropped.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn begin(db: &Db) -> Result<Self, Error> {
        let begin = format!("{} pillarbox_system", crate::BEGIN);
        let tx = Transaction::begin(&db.pools.transactions, begin).await?;
        Ok(Self { tx, is_trial: db.is_trial })
    }

    /// Begins one that only reads, and sees the database as it was at its first statement however long it goes on.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn snapshot(db: &Db) -> Result<Self, Error> {
        let begin = format!("{} pillarbox_system", crate::BEGIN_SNAPSHOT);
        let tx = Transaction::begin(&db.pools.transactions, begin).await?;
        Ok(Self { tx, is_trial: db.is_trial })
    }

    /// Goes on in a transaction that another role has begun by `db`, for a change that is more than that one may do.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn go_on(db: &Db, mut tx: Transaction) -> Result<Self, Error> {
        sqlx::query("set local role pillarbox_system").execute(tx.conn()).await?;
        Ok(Self { tx, is_trial: db.is_trial })
    }

    /// The connection, for a store's statements.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.tx.conn()
    }

    /// Makes its changes durable; those that are only tried ([`Db::trial`]) it takes back.
    ///
    /// # Errors
    /// [`Error::Unresolved`] when it is not known whether they are; any other error means that they are not.
    pub async fn commit(self) -> Result<(), Error> {
        if self.is_trial { self.tx.roll_back().await } else { self.tx.commit().await }
    }

    /// Takes its changes back, and has given its locks back when it returns. Dropped, it gives them back at some time after.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn roll_back(self) -> Result<(), Error> {
        self.tx.roll_back().await
    }
}

/// A session of the system role that can only read: for lookups of one statement, which need no transaction around
/// them. The same exception as [`SystemTx`].
#[derive(Debug)]
pub struct SystemRead(Session);

impl SystemRead {
    /// Takes one.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn open(db: &Db) -> Result<Self, Error> {
        Ok(Self(db.pools.lookups.take(None).await?))
    }

    /// The connection, for a store's statements.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.0.conn()
    }
}
