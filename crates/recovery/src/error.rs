//! What can go wrong with a journal.

/// Why the journal was not kept, or nothing recovered. Its text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket has no whole base: there is nothing to begin with.
    #[error(
        "the bucket holds no whole base of a journal: look whether PILLARBOX_BLOB_URL names the right one"
    )]
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
    /// What the database last put into the bucket of its journal is not there.
    #[error(
        "segment {0} of the journal, which this database has put into the blob store last, is not there: it is another blob store, an empty one, \
         or one that is not mounted, or the segment is lost. Look at PILLARBOX_BLOB_URL, at the mount, and whether the objects were \
         moved, or put the segment back from a copy. If this is the right blob store and the segment is lost for good, `pillarbox blob verify \
         --repair` takes a new base, with which a recovery begins from then on"
    )]
    Astray(u64),
    /// The bucket has more of a journal than the database knows of, and not its key.
    #[error(
        "the blob store has more of a journal than this database knows of, and not this installation's key: it is another installation's. Look \
         at PILLARBOX_BLOB_URL. If it is the right blob store and the key is lost, `pillarbox blob verify --repair` puts it back"
    )]
    Foreign,
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
