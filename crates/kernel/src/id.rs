//! Typed ids: a UUIDv7 in tables, `prefix_` and 32 lower-case hexadecimal digits on the wire.
//!
//! An id is parsed only in its wire form, so an id of one kind is never taken for another's.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::wire::text_on_the_wire;

/// A text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_ followed by 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// What all typed ids have in common, for code that is generic over them.
pub trait Id: Copy + fmt::Display + FromStr<Err = IdError> {
    /// The wire prefix, without the underscore.
    const PREFIX: &'static str;
    /// Wraps a table's uuid.
    fn from_uuid(uuid: Uuid) -> Self;
    /// The uuid as tables hold it.
    fn uuid(self) -> Uuid;
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let digits = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .filter(|digits| digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .ok_or(IdError { prefix })?;
    Uuid::try_parse(digits).map_err(|_| IdError { prefix })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;
            fn from_uuid(uuid: Uuid) -> Self { Self(uuid) }
            fn uuid(self) -> Uuid { self.0 }
        }

        impl $name {
            /// Wraps a table's uuid.
            pub const fn from_uuid(uuid: Uuid) -> Self { Self(uuid) }
            /// The uuid as tables hold it.
            pub const fn uuid(self) -> Uuid { self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> { parse($prefix, text).map(Self) }
        }

        text_on_the_wire!($name);
    )*};
}

ids! {
    /// A reseller: a partner who sells mailboxes.
    ResellerId = "rsl";
    /// A tenant: a customer organisation.
    TenantId = "ten";
    /// A mail domain of a tenant.
    DomainId = "dom";
    /// A person who signs in.
    UserId = "usr";
    /// A store of messages with a quota.
    MailboxId = "mbx";
    /// A folder of a mailbox.
    FolderId = "fld";
    /// A message.
    MessageId = "msg";
    /// A message that leaves, on its way to all its recipients.
    OutgoingId = "out";
    /// The keys that a domain signs its mail with.
    DkimKeyId = "dkm";
    /// A stored body; shown to nobody but clients of IMAP, as what is the same of copies.
    BlobId = "blb";
    /// A pack of bodies; never shown to a caller.
    PackId = "pck";
    /// A segment of the journal; never shown to a caller.
    SegmentId = "seg";
    /// A tenant's data key as it is wrapped; never shown to a caller.
    WrappedKeyId = "wky";
    /// An API key.
    ApiKeyId = "key";
    /// A tenant's subscription.
    SubscriptionId = "sub";
    /// What the operator has agreed with a reseller.
    WholesaleAgreementId = "agr";
    /// A published version of an issuer's prices.
    PriceBookId = "pbk";
    /// One price of a price book.
    PriceId = "pri";
    /// A discount of a subscription.
    DiscountId = "dsc";
    /// A charge that comes once.
    OneOffItemId = "ooi";
    /// An invoice or credit note.
    InvoiceId = "inv";
    /// What a customer paid, or is to pay by a provider.
    PaymentId = "pay";
    /// What a customer was paid back.
    RefundId = "ref";
    /// What a customer's bank contests.
    DisputeId = "dsp";
    /// What a provider charged an issuer for a dispute, or gave back of that.
    DisputeFeeId = "dsf";
    /// A billing run.
    RunId = "run";
    /// A queued piece of work.
    JobId = "job";
    /// Something that happened, on a trail.
    EventId = "evt";
    /// A place that events are sent to.
    WebhookEndpointId = "whk";
    /// One event on its way to one endpoint.
    DeliveryId = "dlv";
    /// A password of one program, for some protocols.
    AppPasswordId = "apw";
    /// A distribution list.
    GroupId = "grp";
    /// An address of a mailbox or group.
    AliasId = "als";
    /// What is left of a tenant that was destroyed.
    DestructionRecordId = "dst";
    /// Work of several steps.
    OperationId = "opn";
    /// A right to look into a mailbox from above its tenant.
    SupportAccessId = "sac";
    /// What keeps mail from being destroyed.
    HoldId = "hld";
    /// One request, connection or job, in logs and problems.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wire_form_is_inverse(bits in any::<u128>()) {
            let id = TenantId::from_uuid(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<TenantId>(), Ok(id));
            prop_assert!(id.to_string().parse::<ResellerId>().is_err());
        }
    }

    #[test]
    fn only_the_wire_form_is_parsed() {
        let uuid = Uuid::from_u128(0xabc);
        for text in
            [uuid.to_string(), format!("ten_{uuid}"), format!("ten_{:X}", uuid.simple()), "ten_".into()]
        {
            assert!(text.parse::<TenantId>().is_err(), "{text}");
        }
    }
}
