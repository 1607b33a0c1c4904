//! What can go wrong between us and the place that keeps the objects.

use kernel::ErrorKind;

/// What happened underneath, for logs: never shown to a caller of ours.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct Cause {
    doing: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Cause {
    /// What was being done, and what came of it. Public for stores made outside this crate.
    pub fn new(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { doing: doing.into(), source: source.into() }
    }
}

/// A failed operation on a [`crate::BlobStore`].
///
/// The texts are fit for anyone to read; what happened is in [`std::error::Error::source`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no object under the key.
    #[error("no such object")]
    NotFound,
    /// The range starts at or past the object's end.
    #[error("the range starts past the end of the object")]
    RangeNotSatisfiable,
    /// The store does not answer, is overloaded or is full, our credentials have expired or our clock is off. The same call may work later.
    #[error("the blob store is unavailable")]
    Unavailable(#[source] Cause),
    /// The store is there and turns us away: wrong credentials or region, no such bucket, a folder that cannot be written.
    /// It stays so until an operator changes something.
    #[error("the blob store is misconfigured")]
    Misconfigured(#[source] Cause),
    /// Anything else: a fault of ours or of the store's.
    #[error("the blob store failed")]
    Internal(#[source] Cause),
}

impl Error {
    /// The kind that edges map to their wire forms.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::RangeNotSatisfiable => ErrorKind::Invalid,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Misconfigured(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
