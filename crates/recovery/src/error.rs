//! What can go wrong with a journal.

/// Why the journal was not kept, or nothing recovered. Its text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket has no whole base: there is nothing to begin with.
    #[error("the bucket holds no whole base of a journal")]
    NoBase,
    /// A recovery of the database was begun and not finished.
    #[error(
        "a recovery of this database was begun and not finished: empty the database, and run `pillarbox recover` again"
    )]
    Unfinished,
    /// The database is new, and the bucket has the journal of another.
    #[error(
        "the database is new, and the bucket holds another one's journal: if that database was lost, `pillarbox recover` makes it anew in \
         an empty one (what a recovery that was cut short left is emptied first); if not, name the database that belongs to the bucket, or \
         an empty bucket"
    )]
    NotOurs,
    /// The bucket does not have the journal up to a moment yet.
    #[error("the journal is not in the bucket up to that moment yet")]
    Behind,
    /// A segment that others build on is not in the bucket.
    #[error("the journal's segment {missing} is not in the bucket, and segment {number} follows it")]
    Missing {
        /// The number that is missing.
        missing: u64,
        /// The one that names it.
        number: u64,
    },
    /// An object of the journal is not what was put there.
    #[error("the journal's segment {number} cannot be read")]
    Unreadable {
        /// Its number.
        number: u64,
        /// Why.
        #[source]
        cause: pack::OpenError,
    },
    /// Tenants that are not destroyed have no key in the bucket, or a damaged one, for what the journal has of them.
    #[error(
        "the bucket has no key that opens what the journal has of the tenants {0}: put the objects of their keys back from a copy of the bucket"
    )]
    KeysMissing(String),
    /// A key does not open.
    #[error(transparent)]
    Key(#[from] pack::KeyError),
    /// The blob store failed.
    #[error("the blob store failed")]
    Blob(#[from] blob::Error),
    /// The database failed.
    #[error("the database failed")]
    Db(#[from] db::Error),
    /// The mail store failed.
    #[error("the mail store failed")]
    Mail(#[from] mailstore::Error),
}
