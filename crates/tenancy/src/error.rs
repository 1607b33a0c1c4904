//! What the control plane refuses, told apart as callers act on it.

use kernel::{AddressError, ErrorKind, FieldError};

use crate::caps::Counted;

/// Why a call was refused. Its text may be shown to the caller; causes are for logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object, or the caller may not know that there is.
    #[error("no such object")]
    NotFound,
    /// The credential is missing, wrong, expired or revoked.
    #[error("a valid credential is needed")]
    Unauthenticated,
    /// The caller's role or key does not allow it.
    #[error("this credential does not allow {0}")]
    Forbidden(&'static str),
    /// The input breaks a rule; nothing was changed.
    #[error("{}", kernel::error::mistakes(.0))]
    Invalid(Vec<FieldError>),
    /// A cap is reached, at the level named (`tenant` or `reseller`).
    #[error("{}", exhausted(*.counted, .level, (*.limit, *.left), *.is_hidden))]
    Exhausted {
        /// What is capped.
        counted: Counted,
        /// Which level's cap is reached.
        level: &'static str,
        /// That cap.
        limit: i32,
        /// How many are left of it, which are fewer than were asked for.
        left: i32,
        /// Whether the level is above all that the caller sees, which then is not told its numbers.
        is_hidden: bool,
    },
    /// A part of the request cannot be, and so nothing was changed.
    #[error("{}: {cause}", kernel::error::place(.pointer))]
    At {
        /// Which part: a JSON pointer into the request.
        pointer: String,
        /// Why.
        cause: Box<Error>,
    },
    /// A pool of bytes above the mailbox has no room for it.
    #[error("the storage of the tenant or of a reseller above it has no room for this")]
    OverQuota,
    /// The object is not in the version that the caller changed.
    #[error("the object has changed since; its version is {version} now")]
    VersionMismatch {
        /// The version that it has.
        version: i64,
    },
    /// Too many sign-ins failed for this account from this network, from this network at all, or for this account from networks that are new
    /// to it, which queue.
    #[error("too many sign-ins failed; try again later")]
    Throttled {
        /// When it may be tried again.
        retry_after_secs: u32,
    },
    /// As many passwords wait to be hashed as may, at all, of this account or from this network. Nothing was checked or changed.
    #[error("too many passwords are being checked; try again")]
    Busy,
    /// The caller is above the tenant and has no support access to the mailbox that is in force.
    #[error("a support access to this mailbox has to be opened first")]
    SupportAccessRequired,
    /// The tenant's access to this is suspended.
    #[error("the tenant's {0} is suspended")]
    Suspended(&'static str),
    /// The object's present state does not allow it.
    #[error("{detail}")]
    Conflict {
        /// The stable code.
        code: &'static str,
        /// Why, for the caller.
        detail: &'static str,
    },
    /// Something outside does not answer: the domain name system.
    #[error("the domain name system does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed.
    #[error("the database failed")]
    Db(#[from] db::Error),
    /// A fault of ours elsewhere.
    #[error("an internal fault")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The object's present state does not allow it.
    pub(crate) fn conflict(code: &'static str, detail: &'static str) -> Self {
        Self::Conflict { code, detail }
    }

    /// The object's present state does not allow what the request says at `pointer`.
    pub(crate) fn conflict_at(pointer: &str, code: &'static str, detail: &'static str) -> Self {
        Self::At { pointer: pointer.to_owned(), cause: Box::new(Self::conflict(code, detail)) }
    }

    /// One mistake in the input.
    pub fn invalid(pointer: &str, detail: impl std::fmt::Display) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, detail)])
    }

    /// A malformed address at `pointer`.
    pub(crate) fn address(pointer: &str, cause: AddressError) -> Self {
        Self::invalid(pointer, cause)
    }

    pub(crate) fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(cause))
    }

    /// How an edge is to understand it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::Forbidden(_) | Self::SupportAccessRequired | Self::Suspended(_) => ErrorKind::Forbidden,
            Self::Throttled { .. } | Self::OverQuota => ErrorKind::LimitExceeded,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Exhausted { .. } | Self::VersionMismatch { .. } | Self::Conflict { .. } => {
                ErrorKind::Conflict
            }
            Self::At { cause, .. } => cause.kind(),
            Self::Busy | Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Db(cause) => cause.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Whether a login failed for what the client sent, so that it is to be answered alike whatever it was.
    pub fn refuses_login(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Invalid
        )
    }

    /// The stable code, as the API documents it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden(_) => "forbidden",
            Self::Invalid(_) => "invalid_request",
            Self::Exhausted { counted, .. } => counted.code(),
            Self::At { cause, .. } => cause.code(),
            Self::OverQuota => "quota_exceeded",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::Throttled { .. } => "too_many_sign_ins",
            Self::SupportAccessRequired => "support_access_required",
            Self::Suspended(_) => "suspended",
            Self::Conflict { code, .. } => code,
            Self::Busy | Self::Unavailable(_) => "unavailable",
            Self::Db(cause) if cause.kind() == ErrorKind::Unavailable => "unavailable",
            Self::Db(_) | Self::Internal(_) => "internal",
        }
    }
}

fn exhausted(counted: Counted, level: &str, (limit, left): (i32, i32), is_hidden: bool) -> String {
    let what = counted.as_str();
    match left {
        _ if is_hidden => format!("the hosting provider has too few {what} left"),
        ..=0 => format!("all {limit} {what} of the {level} are taken"),
        _ => format!("only {left} of the {limit} {what} of the {level} are left"),
    }
}
