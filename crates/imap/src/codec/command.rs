//! Commands as values, as clients may send them (RFC 3501, RFC 9051 and the extensions that `capability` names).

use std::num::NonZeroU32;

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, NaiveDate};
use secrecy::SecretString;

use super::set::SequenceSet;

/// A command with the tag that its answer bears.
#[derive(Debug)]
pub struct Tagged {
    /// 1 to 64 characters of RFC 9051's `tag`.
    pub tag: String,
    /// What is asked for.
    pub command: Command,
}

/// What is asked for.
#[derive(Debug)]
pub enum Command {
    /// RFC 9051 §6.1.1.
    Capability,
    /// RFC 9051 §6.1.2.
    Noop,
    /// RFC 9051 §6.1.3.
    Logout,
    /// RFC 2971; what the client says of itself is not kept.
    Id,
    /// RFC 9051 §6.2.1.
    StartTls,
    /// RFC 9051 §6.2.2, with the initial response of RFC 4959 as it came: base64, or `=`.
    Authenticate {
        /// In upper case.
        mechanism: String,
        /// The initial response, if there is one.
        initial: Option<SecretString>,
    },
    /// RFC 9051 §6.2.3.
    Login {
        /// The user's name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// RFC 9051 §6.3.1: names of capabilities, in upper case.
    Enable(Vec<String>),
    /// RFC 9051 §6.3.2 and §6.3.3.
    Select {
        /// The folder.
        mailbox: MailboxName,
        /// Whether it is EXAMINE.
        is_read_only: bool,
        /// RFC 7162.
        parameters: SelectParameters,
    },
    /// RFC 9051 §6.3.4, with the uses of RFC 6154 (such as `\Sent`, as they were written).
    Create {
        /// The folder.
        mailbox: MailboxName,
        /// What it is to be used for.
        uses: Vec<String>,
    },
    /// RFC 9051 §6.3.5.
    Delete(MailboxName),
    /// RFC 9051 §6.3.6.
    Rename {
        /// The folder.
        from: MailboxName,
        /// Its name from now on.
        to: MailboxName,
    },
    /// RFC 9051 §6.3.7 and §6.3.8.
    Subscribe {
        /// The folder.
        mailbox: MailboxName,
        /// False for UNSUBSCRIBE.
        is_subscribed: bool,
    },
    /// RFC 9051 §6.3.9, RFC 5258, RFC 5819.
    List(List),
    /// RFC 3501 §6.3.9.
    Lsub {
        /// What the pattern is relative to.
        reference: String,
        /// The pattern, with `*` and `%`.
        pattern: String,
    },
    /// RFC 9051 §6.3.10.
    Namespace,
    /// RFC 9051 §6.3.11.
    Status {
        /// The folder.
        mailbox: MailboxName,
        /// What is asked of it.
        items: Vec<StatusItem>,
    },
    /// RFC 9051 §6.3.12, RFC 3502.
    Append {
        /// The folder.
        mailbox: MailboxName,
        /// One message at least.
        messages: Vec<Append>,
    },
    /// RFC 9051 §6.3.13.
    Idle,
    /// RFC 3501 §6.4.1.
    Check,
    /// RFC 9051 §6.4.1.
    Close,
    /// RFC 9051 §6.4.2.
    Unselect,
    /// RFC 9051 §6.4.3; with UIDs, §6.4.9.
    Expunge(Option<SequenceSet>),
    /// RFC 9051 §6.4.4.
    Search(Search),
    /// RFC 9051 §6.4.5.
    Fetch(Fetch),
    /// RFC 9051 §6.4.6.
    Store(Store),
    /// RFC 9051 §6.4.7 and §6.4.8.
    Copy {
        /// Whether the set is of UIDs.
        by_uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// Where to.
        mailbox: MailboxName,
        /// Whether it is MOVE.
        is_move: bool,
    },
    /// RFC 9208: a quota root.
    GetQuota(String),
    /// RFC 9208.
    GetQuotaRoot(MailboxName),
}

impl Command {
    /// As metrics name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::Id => "ID",
            Self::StartTls => "STARTTLS",
            Self::Authenticate { .. } => "AUTHENTICATE",
            Self::Login { .. } => "LOGIN",
            Self::Enable(_) => "ENABLE",
            Self::Select { is_read_only: false, .. } => "SELECT",
            Self::Select { is_read_only: true, .. } => "EXAMINE",
            Self::Create { .. } => "CREATE",
            Self::Delete(_) => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe { is_subscribed: true, .. } => "SUBSCRIBE",
            Self::Subscribe { is_subscribed: false, .. } => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub { .. } => "LSUB",
            Self::Namespace => "NAMESPACE",
            Self::Status { .. } => "STATUS",
            Self::Append { .. } => "APPEND",
            Self::Idle => "IDLE",
            Self::Check => "CHECK",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge(_) => "EXPUNGE",
            Self::Search(_) => "SEARCH",
            Self::Fetch(_) => "FETCH",
            Self::Store(_) => "STORE",
            Self::Copy { is_move: false, .. } => "COPY",
            Self::Copy { is_move: true, .. } => "MOVE",
            Self::GetQuota(_) => "GETQUOTA",
            Self::GetQuotaRoot(_) => "GETQUOTAROOT",
        }
    }
}

/// A folder's name as people write it: out of modified UTF-7 (RFC 3501 §5.1.3) or UTF-8, `INBOX` in upper case however it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxName(pub String);

/// The parameters of SELECT and EXAMINE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectParameters {
    /// RFC 7162 §3.1.8.
    pub condstore: bool,
    /// RFC 7162 §3.2.5.
    pub qresync: Option<Resync>,
}

