//! What billing refuses, told apart as callers act on it.

use std::fmt::Display;

use kernel::{ErrorKind, FieldError};

use crate::rating::{RatingError, TreatmentError};

/// Why a call was refused. Its text may be shown to the caller; causes are for logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object, or the caller may not know that there is.
    #[error("no such object")]
    NotFound,
    /// The input breaks a rule; nothing was changed.
    #[error("{}", kernel::error::mistakes(.0))]
    Invalid(Vec<FieldError>),
    /// The object's present state does not allow it.
    #[error("{detail}")]
    Conflict {
        /// The stable code.
        code: &'static str,
        /// Why, for the caller.
        detail: &'static str,
    },
    /// The control plane refused.
    #[error(transparent)]
    Tenancy(#[from] tenancy::Error),
    /// An account cannot be rated.
    #[error(transparent)]
    Rating(#[from] RatingError),
    /// It cannot be said how an account is taxed.
    #[error(transparent)]
    Untaxable(#[from] TreatmentError),
    /// What the database holds cannot be understood.
    #[error("a stored {0} cannot be read")]
    Stored(&'static str),
    /// The database failed.
    #[error("the database failed")]
    Db(#[from] db::Error),
}

impl Error {
    /// One mistake in the input.
    pub(crate) fn invalid(pointer: &str, detail: impl Display) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, detail)])
    }

    /// How an edge is to understand it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Tenancy(cause) => cause.kind(),
            Self::Rating(_) | Self::Untaxable(_) | Self::Stored(_) => ErrorKind::Internal,
            Self::Db(cause) => cause.kind(),
        }
    }

    /// The stable code, as the API documents it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Invalid(_) => "invalid_request",
            Self::Conflict { code, .. } => code,
            Self::Tenancy(cause) => cause.code(),
            Self::Db(cause) if cause.kind() == ErrorKind::Unavailable => "unavailable",
            Self::Rating(_) | Self::Untaxable(_) | Self::Stored(_) | Self::Db(_) => "internal",
        }
    }

    /// The mistakes in the input, where that is what was wrong.
    pub fn field_errors(&self) -> &[FieldError] {
        match self {
            Self::Invalid(errors) | Self::Tenancy(tenancy::Error::Invalid(errors)) => errors,
            _ => &[],
        }
    }

    /// What the database said, if it is to blame.
    pub(crate) fn database(&self) -> Option<&db::Error> {
        match self {
            Self::Db(cause) | Self::Tenancy(tenancy::Error::Db(cause)) => Some(cause),
            _ => None,
        }
    }

    /// The database's constraint that was violated, if that is what happened.
    pub(crate) fn constraint(&self) -> Option<&str> {
        self.database().and_then(db::Error::constraint)
    }
}

/// A calendar day of the form 2026-01-31 in the years that can be billed.
pub fn date(text: &str) -> Option<chrono::NaiveDate> {
    use chrono::Datelike;
    let date = text.parse::<chrono::NaiveDate>().ok()?;
    // The parser takes more forms than ours.
    (date.to_string() == text && (2000..=2200).contains(&date.year())).then_some(date)
}

/// What is wrong with a text that [`date`] refuses.
pub const NOT_A_DATE: &str = "must be a day that exists, of the form 2026-01-31, in the years 2000 to 2200";
