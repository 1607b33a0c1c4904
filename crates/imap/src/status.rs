//! How a command ended, and the one renderer of domain errors: what went wrong below, as a client may read it.

use bytes::BytesMut;
use kernel::{ErrorKind, RequestId};
use mailstore::Error;

use crate::codec::write;

/// How a command ended (RFC 9051 §7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    kind: Kind,
    code: Option<String>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ok,
    No,
    Bad,
}

impl Status {
    pub(crate) fn ok(text: impl Into<String>) -> Self {
        Self { kind: Kind::Ok, code: None, text: text.into() }
    }

    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self { kind: Kind::No, code: None, text: text.into() }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { kind: Kind::Bad, code: None, text: text.into() }
    }

    /// The same, with a response code (RFC 5530, RFC 9051 §7.1).
    pub(crate) fn with(self, code: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// Whether the command was none.
    pub(crate) fn is_bad(&self) -> bool {
        self.kind == Kind::Bad
    }

    /// As metrics name it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self.kind {
            Kind::Ok => "OK",
            Kind::No => "NO",
            Kind::Bad => "BAD",
        }
    }

    pub(crate) fn write(&self, tag: &str, out: &mut BytesMut) {
        out.extend_from_slice(tag.as_bytes());
        out.extend_from_slice(b" ");
        out.extend_from_slice(self.as_str().as_bytes());
        out.extend_from_slice(b" ");
        if let Some(code) = &self.code {
            out.extend_from_slice(b"[");
            out.extend_from_slice(code.as_bytes());
            out.extend_from_slice(b"] ");
        }
        write::text(out, &self.text);
        out.extend_from_slice(b"\r\n");
    }
}

/// A password was about to cross the network in the clear.
pub(crate) fn encryption_needed() -> Status {
    Status::no("logging in needs an encrypted connection: use STARTTLS, or the TLS port")
        .with("PRIVACYREQUIRED")
}

/// Something that is another's was to be changed by who may not.
pub(crate) fn not_permitted() -> Status {
    Status::no("the mailboxes of others can be changed only with full access to them").with("NOPERM")
}

/// A login that could not be checked, or comes too early after others that failed.
pub(crate) fn login_failed(error: &tenancy::Error, request_id: RequestId) -> Status {
    match error {
        tenancy::Error::Throttled { .. } => {
            Status::no("too many failed logins, try again later").with("UNAVAILABLE")
        }
        tenancy::Error::Busy => Status::no("too many log in at once, try again").with("UNAVAILABLE"),
        error => broken(error, error.kind(), request_id),
    }
}

/// What the mail store refused.
pub(crate) fn failed(error: &Error, request_id: RequestId) -> Status {
    let code = match error {
        Error::OverQuota => "OVERQUOTA",
        Error::TooLarge { .. } => "TOOBIG",
        Error::FolderExists => "ALREADYEXISTS",
        Error::FolderHasChildren => "HASCHILDREN",
        Error::InboxStays => "CANNOT",
        Error::TooManyFolders { .. } | Error::TooManyKeywords { .. } => "LIMIT",
        Error::InUse | Error::RestoreUnderWay => "INUSE",
        error => match error.kind() {
            ErrorKind::Forbidden | ErrorKind::Unauthenticated => "NOPERM",
            ErrorKind::Invalid => "CANNOT",
            ErrorKind::NotFound => "NONEXISTENT",
            kind => return broken(error, kind, request_id),
        },
    };
    Status::no(error.to_string()).with(code)
}

fn broken(error: &(dyn std::error::Error + 'static), kind: ErrorKind, request_id: RequestId) -> Status {
    if kind == ErrorKind::Unavailable {
        tracing::warn!(error = kernel::error::chain(error), "imap command failed");
        return Status::no("the mail store does not answer, try again later").with("UNAVAILABLE");
    }
    tracing::error!(error = kernel::error::chain(error), "imap command failed");
    Status::no(format!("internal error, see request {request_id}")).with("SERVERBUG")
}