/// What a client knows of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// The UIDVALIDITY that it knows.
    pub uid_validity: NonZeroU32,
    /// The modification sequence that it has come to.
    pub modseq: u64,
    /// The UIDs that it knows; `None`: all.
    pub known_uids: Option<SequenceSet>,
    /// Message numbers and UIDs that it takes to be each other's.
    pub known_pairs: Option<(SequenceSet, SequenceSet)>,
}

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

/// A message to be put into a folder.
#[derive(Debug, Clone)]
pub struct Append {
    /// Its flags.
    pub flags: Vec<FlagName>,
    /// When it was received.
    pub date: Option<DateTime<FixedOffset>>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A flag as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagName {
    /// One with a backslash, in upper case without it, such as `SEEN`.
    System(String),
    /// A keyword, as it was written.
    Keyword(String),
}

/// SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Whether UIDs are wanted.
    pub by_uid: bool,
    /// RFC 4731; `None` for the SEARCH of RFC 3501. Empty stands for ALL, and is read as such.
    pub give: Option<SearchGive>,
    /// In upper case.
    pub charset: Option<String>,
    /// What is searched for.
    pub key: SearchKey,
}

/// What an ESEARCH answer tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchGive {
    /// The lowest.
    pub min: bool,
    /// The highest.
    pub max: bool,
    /// All.
    pub all: bool,
    /// How many.
    pub count: bool,
    /// Kept for `$` (RFC 5182).
    pub save: bool,
}

/// A text that is searched for, as it came.
pub type Text = Bytes;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// All of them; of none: every message.
    And(Vec<SearchKey>),
    /// One of both.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Not it.
    Not(Box<SearchKey>),
    /// Every message.
    All,
    /// By message number.
    Set(SequenceSet),
    /// By UID.
    Uid(SequenceSet),
    /// With a flag; `ANSWERED`, `DELETED`, `DRAFT`, `FLAGGED`, `SEEN` and, with `NOT` about it, `UN…`, as [`FlagName::System`].
    Flag(FlagName),
    /// `RECENT`; `NEW` is read as `RECENT UNSEEN`, `OLD` as `NOT RECENT`.
    Recent,
    /// `BEFORE`.
    Before(NaiveDate),
    /// `ON`.
    On(NaiveDate),
    /// `SINCE`.
    Since(NaiveDate),
    /// `SENTBEFORE`.
    SentBefore(NaiveDate),
    /// `SENTON`.
    SentOn(NaiveDate),
    /// `SENTSINCE`.
    SentSince(NaiveDate),
    /// A text in a header field. `BCC`, `CC`, `FROM`, `SUBJECT` and `TO` are read as this.
    Header(String, Text),
    /// In the body.
    Body(Text),
    /// Anywhere.
    Text(Text),
    /// More bytes than this.
    Larger(u64),
    /// Fewer.
    Smaller(u64),
    /// Received at least so many seconds ago (RFC 5032).
    Older(u64),
    /// Received at most so many seconds ago (RFC 5032).
    Younger(u64),
    /// RFC 7162.
    ModSeq(u64),
    /// RFC 8474.
    EmailId(String),
    /// RFC 8474; there are no threads here, and no message is in one.
    ThreadId(String),
}

/// FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Whether the set is of UIDs.
    pub by_uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What of them; `ALL`, `FAST` and `FULL` are read as what they stand for.
    pub items: Vec<FetchItem>,
    /// Only those changed since (RFC 7162).
    pub changed_since: Option<u64>,
    /// And which are gone (RFC 7162 §3.2.6).
    pub vanished: bool,
}

/// What FETCH tells of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// `UID`.
    Uid,
    /// `FLAGS`.
    Flags,
    /// `INTERNALDATE`.
    InternalDate,
    /// `RFC822.SIZE`.
    Size,
    /// `ENVELOPE`.
    Envelope,
    /// `BODY` without a section.
    Body,
    /// `BODYSTRUCTURE`.
    BodyStructure,
    /// `MODSEQ` (RFC 7162).
    ModSeq,
    /// `EMAILID` (RFC 8474).
    EmailId,
    /// `THREADID` (RFC 8474).
    ThreadId,
    /// `BODY[…]`, `BODY.PEEK[…]`.
    Section {
        /// Whether reading marks as seen.
        is_peek: bool,
        /// Which section.
        section: Section,
        /// Where it begins and how many bytes there are of it.
        partial: Option<(u64, u64)>,
    },
    /// `RFC822`, `RFC822.HEADER`, `RFC822.TEXT`: named differently, and else `BODY[]`, `BODY.PEEK[HEADER]`, `BODY[TEXT]`.
    Rfc822(Rfc822),
}

/// The old names of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rfc822 {
    /// `RFC822`.
    All,
    /// `RFC822.HEADER`.
    Header,
    /// `RFC822.TEXT`.
    Text,
}

/// A section of a message (RFC 9051 §6.4.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The numbers that lead to a part; none for the message itself.
    pub part: Vec<NonZeroU32>,
    /// What of it.
    pub what: SectionText,
}

/// What of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// All of it.
    All,
    /// `HEADER`.
    Header,
    /// `HEADER.FIELDS`: names as they were written.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT`.
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`.
    Text,
    /// `MIME`; only of a part.
    Mime,
}

/// STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Whether the set is of UIDs.
    pub by_uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// Only those not changed since (RFC 7162).
    pub unchanged_since: Option<u64>,
    /// What is done with the flags.
    pub how: StoreHow,
    /// Whether the new flags are not to be told.
    pub is_silent: bool,
    /// The flags.
    pub flags: Vec<FlagName>,
}

/// What is done with flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreHow {
    /// `FLAGS`.
    Replace,
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
}
