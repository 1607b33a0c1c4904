//! Sets a document of billing as HTML, PDF and EN 16931 XML, and a statement of account as the first two.
//!
//! Pure: a [`Document`] or [`Statement`] goes in, bytes come out, and the same one gives the same bytes. Nothing here reads a
//! file, a clock, a database or the network; the fonts are part of the crate.
//!
//! # Signs
//!
//! A [`Document`] carries amounts as the ledger does: what the customer owes is positive, so the lines and totals of a
//! credit note are negative. Paper and XML state a credit note the other way round, as both EN 16931 and readers expect
//! of it: under the title "Credit note", a positive amount is an amount given back, and so is a positive quantity. Prices have
//! no sign, so that quantity and price make the amount on both.
//!
//! # Text
//!
//! Every text may come from a stranger. Control characters and the characters that turn the direction of what follows
//! them (Unicode's bidirectional controls) are dropped from all three forms; a line break becomes a space. In a PDF, a
//! character that no font of the crate has is shown as U+FFFD.

#[cfg(test)]
extern crate self as paper;

mod country;
mod decimal;
mod html;

mod image;
mod model;
mod pdf;
#[cfg(test)]
#[path = "../tests/it/sample.rs"]
#[expect(dead_code, reason = "made for the tests of the whole crate")]
mod sample;
mod sheet;
mod text;
mod ubl;

pub use decimal::{Decimal, DecimalError};
pub use html::{html, statement_html};
pub use image::{Logo, LogoError};
pub use model::{
    Accent, AccentError, Account, Address, Bank, Branding, Category, Corrected, Document, Entry, Kind, Line,
    Movement, Party, Period, Rate, Statement, TaxGroup, Totals,
};
pub use pdf::{PdfError, pdf, statement_pdf};
pub use ubl::{UblError, ubl};
