//! APPEND (RFC 9051 §6.3.12).

use bytes::Bytes;
use chrono::{DateTime, FixedOffset};

use super::FlagName;

/// A message to be put into a folder.
#[derive(Debug, Clone)]
pub struct Append {
    /// Its flags.
    pub flags: Vec<FlagName>,
    /// When it was received.
    pub date: Option<DateTime<FixedOffset>>,
    /// How it was sent.
    pub form: AppendForm,
    /// Its bytes.
    pub bytes: Bytes,
}

/// How a message to be put into a folder was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendForm {
    /// As a literal.
    Plain,
    /// As a literal8: its parts may be binary, and have NULs in them (RFC 3516 §4.4, RFC 9051 §6.3.12).
    Binary,
    /// As `UTF8 (…)`: there may be UTF-8 in its header (RFC 6855 §4). RFC 9755 §4 has UTF-8 in the others, and no such form any more.
    Utf8,
}
