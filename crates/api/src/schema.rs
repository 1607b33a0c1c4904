//! How the values of `kernel` look in the OpenAPI document, which `kernel` knows nothing of.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! texts {
    ($($name:ident: $description:literal, $pattern:expr, $example:expr;)*) => {$(
        #[doc = $description]
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($description));
                RefOr::T(text.pattern(Some($pattern)).examples([$example]).build().into())
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

macro_rules! ids {
    ($($name:ident = $prefix:literal: $description:literal;)*) => {
        texts! {$(
            $name: $description, concat!("^", $prefix, "_[0-9a-f]{32}$"),
                concat!($prefix, "_019a2f3c5d7e7abc8def0123456789ab");
        )*}
    };
}

ids! {
    ResellerId = "rsl": "A reseller's id.";
    TenantId = "ten": "A tenant's id.";
    DomainId = "dom": "A domain's id.";
    UserId = "usr": "A user's id.";
    MailboxId = "mbx": "A mailbox's id.";
    FolderId = "fld": "A folder's id.";
    MessageId = "msg": "A message's id, for life.";
    ApiKeyId = "key": "An API key's id; also its `client_id`.";
    SubscriptionId = "sub": "A subscription's id.";
    PriceBookId = "pbk": "A price book's id.";
    PriceId = "pri": "A price's id.";
    InvoiceId = "inv": "An invoice's id.";
    WebhookEndpointId = "whk": "A webhook endpoint's id.";
    DeliveryId = "dlv": "A delivery's id.";
    RunId = "run": "A billing run's id.";
}

texts! {
    Currency: "An ISO 4217 code of a currency that has minor units.", "^[A-Z]{3}$", "EUR";
    Day: "A day, in the account's own time zone.", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-12-01";
}
