//! Values every layer shares: typed ids, clock and randomness, mail addresses, money, pages, error kinds.
//!
//! No I/O beyond reading the system's clock and random device, no async, no knowledge of any transport.
#![deny(clippy::float_arithmetic)]

pub mod address;
pub mod country;
pub mod crlf;
pub mod env;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hex;
pub mod id;
pub mod money;
mod names;
pub mod page;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
pub mod utf7;
mod visible;
mod wire;
pub mod xtext;

pub use address::{AddressError, DomainName, EmailAddress};
pub use country::Country;
pub use env::{Clock, Env, OsRandom, Random, SystemClock};
pub use error::{Checks, ErrorKind, FieldError};
pub use hex::hex;
pub use id::{
    AliasId, ApiKeyId, AppPasswordId, BlobId, DeliveryId, DestructionRecordId, DiscountId, DisputeFeeId,
    DisputeId, DkimKeyId, DomainId, EventId, FolderId, GroupId, HoldId, Id, InvoiceId, JobId, MailboxId,
    MessageId, OneOffItemId, OperationId, OutgoingId, PackId, PaymentId, PriceBookId, PriceId, RefundId,
    RequestId, ResellerId, RunId, SegmentId, SubscriptionId, SupportAccessId, TenantId, UserId,
    WebhookEndpointId, WholesaleAgreementId, WrappedKeyId,
};
pub use money::{Currency, Money};
pub use names::UnknownName;
pub use page::{Cursor, CursorError, ListId, Page, PageRequest};
pub use visible::is_visible;
