//! The one renderer of domain errors: what went wrong below, as a client may read it.

use std::error::Error;

use kernel::{ErrorKind, RequestId};
use mailstore::maildrop;

use crate::codec::response::{Code, Status};

/// A password was about to cross the network in the clear. RFC 3206 §5 counts an attempt against policy among the
/// problems with the credentials, and so do the clients.
pub(crate) fn encryption_needed() -> Status {
    Status::coded(Code::Auth, "logging in needs an encrypted connection: use STLS, or the TLS port")
}

/// A login that comes too early after others that failed. The credentials may be right, so the client is not to ask for others (RFC 3206 §5). It is
/// no LOGIN-DELAY, by which a server that tells of it in CAPA bounds how often a maildrop is looked at (RFC 2449 §6.5).
pub(crate) fn login_throttled() -> Status {
    Status::coded(Code::SysTemp, "too many failed logins, try again later")
}

/// A login that could not be checked.
pub(crate) fn login_failed(error: &tenancy::Error, request_id: RequestId) -> Status {
    match error {
        tenancy::Error::Busy => Status::coded(Code::SysTemp, "too many log in at once, try again"),
        error => failed(error, error.kind(), request_id),
    }
}

/// A maildrop that could not be opened, or a message that could not be read.
pub(crate) fn maildrop_failed(error: &maildrop::Error, request_id: RequestId) -> Status {
    match error {
        maildrop::Error::InUse => {
            Status::coded(Code::InUse, "another session has this maildrop, try again later")
        }
        maildrop::Error::NotFound => Status::err("no longer there: it was deleted by other means"),
        error => failed(error, error.kind(), request_id),
    }
}

fn failed(error: &(dyn Error + 'static), kind: ErrorKind, request_id: RequestId) -> Status {
    if kind == ErrorKind::Unavailable {
        tracing::warn!(error = kernel::error::chain(error), "pop3 command failed");
        return Status::coded(Code::SysTemp, "the mail store does not answer, try again later");
    }
    tracing::error!(error = kernel::error::chain(error), "pop3 command failed");
    Status::coded(Code::SysPerm, format_args!("internal error, see request {request_id}"))
}
