//! The rating core: from terms, an event log and a date to lines. No I/O, no clock, no floats.
//!
//! Time is counted in local calendar days and half-open spans. Everything is reconciled: what a cycle is owed is a
//! function of the event log ([`Log`]) and of the terms over time ([`Timeline`]), what has been billed is the sum of
//! its lines so far, and a document carries the difference ([`document()`]). Billing twice therefore adds nothing.
//!
//! Beside the cycles of seats stand charges that come once ([`OneOff`]), stored bytes in arrears ([`storage()`]),
//! amounts off ([`Discount`]), prices that are paid in parts ([`Instalment`]), and the tax of a whole document
//! ([`totals`], [`treatment`], [`TaxHistory`]).

mod calendar;
mod discount;
mod document;
mod in_force;
mod instalment;
mod one_off;
mod percentage;
mod price;
mod quantity;
mod reconcile;
mod removal;
mod storage;
mod tariff;
mod tax;
mod terms;
mod timeline;

#[cfg(test)]
mod properties;

pub use calendar::{Cycle, Interval, Span, Zones, local_day};
pub use discount::{Discount, Off, Rate};
pub use document::{Boundary, CycleState, Line, LineKind, document};
pub use in_force::Log;
pub use instalment::Instalment;
pub use one_off::OneOff;
pub use percentage::{Percentage, PercentageError};
pub use price::{Amount, Share, UnitPrice, UnitPriceError};
pub use quantity::{Step, daily_peaks, steps_of_changes, steps_of_levels};
pub use reconcile::{Billed, Charge, Portion, reconcile, reconcile_parts};
pub use removal::RemovalPolicy;
pub use storage::{
    Over, Overage, StoragePart, byte_seconds, each_over, overage, sampled_from, storage, storage_parts,
};
pub use tariff::{Tariff, Tier, Tiers, TiersError};
pub use tax::{
    GroupTotal, PriceBasis, TaxCategory, TaxGroup, TaxHistory, TaxLine, TaxParty, TaxedDocument, TaxedPart,
    Totals, Treatment, TreatmentError, totals, treatment,
};
pub use terms::{PaymentSchedule, SuspensionPolicy, Terms};
pub use timeline::{Segment, Suspension, Timeline};

/// Why something cannot be rated. Each of them parks the account it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// A boundary outside the calendar that we can count in.
    #[error("a date is out of range")]
    DateRange,
    /// An amount beyond what 64 bits of minor units can say.
    #[error("an amount is out of range")]
    AmountRange,
    /// More seats were freed than taken.
    #[error("the event log frees more seats than were taken")]
    NegativeQuantity,
    /// An instalment that is none of so many.
    #[error("there is no such instalment")]
    InstalmentRange,
    /// A rate of tax that its category does not have.
    #[error("the rate of tax does not belong to its category")]
    TaxRate,
    /// More would be credited of a cycle or group of tax than is left of what was charged.
    #[error("a credit exceeds what was charged")]
    CreditExceedsInvoice,
    /// A billed line lies outside the cycle that it is said to belong to.
    #[error("a billed line lies outside its cycle")]
    BilledOutsideCycle,
}
