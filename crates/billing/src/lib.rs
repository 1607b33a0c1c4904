//! What an account owes: price books, subscriptions, billing profiles and taxes, invoices, payments,
//! ledger, runs.
//!
//! There are two levels: a reseller bills its tenants (retail), and the operator bills resellers ([`wholesale`]).
//!
//! [`rating`] is pure: from terms, an event log and a date to lines; no I/O, no clock, no floats. The other
//! modules are the shell around it, which stores, claims due accounts, numbers and hands out documents.
#![deny(clippy::float_arithmetic)]

mod by_tenant;
pub mod discount;
pub mod dunning;
mod error;
pub mod export;
pub mod forecast;
pub mod invoice;
pub mod ledger;
pub mod one_off_item;
pub mod payment;
pub mod payment_method;
pub mod payment_provider;
pub mod preview;
pub mod price_book;
pub mod profile;
pub mod rating;
mod reader;
pub mod receivable;
pub mod run;
mod series;
pub mod statement;
pub mod subscription;
pub mod table;
pub mod tax_rate;
pub mod transfer;
pub mod usage;
pub mod vat_id;
pub mod verify;
pub mod wholesale;

pub use error::{Error, NOT_A_DATE, date};
pub use series::OPERATOR;
