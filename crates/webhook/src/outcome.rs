//! What became of one attempt.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::UrlError;
use crate::schedule::MAX_RETRY_AFTER;

/// One attempt, as it is recorded for the endpoint's owner.
#[derive(Debug)]
pub struct Outcome {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The beginning of the answer's body. Fit for a column of Postgres: bytes that are not UTF-8, and NUL, are replaced.
    pub excerpt: String,
    /// From the looking up of the name to the end of the answer.
    pub duration: Duration,
    /// How long the endpoint asks to be left alone, at most [`MAX_RETRY_AFTER`]; only of an answer outside 2xx.
    pub retry_after: Option<TimeDelta>,
    /// Why there is no answer; `None` if there is one, whatever it says.
    pub error: Option<SendError>,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// 2xx: done.
    Delivered,
    /// 410: the endpoint wants no more messages, of any kind. It is to be disabled.
    Gone,
    /// Anything else, redirects among it: to be tried again.
    Failed,
}

/// Why an attempt got no answer, in words for the endpoint's owner.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The URL is not one that may be sent to, or no longer.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// No secret was given: an unsigned message is never sent.
    #[error("the endpoint has no signing secret")]
    Unsigned,
    /// The id or the path cannot stand in a request.
    #[error("the request cannot be made: {0}")]
    Request(#[from] hyper::http::Error),
    /// The name could not be looked up, or does not exist.
    #[error("the host name could not be resolved")]
    Resolve(#[source] io::Error),
    /// The name exists and has no address.
    #[error("the host name has no address")]
    NoAddress,
    /// The name leads to an address that may not be reached. The address is for the operator: to the endpoint's owner
    /// it would tell what our resolver knows of our network.
    #[error("the host name leads to an address that may not be reached")]
    Refused(IpAddr),
    /// No connection.
    #[error("no connection could be made: {}", .0.kind())]
    Connect(#[source] io::Error),
    /// No TLS, most often because of the certificate.
    #[error("the tls handshake failed: {0}")]
    Tls(#[source] tokio_rustls::rustls::Error),
    /// The time allowed for the whole attempt was over.
    #[error("no answer came in the time allowed")]
    Timeout,
    /// The connection broke, or what came was not HTTP.
    #[error("no valid http answer came: {0}")]
    Http(#[source] hyper::Error),
}

impl SendError {
    /// A stable word for the kind of error, for metrics and for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Unsigned => "unsigned",
            Self::Request(_) => "request",
            Self::Resolve(_) | Self::NoAddress => "dns",
            Self::Refused(_) => "refused",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Http(_) => "http",
        }
    }
}

impl Outcome {
    /// What is to be done now.
    pub fn verdict(&self) -> Verdict {
        match self.status {
            Some(200..=299) => Verdict::Delivered,
            Some(410) => Verdict::Gone,
            _ => Verdict::Failed,
        }
    }
}

/// Reads `Retry-After` (RFC 9110 §10.2.3): a number of seconds, or a date.
pub(crate) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
    let value = value.trim();
    let asked = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // A number too great to be read is no less a wish to wait.
        value.parse().ok().and_then(TimeDelta::try_seconds).unwrap_or(MAX_RETRY_AFTER)
    } else {
        DateTime::<Utc>::from(httpdate::parse_http_date(value).ok()?) - now
    };
    Some(asked.clamp(TimeDelta::zero(), MAX_RETRY_AFTER))
}

/// The beginning of a body as text. NUL is valid UTF-8, but no text to Postgres.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        "1994-11-06T08:49:00Z".parse().unwrap()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (value, expected) in [
            ("0", Some(TimeDelta::zero())),
            ("120", Some(TimeDelta::minutes(2))),
            (" 120 ", Some(TimeDelta::minutes(2))),
            ("86401", Some(MAX_RETRY_AFTER)),
            ("99999999999999999999", Some(MAX_RETRY_AFTER)),
            ("9223372036854775807", Some(MAX_RETRY_AFTER)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(TimeDelta::seconds(37))),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(TimeDelta::seconds(37))),
            ("Sun Nov  6 08:49:37 1994", Some(TimeDelta::seconds(37))),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(TimeDelta::zero())),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(MAX_RETRY_AFTER)),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now()), expected, "{value}");
        }
    }

    #[test]
    fn only_2xx_is_delivered() {
        let verdict = |status| {
            let duration = Duration::ZERO;
            Outcome { status, excerpt: String::new(), duration, retry_after: None, error: None }.verdict()
        };
        for status in [200, 202, 204, 299] {
            assert_eq!(verdict(Some(status)), Verdict::Delivered);
        }
        assert_eq!(verdict(Some(410)), Verdict::Gone);
        for status in [101, 199, 300, 301, 308, 400, 404, 429, 500, 503, 999] {
            assert_eq!(verdict(Some(status)), Verdict::Failed);
        }
        assert_eq!(verdict(None), Verdict::Failed);
    }

    #[test]
    fn an_excerpt_is_text_for_postgres() {
        assert_eq!(excerpt(b"fine"), "fine");
        assert_eq!(excerpt(b"a\0b\xffc"), "a\u{fffd}b\u{fffd}c");
    }

    proptest! {
        #[test]
        fn any_retry_after_is_bounded(value in "\\PC{0,40}|[0-9]{0,30}") {
            if let Some(asked) = retry_after(&value, now()) {
                prop_assert!(asked >= TimeDelta::zero() && asked <= MAX_RETRY_AFTER);
            }
        }
    }
}
