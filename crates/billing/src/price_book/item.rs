//! What a price is for.

/// What is sold by cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// A seat with its personal mailbox: what a subscription is for.
    Mailbox,
    /// A mailbox that is nobody's own: a shared one, a room's, a piece of equipment's.
    SharedMailbox,
    /// A mailbox that is kept of somebody who has left.
    Archive,
    /// A GiB stored beyond what the seats have pooled, on average over a cycle; in arrears.
    Storage,
}

impl Item {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mailbox, Self::SharedMailbox, Self::Archive, Self::Storage];
    /// Those that are counted, as seats are.
    pub(crate) const COUNTED: [Self; 3] = [Self::Mailbox, Self::SharedMailbox, Self::Archive];

    /// `mailbox`, `shared_mailbox`, `archive` or `storage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::SharedMailbox => "shared_mailbox",
            Self::Archive => "archive",
            Self::Storage => "storage",
        }
    }

    /// The one with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.as_str() == name)
    }

    /// What documents call several of them.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Mailbox => "mailboxes",
            Self::SharedMailbox => "shared mailboxes",
            Self::Archive => "archives",
            Self::Storage => "storage",
        }
    }
}
