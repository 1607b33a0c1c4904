//! LIST and STATUS (RFC 9051 §6.3.9 and §6.3.11).

/// LIST, extended or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Whether it is the extended form: options before or behind, or several patterns.
    pub is_extended: bool,
    /// Before the patterns.
    pub select: ListSelect,
    /// What the patterns are relative to.
    pub reference: String,
    /// One at least, with `*` and `%`, out of modified UTF-7 or UTF-8.
    pub patterns: Vec<String>,
    /// After the patterns.
    pub give: ListGive,
}

/// Which folders LIST is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSelect {
    /// Only those that are subscribed to, also where they are no more.
    pub subscribed: bool,
    /// Only those with a use.
    pub special_use: bool,
    /// Also of other servers: there are none.
    pub remote: bool,
    /// Also those that have one below that is asked for.
    pub recursive_match: bool,
}

/// What LIST says of each folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListGive {
    /// Whether it is subscribed to.
    pub subscribed: bool,
    /// Whether it has some below.
    pub children: bool,
    /// What it is used for.
    pub special_use: bool,
    /// What STATUS would say (RFC 5819).
    pub status: Option<Vec<StatusItem>>,
}

/// What STATUS tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    /// How many messages.
    Messages,
    /// How many nobody has been told of (RFC 3501).
    Recent,
    /// The UID that comes next.
    UidNext,
    /// The validity of UIDs.
    UidValidity,
    /// How many are not seen.
    Unseen,
    /// How many are marked as deleted.
    Deleted,
    /// The size of those (RFC 9208 §4.1.4).
    DeletedStorage,
    /// The size of all (RFC 8438).
    Size,
    /// RFC 7162.
    HighestModSeq,
    /// RFC 7889.
    AppendLimit,
    /// RFC 8474.
    MailboxId,
}
