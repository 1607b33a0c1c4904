//! What a pack's footer says of an entry, so that the mail can be put back where it was without a database.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SubsecRound as _, Utc};
use kernel::{FolderId, MailboxId, MessageId};

/// How many messages one entry may be the body of.
pub const MAX_DELIVERIES: usize = 65_535;

/// What is known of a body when it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    sha256: [u8; 32],
    internal_date: DateTime<Utc>,
    deliveries: Vec<Delivery>,
}

impl About {
    /// The body's hash, when it was received (kept to the microsecond), and the messages that it is the body of: `None`
    /// unless there are 1 to [`MAX_DELIVERIES`].
    pub fn new(sha256: [u8; 32], internal_date: DateTime<Utc>, deliveries: Vec<Delivery>) -> Option<Self> {
        let internal_date = internal_date.trunc_subsecs(6);
        let fits = (1..=MAX_DELIVERIES).contains(&deliveries.len());
        fits.then_some(Self { sha256, internal_date, deliveries })
    }

    /// SHA-256 of the body as it was taken in.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// When it was received, as IMAP's INTERNALDATE has it.
    pub fn internal_date(&self) -> DateTime<Utc> {
        self.internal_date
    }

    /// The messages that it is the body of; there is one at least.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }
}

/// A message of a mailbox. It has no UID yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, for life.
    pub message: MessageId,
    /// POP3's name for it, for life.
    pub uidl: Uidl,
    /// The mailbox that it is for.
    pub mailbox: MailboxId,
    /// The folder; `None` is the Inbox.
    pub folder: Option<FolderId>,
}

/// POP3's name for a message (RFC 1939 §7): 1 to 70 characters from 0x21 to 0x7E.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uidl(String);

/// A text that is no UIDL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a unique id has 1 to 70 characters from 0x21 to 0x7E")]
pub struct UidlError;

impl Uidl {
    /// What a message gets that comes with no other: its id's digits.
    pub fn of(message: MessageId) -> Self {
        Self(message.uuid().simple().to_string())
    }

    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Uidl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Uidl {
    type Err = UidlError;

    fn from_str(text: &str) -> Result<Self, UidlError> {
        let fits = (1..=70).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(UidlError) }
    }
}
