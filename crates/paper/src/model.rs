//! What a document of billing says, before it has a form.

use std::str::FromStr;

use chrono::NaiveDate;
use kernel::Currency;

use crate::{Decimal, Logo};

/// An invoice or a credit note, whole. Amounts are minor units of `currency`, signed as the ledger has them: what the
/// customer owes is positive, so a credit note's are negative.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it is.
    pub kind: Kind,
    /// Its number, unique for the issuer; `None`: it is a draft, and says so.
    pub number: Option<String>,
    /// Whether it is an invoice that was voided: on paper it says so, and asks for nothing.
    pub is_void: bool,
    /// The day it bears; of a draft, the one that it is to bear.
    pub issued_on: NaiveDate,
    /// The last day to pay, if one is set; nobody pays a credit note.
    pub due_on: Option<NaiveDate>,
    /// The days it is for.
    pub period: Option<Period>,
    /// The currency of every amount.
    pub currency: Currency,
    /// Who charges.
    pub issuer: Party,
    /// Who is charged.
    pub customer: Party,
    /// How the issuer looks.
    pub branding: Branding,
    /// Where to pay by transfer.
    pub bank: Option<Bank>,
    /// What is charged, in order.
    pub lines: Vec<Line>,
    /// The lines summed by category and rate of tax.
    pub taxes: Vec<TaxGroup>,
    /// The sums.
    pub totals: Totals,
    /// How and when to pay, in words.
    pub payment_terms: Option<String>,
    /// A purchase order's number or the like, that the customer asked to see.
    pub customer_reference: Option<String>,
    /// Free paragraphs.
    pub notes: Vec<String>,
    /// The documents that this one corrects.
    pub corrects: Vec<Corrected>,
}

/// What a document says that was voided.
pub(crate) const VOID: &str =
    "VOID: a credit note has taken this invoice back as a whole. Nothing is to be paid.";

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks for money.
    Invoice,
    /// Gives money back, or takes a claim back.
    CreditNote,
}

/// A span of days, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first day.
    pub from: NaiveDate,
    /// The day after the last.
    pub until: NaiveDate,
}

/// A party to the document. Texts that are empty count as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// The legal name.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// The VAT identifier with its country's prefix: `DE123456789`.
    pub vat_id: Option<String>,
    /// The number in the register of companies.
    pub registration: Option<String>,
    /// An e-mail address.
    pub email: Option<String>,
    /// A telephone number.
    pub phone: Option<String>,
    /// A web address, as it is to be read.
    pub web: Option<String>,
}

/// A postal address. Texts that are empty count as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Street and number.
    pub street: Option<String>,
    /// A second line: floor, building, care of.
    pub extra: Option<String>,
    /// The postal code.
    pub postal_code: Option<String>,
    /// The city.
    pub city: Option<String>,
    /// A state, province or county.
    pub region: Option<String>,
    /// The country's two letters in ISO 3166-1.
    pub country: Option<String>,
}

/// How an issuer looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Branding {
    /// The name the customer knows the product by.
    pub product: String,
    /// The colour of rules and bars.
    pub accent: Accent,
    /// A picture in the head, instead of the product's name.
    pub logo: Option<Logo>,
    /// Where to write with questions.
    pub support: Option<String>,
}

/// A colour: `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent([u8; 3]);

/// A text that is not a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a colour of the form #rrggbb")]
pub struct AccentError;

impl Accent {
    /// Red, green and blue.
    pub const fn rgb(self) -> [u8; 3] {
        self.0
    }
}

impl Default for Accent {
    /// A dark blue.
    fn default() -> Self {
        Self([0x1f, 0x3a, 0x5f])
    }
}

impl FromStr for Accent {
    type Err = AccentError;
    fn from_str(text: &str) -> Result<Self, AccentError> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or(AccentError)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(AccentError);
        }
        let [_, r, g, b] = u32::from_str_radix(digits, 16).map_err(|_| AccentError)?.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

/// An account to pay into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bank {
    /// The IBAN, with or without spaces.
    pub iban: String,
    /// The BIC.
    pub bic: Option<String>,
}

