//! What submission refuses, told apart as callers act on it.

use kernel::ErrorKind;

use crate::header::Malformed;

/// Why a call failed. Its text may be shown to the caller; causes are for logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such message, or the caller may not know that there is.
    #[error("no such object")]
    NotFound,
    /// The caller may not send from an address.
    #[error("{0} is not yours to send from")]
    NotYours(String),
    /// The header cannot be mended.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The mailbox is so full that nothing may be sent from it.
    #[error("the mailbox is too full to send from it")]
    MailboxFull,
    /// As much of the mailbox's waits to be sent as may.
    #[error("too much waits to be sent from the mailbox already")]
    TooMuchQueued,
    /// What is asked for does not go with what has become of the message.
    #[error("the message is {0}")]
    State(&'static str),
    /// The message is being sent at this moment.
    #[error("the message is being sent at this moment")]
    UnderWay,
    /// The message was let go of and can be sent no more.
    #[error("the message is not kept any more")]
    BodyGone,
    /// The mail store or the control plane refused, or failed.
    #[error(transparent)]
    Mail(mailstore::Error),
}

impl Error {
    /// How an edge is to understand it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::NotYours(_) => ErrorKind::Forbidden,
            Self::Malformed(_) => ErrorKind::Invalid,
            Self::MailboxFull | Self::TooMuchQueued => ErrorKind::LimitExceeded,
            Self::State(_) | Self::UnderWay | Self::BodyGone => ErrorKind::Conflict,
            Self::Mail(error) => error.kind(),
        }
    }

    /// The stable code, as the API documents it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotYours(_) => "sender_not_allowed",
            Self::Malformed(_) => "message_malformed",
            Self::MailboxFull => "quota_exceeded",
            Self::TooMuchQueued => "outgoing_limit_reached",
            Self::State(_) => "outgoing_state",
            Self::UnderWay => "outgoing_under_way",
            Self::BodyGone => "outgoing_body_gone",
            Self::Mail(error) => error.code(),
        }
    }

    /// Whether it is sure that nothing was committed.
    pub(crate) fn is_in_vain(&self) -> bool {
        let Self::Mail(mailstore::Error::Db(cause)) = self else { return true };
        !matches!(**cause, db::Error::Unresolved(_))
    }
}

impl From<mailstore::Error> for Error {
    fn from(error: mailstore::Error) -> Self {
        Self::Mail(error)
    }
}

impl From<tenancy::Error> for Error {
    fn from(error: tenancy::Error) -> Self {
        Self::Mail(error.into())
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Mail(error.into())
    }
}
