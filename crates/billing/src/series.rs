//! Number series: gapless, because a number is taken in the transaction that uses it, which holds the counter's row
//! until it ends.

pub(crate) mod store;

use kernel::ResellerId;
use uuid::Uuid;

/// The operator as an issuer: no reseller's id, and the one that its number series and its ledger go by.
pub const OPERATOR: ResellerId = ResellerId::from_uuid(Uuid::nil());

/// A series of an issuer's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    /// Versions of price books.
    PriceBook,
    /// Invoices.
    Invoice,
    /// Credit notes.
    CreditNote,
}

impl Series {
    /// As it is stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PriceBook => "price_book",
            Self::Invoice => "invoice",
            Self::CreditNote => "credit_note",
        }
    }
}
