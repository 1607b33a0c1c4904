//! What can go wrong with a statement, told apart as far as callers act on it.

use kernel::ErrorKind;

/// A failure of the database. Its text is for logs; edges show [`Error::kind`] only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A named constraint was violated; domains map the name to their own error.
    #[error("constraint {name} was violated")]
    Constraint {
        /// The constraint's name in the schema.
        name: String,
    },
    /// It cannot be reached, is starting, or is out of connections; later may work.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The connection was lost while committing: the changes may be durable or not.
    #[error("it is not known whether the changes were made")]
    Unresolved(#[source] sqlx::Error),
    /// The login role is a superuser or bypasses row-level security, which keeps tenants apart.
    #[error(
        "the database role is a superuser or bypasses row-level security; connect with one of its own, that owns the database and no more"
    )]
    AboveTheRules,
    /// The database does not keep text as Unicode; with the encoding that it has.
    #[error(
        "the database has the encoding {0}, and mail needs UTF8: make another (create database … encoding 'UTF8' template template0)"
    )]
    NotUtf8(String),
    /// The login role lacks what making the schema takes; what it is.
    #[error("the database role {0}; docs/operating.md has the SQL under \"Your own Postgres\"")]
    Lacks(&'static str),
    /// A database that was to be made anew has tables already.
    #[error(
        "the database is not empty: if a recovery that was cut short left it, empty it (on embedded defaults, move postgres/ out of the data \
         directory) and begin again"
    )]
    NotEmpty,
    /// A migration could not be applied.
    #[error("the schema could not be brought up to date")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// Anything else: a fault of ours.
    #[error("a statement failed")]
    Internal(#[source] sqlx::Error),
}

/// PostgreSQL's `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

impl Error {
    /// The violated constraint's name, if that is what happened.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint { name } => Some(name),
            _ => None,
        }
    }

    /// The same for another whom the statement was for as well. The cause goes along as text.
    #[must_use]
    pub fn shared(&self) -> Self {
        let cause = kernel::error::chain(self);
        match self {
            Self::Unavailable(_) => Self::Unavailable(sqlx::Error::Io(std::io::Error::other(cause))),
            _ => Self::Internal(sqlx::Error::Protocol(cause)),
        }
    }

    /// Whether nothing was committed, and nothing says that the next statement would fail as well.
    pub fn is_of_the_statement(&self) -> bool {
        !matches!(self, Self::Unresolved(_) | Self::Unavailable(_))
    }

    /// Nothing was answered in time.
    pub fn timed_out() -> Self {
        Self::Unavailable(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
    }

    /// What failed after [`wait_half_a_minute`](crate::wait_half_a_minute): that somebody has a lock for long is no fault, later the same
    /// may work.
    #[must_use]
    pub fn after_waiting(self) -> Self {
        match &self {
            Self::Internal(sqlx::Error::Database(cause))
                if cause.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
            {
                Self::timed_out()
            }
            _ => self,
        }
    }

    /// What a failed commit means: the server's own refusal undid everything, a lost connection tells nothing.
    pub(crate) fn of_commit(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(_) => error.into(),
            _ => Self::Unresolved(error),
        }
    }

    /// How an edge is to understand it. [`ErrorKind::Unavailable`] means that nothing was changed and trying again is
    /// safe. A constraint that no domain mapped is a fault of ours.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Unresolved(_)
            | Self::AboveTheRules
            | Self::NotUtf8(_)
            | Self::Lacks(_)
            | Self::NotEmpty
            | Self::Constraint { .. }
            | Self::Migration(_)
            | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) => match (cause.constraint(), cause.code().as_deref()) {
                (Some(name), _) => Self::Constraint { name: name.to_owned() },
                (None, Some(code)) if is_passing(code) => Self::Unavailable(error),
                _ => Self::Internal(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Internal(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(error)
    }
}

/// SQLSTATE classes that pass by themselves: connection exceptions (08), serialization failure and deadlock
/// (40), insufficient resources (53), operator intervention such as a shutdown (57P).
fn is_passing(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("40") || code.starts_with("53") || code.starts_with("57P")
}
