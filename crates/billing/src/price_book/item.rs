//! What a price is for.

use kernel::named;

named! {
    /// What is sold by cycles.
    Item {
        /// A seat with its personal mailbox: what a subscription is for.
        Mailbox = "mailbox",
        /// A mailbox that is nobody's own: a shared one, a room's, a piece of equipment's.
        SharedMailbox = "shared_mailbox",
        /// A mailbox that is kept of somebody who has left.
        Archive = "archive",
        /// A GiB stored beyond what the seats have pooled, on average over a cycle; in arrears.
        Storage = "storage",
    }
}

impl Item {
    /// Those that are counted, as seats are.
    pub(crate) const COUNTED: [Self; 3] = [Self::Mailbox, Self::SharedMailbox, Self::Archive];

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
