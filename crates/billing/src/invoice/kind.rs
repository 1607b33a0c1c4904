//! Why a line is on a document.

use crate::rating::LineKind;

/// Why a line is on a tenant's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceLineKind {
    /// What the rating core made of a cycle.
    Rated(LineKind),
    /// A charge that comes once.
    OneOff,
    /// What is off the line before it.
    Discount,
}

impl InvoiceLineKind {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Rated(LineKind::Recurring),
        Self::Rated(LineKind::Usage),
        Self::Rated(LineKind::Proration),
        Self::Rated(LineKind::Credit),
        Self::OneOff,
        Self::Discount,
    ];

    /// `recurring`, `usage`, `proration`, `credit`, `one_off` or `discount`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rated(kind) => kind.as_str(),
            Self::OneOff => "one_off",
            Self::Discount => "discount",
        }
    }

    /// The one with that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}
