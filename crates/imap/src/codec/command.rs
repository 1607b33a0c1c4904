//! Commands as values, as clients may send them (RFC 3501, RFC 9051 and the extensions that `capability` names).

mod append;
mod fetch;
mod list;
mod search;
mod select;
mod sort;
mod store;

use secrecy::SecretString;

use super::set::SequenceSet;

pub use append::{Append, AppendForm};
pub use fetch::{Fetch, FetchItem, Rfc822, Section, SectionText};
pub use list::{List, ListGive, ListSelect, StatusItem};
pub use search::{Search, SearchGive, SearchKey, Text};
pub use select::{Resync, SelectParameters};
pub use sort::{Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm};
pub use store::{Store, StoreHow};

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
    /// RFC 5256 §3, RFC 5267 §3.
    Sort(Sort),
    /// RFC 5256 §3.
    Thread(Thread),
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
    /// RFC 4314 §3.1: the folder. Whose rights, and which, is checked and not kept: nobody gives any by IMAP here.
    SetAcl(MailboxName),
    /// RFC 4314 §3.2.
    DeleteAcl(MailboxName),
    /// RFC 4314 §3.3.
    GetAcl(MailboxName),
    /// RFC 4314 §3.4.
    ListRights(MailboxName),
    /// RFC 4314 §3.5.
    MyRights(MailboxName),
    /// RFC 4978 §3.
    Compress {
        /// In upper case, such as `DEFLATE`.
        mechanism: String,
    },
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
            Self::Sort(_) => "SORT",
            Self::Thread(_) => "THREAD",
            Self::Fetch(_) => "FETCH",
            Self::Store(_) => "STORE",
            Self::Copy { is_move: false, .. } => "COPY",
            Self::Copy { is_move: true, .. } => "MOVE",
            Self::GetQuota(_) => "GETQUOTA",
            Self::GetQuotaRoot(_) => "GETQUOTAROOT",
            Self::SetAcl(_) => "SETACL",
            Self::DeleteAcl(_) => "DELETEACL",
            Self::GetAcl(_) => "GETACL",
            Self::ListRights(_) => "LISTRIGHTS",
            Self::MyRights(_) => "MYRIGHTS",
            Self::Compress { .. } => "COMPRESS",
        }
    }
}

/// A folder's name as people write it: out of modified UTF-7 (RFC 3501 §5.1.3) or UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxName {
    /// In the form that names are kept in, and `INBOX` in upper case however it came.
    pub name: String,
    /// As it was given, where that is another form (RFC 9051 §5.1).
    pub given: Option<String>,
}

/// Of a name in the form that names are kept in.
impl From<String> for MailboxName {
    fn from(name: String) -> Self {
        Self { name, given: None }
    }
}

/// A flag as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagName {
    /// One with a backslash, in upper case without it, such as `SEEN`.
    System(String),
    /// A keyword, as it was written.
    Keyword(String),
}