/// One charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What for.
    pub description: String,
    /// The days it is for.
    pub period: Option<Period>,
    /// How many, signed as its charge; 0 if it counts none.
    pub quantity: Decimal,
    /// What one costs, if the line has such a price: never negative.
    pub unit_price: Option<Decimal>,
    /// The charge in minor units, before tax.
    pub net: i64,
    /// How it is taxed.
    pub tax: Rate,
}

/// How a charge is taxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The category.
    pub category: Category,
    /// The rate in per cent; 0 in every category but [`Category::Standard`].
    pub percent: Decimal,
}

/// A category of VAT, of those of UNCL5305 that we charge in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// `S`: taxed, at whatever rate above zero.
    Standard,
    /// `Z`: taxed at zero.
    Zero,
    /// `E`: exempt.
    Exempt,
    /// `AE`: the customer accounts for the tax.
    ReverseCharge,
    /// `O`: outside the scope of VAT.
    OutOfScope,
}

impl Category {
    /// The code of UNCL5305.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Standard => "S",
            Self::Zero => "Z",
            Self::Exempt => "E",
            Self::ReverseCharge => "AE",
            Self::OutOfScope => "O",
        }
    }

    /// Why there is no tax, as a code of the VATEX list, where the category alone tells.
    pub(crate) const fn reason_code(self) -> Option<&'static str> {
        match self {
            Self::ReverseCharge => Some("VATEX-EU-AE"),
            Self::OutOfScope => Some("VATEX-EU-O"),
            Self::Standard | Self::Zero | Self::Exempt => None,
        }
    }
}

/// What is taxed in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxGroup {
    /// The way.
    pub rate: Rate,
    /// The sum of the lines so taxed, in minor units.
    pub taxable: i64,
    /// The tax on it, in minor units.
    pub tax: i64,
    /// Why no tax is charged, in words.
    pub reason: Option<String>,
}

/// The sums of a document, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// The lines.
    pub net: i64,
    /// The taxes.
    pub tax: i64,
    /// Both: what is to be paid, or is credited.
    pub gross: i64,
}

/// A document that another corrects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrected {
    /// Its number.
    pub number: String,
    /// The day it bore.
    pub issued_on: NaiveDate,
}

/// What moved an account on some days, and what of it is open. Amounts are minor units, signed as the ledger has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Who is owed.
    pub issuer: Party,
    /// Who owes.
    pub customer: Party,
    /// How the issuer looks.
    pub branding: Branding,
    /// Where to pay by transfer.
    pub bank: Option<Bank>,
    /// The days.
    pub period: Period,
    /// An account for each currency.
    pub accounts: Vec<Account>,
}

/// An account in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The currency of every amount.
    pub currency: Currency,
    /// What was owed before the first day.
    pub opening: i64,
    /// What changed that, in order.
    pub entries: Vec<Entry>,
    /// What is owed at the end of the last day.
    pub closing: i64,
    /// What of that is not yet due, and overdue for 1 to 30, 31 to 60, 61 to 90 and more days.
    pub ages: [i64; 5],
    /// What was paid or credited and is left over.
    pub credit: i64,
}

/// A movement of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The day it counts for.
    pub on: NaiveDate,
    /// What it is.
    pub movement: Movement,
    /// A number, or what else tells it from others.
    pub reference: Option<String>,
    /// The last day to pay, of an invoice.
    pub due_on: Option<NaiveDate>,
    /// How much more is owed by it, or 0.
    pub debit: i64,
    /// How much less, or 0.
    pub credit: i64,
    /// What is owed after it.
    pub balance: i64,
}

/// What moves an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// An invoice.
    Invoice,
    /// A credit note.
    CreditNote,
    /// Money that came.
    Payment,
    /// Money that was paid back.
    Refund,
    /// A refund that came back.
    RefundReturned,
    /// Money that the customer's bank took back.
    Dispute,
    /// What it gave back of that.
    DisputeReinstated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_six_hexadecimal_digits() {
        assert_eq!("#1f3A5f".parse(), Ok(Accent::default()));
        for text in ["", "#", "1f3a5f", "#1f3a5", "#1f3a5f0", "#+f3a5f", "#é3a5f", "red;}"] {
            assert_eq!(text.parse::<Accent>(), Err(AccentError), "{text}");
        }
    }
}
