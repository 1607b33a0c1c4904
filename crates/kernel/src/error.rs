//! The closed set of ways in which a call can fail, as every edge understands them.

/// What kind of failure an error is. Each edge maps a kind to its own wire form in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is malformed or breaks a rule; sending it again unchanged cannot work.
    Invalid,
    /// Nobody has been proven to be calling.
    Unauthenticated,
    /// The caller is known and may see the object, but may not do this to it.
    Forbidden,
    /// The object does not exist, or the caller may not know that it does.
    NotFound,
    /// The object's present state does not allow it.
    Conflict,
    /// A quota, cap or rate is used up.
    LimitExceeded,
    /// It may work later without any change of the request.
    Unavailable,
    /// A fault of ours: logged with its cause, shown as a request id.
    Internal,
}

/// One mistake in a caller's input, with the place where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body, such as `/seats/limit`.
    pub pointer: String,
    /// What is wrong there, as the caller may read it.
    pub detail: String,
}

impl FieldError {
    /// A mistake at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self { pointer: pointer.into(), detail: detail.to_string() }
    }
}
