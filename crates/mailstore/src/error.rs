//! What the mail store refuses, told apart as callers act on it.

use std::sync::Arc;

use kernel::ErrorKind;

/// Why a call failed. Its text may be shown to the caller; causes are for logs. Cloned when one cause is the
/// result of several recipients.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such mailbox or message, or the caller may not know that there is.
    #[error("no such object")]
    NotFound,
    /// The mailbox has no room for the message.
    #[error("the mailbox is over its quota")]
    OverQuota,
    /// The mailbox takes no mail any more.
    #[error("the mailbox is no longer there")]
    MailboxGone,
    /// The mailbox has no such folder.
    #[error("the mailbox has no such folder")]
    FolderNotFound,
    /// The mailbox has a folder of that name, or for that purpose, in that place.
    #[error("there is such a folder already")]
    FolderExists,
    /// Folders lie below it.
    #[error("the folder has folders below it")]
    FolderHasChildren,
    /// The Inbox stays where it is, under its name.
    #[error("the Inbox cannot be renamed, moved or deleted")]
    InboxStays,
    /// The mailbox has as many folders as it may have, or as deep ones.
    #[error("a mailbox has at most {max_folders} folders, {max_depth} deep")]
    TooManyFolders {
        /// How many.
        max_folders: u64,
        /// How deep.
        max_depth: u64,
    },
    /// A message would have more keywords than one may have.
    #[error("a message has at most {max} keywords")]
    TooManyKeywords {
        /// How many.
        max: u64,
    },
    /// The mailbox is being restored, or as many of the tenant's as may be at a time.
    #[error("a restore of it is under way, or too many of the tenant's are")]
    RestoreUnderWay,
    /// The log of changes does not go back so far: whoever asks looks at everything again.
    #[error("the changes since then are not known any more")]
    ChangesExpired,
    /// The message is longer than any mailbox takes.
    #[error("the message has {size_bytes} bytes, more than the {limit_bytes} allowed")]
    TooLarge {
        /// Its size.
        size_bytes: u64,
        /// The limit it exceeds.
        limit_bytes: u64,
    },
    /// The message was not deleted, so it cannot be recovered.
    #[error("the message is not deleted")]
    NotDeleted,
    /// The range starts at or past the end of the message.
    #[error("the range starts past the end of the message")]
    RangeNotSatisfiable {
        /// The message's size.
        total_bytes: u64,
    },
    /// Another session has the mailbox to itself (RFC 2449 §8.1.1, `IN-USE`).
    #[error("the mailbox is in use by another session")]
    InUse,
    /// The session let its exclusive access run out and another one took it; nothing was changed.
    #[error("the session has lost its access to the mailbox")]
    LeaseLost,
    /// The upload took longer than its reservation lived; sending the message again may work.
    #[error("the message took too long to store")]
    ReservationLost,
    /// Refused by the control plane.
    #[error(transparent)]
    Tenancy(Arc<tenancy::Error>),
    /// The blob store failed.
    #[error("the blob store failed")]
    Blob(#[source] Arc<blob::Error>),
    /// A key is not to be had.
    #[error("a key of the tenant is not to be had")]
    Key(#[source] Arc<pack::KeyError>),
    /// A body is not what was stored.
    #[error("the message cannot be read")]
    Unreadable(#[source] pack::OpenError),
    /// The database failed.
    #[error("the database failed")]
    Db(#[source] Arc<db::Error>),
    /// Whoever had it in hand did not come back: the process is shutting down, or a fault of ours ended it.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Error {
    /// Whether a body is not to be had any more: it is gone, damaged, or without its key.
    pub(crate) fn is_for_good(&self) -> bool {
        match self {
            Self::NotFound | Self::Unreadable(_) => true,
            Self::Key(cause) => !matches!(**cause, pack::KeyError::Unavailable(_)),
            Self::Blob(cause) => matches!(**cause, blob::Error::NotFound | blob::Error::RangeNotSatisfiable),
            _ => false,
        }
    }

    /// How an edge is to understand it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound | Self::MailboxGone | Self::FolderNotFound => ErrorKind::NotFound,
            Self::OverQuota
            | Self::TooLarge { .. }
            | Self::TooManyFolders { .. }
            | Self::TooManyKeywords { .. } => ErrorKind::LimitExceeded,
            Self::RangeNotSatisfiable { .. } => ErrorKind::Invalid,
            Self::NotDeleted
            | Self::InUse
            | Self::LeaseLost
            | Self::FolderExists
            | Self::FolderHasChildren
            | Self::InboxStays
            | Self::RestoreUnderWay
            | Self::ChangesExpired => ErrorKind::Conflict,
            Self::ReservationLost | Self::ShuttingDown => ErrorKind::Unavailable,
            Self::Tenancy(cause) => cause.kind(),
            Self::Blob(cause) => match cause.kind() {
                ErrorKind::Unavailable => ErrorKind::Unavailable,
                // A row says that the body exists: whatever else the store answers is a fault of ours.
                _ => ErrorKind::Internal,
            },
            Self::Key(cause) => match cause.as_ref() {
                pack::KeyError::Unavailable(_) => ErrorKind::Unavailable,
                _ => ErrorKind::Internal,
            },
            Self::Unreadable(_) => ErrorKind::Internal,
            Self::Db(cause) => cause.kind(),
        }
    }

    /// The stable code, as the API documents it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::OverQuota => "quota_exceeded",
            Self::MailboxGone => "mailbox_gone",
            Self::FolderNotFound => "folder_not_found",
            Self::FolderExists => "folder_exists",
            Self::FolderHasChildren => "folder_has_children",
            Self::InboxStays => "inbox_stays",
            Self::TooManyFolders { .. } => "folder_limit_reached",
            Self::TooManyKeywords { .. } => "keyword_limit_reached",
            Self::RestoreUnderWay => "restore_under_way",
            Self::ChangesExpired => "changes_expired",
            Self::TooLarge { .. } => "message_too_large",
            Self::NotDeleted => "message_not_deleted",
            Self::RangeNotSatisfiable { .. } => "range_not_satisfiable",
            Self::InUse => "mailbox_in_use",
            Self::LeaseLost => "lease_lost",
            Self::Tenancy(cause) => cause.code(),
            Self::ReservationLost
            | Self::ShuttingDown
            | Self::Blob(_)
            | Self::Key(_)
            | Self::Unreadable(_)
            | Self::Db(_) => {
                if self.kind() == ErrorKind::Unavailable {
                    "unavailable"
                } else {
                    "internal"
                }
            }
        }
    }
}

impl From<tenancy::Error> for Error {
    fn from(error: tenancy::Error) -> Self {
        Self::Tenancy(Arc::new(error))
    }
}

impl From<blob::Error> for Error {
    fn from(error: blob::Error) -> Self {
        Self::Blob(Arc::new(error))
    }
}

impl From<pack::KeyError> for Error {
    fn from(error: pack::KeyError) -> Self {
        Self::Key(Arc::new(error))
    }
}

impl From<pack::OpenError> for Error {
    fn from(error: pack::OpenError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Db(Arc::new(error))
    }
}
