//! What submission refuses, told apart as callers act on it.

use kernel::ErrorKind;

use crate::header::Malformed;
use crate::limit::LimitLevel;

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
    /// More recipients than may be written to at this time.
    #[error("the {} may write to {limit} recipients in any {period}, and these would be more", level.as_str())]
    SendingLimit {
        /// Whose bound it is.
        level: LimitLevel,
        /// The bound.
        limit: i32,
        /// `hour` or `day`.
        period: &'static str,
        /// Whether so many may be written to at another time.
        is_ever: bool,
    },
    /// What is asked for does not go with what has become of the message.
    #[error("the message is {0}")]
    State(&'static str),
    /// The message is being sent at this moment.
    #[error("the message is being sent at this moment")]
    UnderWay,
    /// The message was let go of and can be sent no more.
    #[error("the message is not kept any more")]
    BodyGone,
    /// A new pair of keys of the domain waits for its records already.
    #[error("a pair of keys of the domain waits for its records already")]
    KeyPending,
    /// What is asked for does not go with what is done with the pair of keys.
    #[error("the pair of keys is {0}")]
    KeyState(&'static str),
    /// A pair's record is not there, or not as it should be.
    #[error(
        "the TXT record at {0} is not there yet, or says something else; resolvers may keep its absence for a while"
    )]
    KeyNotPublished(String),
    /// The domain name system does not answer.
    #[error("the domain name system does not answer")]
    DnsUnavailable,
    /// Keys cannot be made or used.
    #[error("the domain's keys cannot be used")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
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
            Self::MailboxFull | Self::TooMuchQueued | Self::SendingLimit { .. } => ErrorKind::LimitExceeded,
            Self::State(_)
            | Self::UnderWay
            | Self::BodyGone
            | Self::KeyPending
            | Self::KeyState(_)
            | Self::KeyNotPublished(_) => ErrorKind::Conflict,
            Self::DnsUnavailable => ErrorKind::Unavailable,
            Self::Keys(_) => ErrorKind::Internal,
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
            Self::SendingLimit { .. } => "sending_limit_reached",
            Self::State(_) => "outgoing_state",
            Self::UnderWay => "outgoing_under_way",
            Self::BodyGone => "outgoing_body_gone",
            Self::KeyPending => "dkim_key_pending",
            Self::KeyState(_) => "dkim_key_state",
            Self::KeyNotPublished(_) => "dkim_key_not_published",
            Self::DnsUnavailable => "unavailable",
            Self::Keys(_) => "internal",
            Self::Mail(error) => error.code(),
        }
    }

    /// Whether it is sure that nothing was committed.
    pub(crate) fn is_in_vain(&self) -> bool {
        let Self::Mail(mailstore::Error::Db(cause)) = self else { return true };
        !matches!(**cause, db::Error::Unresolved(_))
    }
}

impl Error {
    pub(crate) fn keys(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Keys(cause.into())
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
