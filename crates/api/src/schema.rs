//! How the values of `kernel` look in the OpenAPI document, which `kernel` knows nothing of.

use std::borrow::Cow;
use std::sync::LazyLock;

use billing::invoice::InvoiceLineKind;
use billing::price_book::ChangesBilled as Changes;
use billing::price_book::CycleLength;
use billing::rating::{
    PaymentSchedule as PaymentTimes, PriceBasis, RemovalPolicy as Removal, TaxCategory as Category,
};
use billing::statement::EntryKind;
use billing::vat_id::Registration;
use mailstore::{change, folder, message, restore};
use tenancy::{Role, Scope, app_password, delegate, event, mailbox, policy, quota};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::problem;

/// A type that stands for a schema, made by the function from an empty text's.
macro_rules! schemas {
    ($($name:ident: $description:literal, $schema:expr;)*) => {$(
        #[doc = $description]
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($description));
                let made: fn(ObjectBuilder) -> ObjectBuilder = $schema;
                RefOr::T(made(text).build().into())
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

/// Texts of a form.
macro_rules! texts {
    ($($name:ident: $description:literal, $pattern:expr, $example:expr;)*) => {
        schemas! {$($name: $description, |text| text.pattern(Some($pattern)).examples([$example]);)*}
    };
}

/// One of some texts; the example is the first.
macro_rules! closed {
    ($($name:ident: $description:literal, $values:expr;)*) => {
        schemas! {$($name: $description, |text| one_of(text, $values);)*}
    };
}

fn one_of(text: ObjectBuilder, values: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    let values: Vec<_> = values.into_iter().collect();
    text.examples(values.first().copied()).enum_values(Some(values))
}

macro_rules! ids {
    ($($name:ident = $prefix:literal: $description:literal;)*) => {
        texts! {$(
            $name: $description, concat!("^", $prefix, "_[0-9a-f]{32}$"),
                concat!($prefix, "_019a2f3c5d7e7abc8def0123456789ab");
        )*}
    };
}

/// What [`VISIBLE`] says between its ends.
macro_rules! visible {
    () => {
        concat!(
            r"[^\u0000-\u001f\u007f-\u009f]*",
            r"[^\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e",
            r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]",
            r"[^\u0000-\u001f\u007f-\u009f]*"
        )
    };
}

ids! {
    ResellerId = "rsl": "A reseller's id.";
    TenantId = "ten": "A tenant's id.";
    DomainId = "dom": "A domain's id.";
    UserId = "usr": "A user's id.";
    MailboxId = "mbx": "A mailbox's id.";
    GroupId = "grp": "A group's id.";
    AliasId = "als": "An alias's id.";
    DestructionRecordId = "dst": "The id of a destroyed tenant's record.";
    OperationId = "opn": "An operation's id.";
    SupportAccessId = "sac": "A support access's id.";
    HoldId = "hld": "A legal hold's id.";
    DkimKeyId = "dkm": "The id of the keys that a domain signs its mail with.";
    OutgoingId = "out": "The id of a message on its way out.";
    FolderId = "fld": "A folder's id.";
    MessageId = "msg": "A message's id, for life.";
    ApiKeyId = "key": "An API key's id; also its `client_id`.";
    AppPasswordId = "apw": "An app password's id.";
    EventId = "evt": "An event's id.";
    SubscriptionId = "sub": "A subscription's id.";
    WholesaleAgreementId = "agr": "A wholesale agreement's id.";
    PriceBookId = "pbk": "A price book's id.";
    PriceId = "pri": "A price's id.";
    DiscountId = "dsc": "A discount's id.";
    OneOffItemId = "ooi": "A one-off item's id.";
    InvoiceId = "inv": "An invoice's id.";
    WebhookEndpointId = "whk": "A webhook endpoint's id.";
    DeliveryId = "dlv": "A delivery's id.";
    PaymentId = "pay": "A payment's id.";
    RefundId = "ref": "A refund's id.";
    DisputeId = "dsp": "A dispute's id.";
    RunId = "run": "A billing run's id.";
}

/// As `kernel` has it: no control characters, and something to see. What shows nothing beyond U+FFFF is left to the server, since not every
/// language's expressions can name it.
const VISIBLE: &str = concat!("^", visible!(), "$");

/// Empty, or that.
const VISIBLE_IF_ANY: &str = concat!("^(", visible!(), ")?$");

/// As `mailstore::folder` has it: no `/`, no control characters, no space at either end.
const FOLDER_NAME: &str =
    r"^[^\s/\u0000-\u001f\u007f-\u009f]([^/\u0000-\u001f\u007f-\u009f]*[^\s/\u0000-\u001f\u007f-\u009f])?$";

/// As `mailstore::message` has it: what RFC 9051 §9 allows in an atom.
const KEYWORD: &str = r#"^[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+$"#;

texts! {
    MemberId: "The id of a mailbox or of a group.", "^(mbx|grp)_[0-9a-f]{32}$", "mbx_019a2f3c5d7e7abc8def0123456789ab";
    CustomerId: "The id of the tenant, or of a wholesale invoice the reseller, that a document is for.",
        "^(ten|rsl)_[0-9a-f]{32}$", "ten_019a2f3c5d7e7abc8def0123456789ab";
    UnitPrice: "A price for one unit and one whole interval, in major units of the currency.",
        r"^[0-9]{1,12}(\.[0-9]{1,8})?$", "4.50000000";
    SetupPrice: "A price for a setup, in major units of the currency.", r"^[0-9]{1,12}(\.[0-9]{1,8})?$", "25.00000000";
    DiscountPercentage: "More than 0 per cent, and at most 100.", r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$", "12.5000";
    Percentage: "A rate of tax in per cent, from 0 to 100.", r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$", "19.0000";
    Country: "A country's ISO 3166-1 code.", "^[A-Z]{2}$", "DE";
}

schemas! {
    Currency: "An ISO 4217 code of a currency that has minor units.",
        |text| one_of(text, CURRENCIES.iter().copied()).examples(["EUR"]);
    Day: "A day, in the account's own time zone.",
        |text| text.format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))).examples(["2026-12-01"]);
    DaysOverdue: "Days after the due day.",
        |days| days.schema_type(Type::Integer).minimum(Some(1)).maximum(Some(365)).examples([7]);
    Name: "What people call it.",
        |text| text.min_length(Some(1)).max_length(Some(200)).pattern(Some(VISIBLE)).examples(["North Hosting"]);
    NameIfAny: "What people call it; empty as if it were left out.",
        |text| text.max_length(Some(200)).pattern(Some(VISIBLE_IF_ANY)).examples(["Ada Lovelace"]);
    ShortName: "What people call it, in short.",
        |text| text.min_length(Some(1)).max_length(Some(100)).pattern(Some(VISIBLE)).examples(["Ada's phone"]);
    TextLine: "A line of text.",
        |text| text.min_length(Some(1)).max_length(Some(200)).pattern(Some(VISIBLE)).examples(["nightly provisioning"]);
    Reason: "Why something is done, for somebody to read later.",
        |text| text.min_length(Some(1)).max_length(Some(500)).pattern(Some(VISIBLE)).examples(["Case 17/2026"]);
    FolderName: "What people call it: without `/` and without spaces around it, kept in Unicode's form NFC.",
        |text| text.min_length(Some(1)).max_length(Some(255)).pattern(Some(FOLDER_NAME)).examples(["Suppliers"]);
    Keyword: "A mark of a client's own (RFC 9051 §2.3.2); it is the same in capitals.",
        |text| text.min_length(Some(1)).max_length(Some(100)).pattern(Some(KEYWORD)).examples(["$Forwarded"]);
    BillingLine: "A line of text, as documents show it.",
        |text| text.min_length(Some(1)).max_length(Some(200)).pattern(Some(VISIBLE)).examples(["Hafenstr. 1"]);
    Paragraph: "A paragraph, as documents show it.",
        |text| text.min_length(Some(1)).max_length(Some(500)).pattern(Some(VISIBLE)).examples(["Thank you for your business."]);
    Logo: "A PNG or SVG, in base64.",
        |text| text.min_length(Some(4)).max_length(Some(43_692))
            .examples(["PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI0IiBoZWlnaHQ9IjQiLz4="]);
    EmailAddress: "An address, whose parts may be in any script (RFC 6531).",
        |text| text.format(Some(SchemaFormat::Custom("idn-email".into()))).examples(["ada@bakery.example"]);
    WebhookUrl: "Where to send events: https, no private address, no port of mail or of line protocols.",
        |text| text.format(Some(SchemaFormat::Custom("uri".into()))).max_length(Some(2048))
            .examples(["https://hooks.example/pillarbox"]);
    MessageBytes: "A message in the Internet Message Format (RFC 5322), byte for byte.",
        |text| text.min_length(Some(1)).examples(["From: ada@bakery.example\r\nSubject: Flour\r\n\r\nTwo bags, please.\r\n"]);
}

/// All that are one to `kernel`, which keeps no list of them.
static CURRENCIES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let letters = || (b'A'..=b'Z').map(char::from);
    let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
    let parsed = codes.filter_map(|code| code.iter().collect::<String>().parse::<kernel::Currency>().ok());
    parsed.map(kernel::Currency::code).collect()
});

closed! {
    Action: "Something that a caller may be allowed to do.", policy::Action::ALL.iter().map(|action| action.as_str());
    Capability: "What a suspension can take away.", policy::Capability::ALL.iter().map(|one| one.as_str());
    KeyRole: "What a key's bearer is to the objects in its scope.", roles(|role| {
        role.fits(Scope::Operator) || is_resellers(role) || is_tenants(role)
    });
    ResellerKeyRole: "A role for a reseller's key.", roles(is_resellers);
    TenantKeyRole: "A role for a tenant's key.", roles(is_tenants);
    UserRole: "What a user is in the tenant; `user` sees their own mailbox alone.",
        roles(|role| role == Role::User || is_tenants(role));
    AppPasswordProtocol: "What an app password is good for.", app_password::PROTOCOLS.map(|one| one.as_str());
    EventKind: "What kind of thing happened.", event::Kind::ALL.iter().map(|kind| kind.as_str());
    MailboxKind: "What a mailbox is for.", mailbox::Kind::ALL.iter().map(|kind| kind.as_str());
    NewMailboxKind: "What a mailbox that is nobody's own is for.", ["shared", "room", "equipment"];
    DelegateRight: "What a delegate may do.", delegate::Right::ALL.iter().map(|right| right.as_str());
    OperationStatus: "How far an operation is.", ["succeeded", "queued", "running", "failed"];
    RestoreMode: "Where what was there goes.", restore::Place::ALL.iter().map(|place| place.as_str());
    MailboxFate: "What becomes of the mailbox of somebody who leaves.", ["keep", "shared", "archive"];
    LeftMailbox: "What became of the mailbox of somebody who left.", ["kept", "shared", "archive"];
    QuotaThreshold: "A bound that a mailbox has reached.", quota::Threshold::ALL.iter().map(|one| one.as_str());
    QuotaLevel: "Which level bounds a mailbox.", ["mailbox", "tenant", "reseller"];
    EndpointStatus: "Whether it gets events.", ["enabled", "disabled"];
    DeliveryStatus: "How far a delivery is.", ["delivered", "pending", "failed"];
    DomainStatus: "`pending`: to be verified; `active`: mail is routed.", ["active", "pending"];
    ResellerStatus: "Whether it can be used.", ["active", "deleted"];
    Status: "Whether it can be used.", ["active", "suspended", "deleted"];
    TenantStatus: "Whether the tenant's people can work.", ["active", "trial", "suspended", "deleted", "purged"];
    FolderRole: "What a folder is for.", folder::Role::ALL.iter().map(|role| role.as_str());
    ChangeKind: "What happened to a folder or to messages in it.", change::Kind::ALL.iter().map(|kind| kind.as_str());
    MessageState: "`live`, or `recoverable` for a deleted one.", message::State::ALL.iter().map(|state| state.as_str());
    MessageFlag: "What is marked of a message (RFC 9051 §2.3.2).", message::Flag::ALL.iter().map(|flag| flag.as_str());
    DkimKeyState: "What is done with a DKIM key.", ["active", "pending", "retired"];
    OutgoingState: "How far a message is on its way to a recipient.",
        ["queued", "delivering", "held", "delivered", "failed", "dropped"];
    Interval: "How long a cycle is.", CycleLength::ALL.iter().map(|length| length.as_str());
    PriceItem: "What is sold.", ["mailbox", "shared_mailbox", "archive", "storage"];
    InvoiceItem: "What was sold: what a price is for, the setup of a subscription, or a one-off item.",
        ["mailbox", "shared_mailbox", "archive", "storage", "setup", "one_off"];
    PriceModel: "How units are priced: `flat`, every unit the same; `graduated`, each by its own tier; `volume`, all by one tier.",
        ["flat", "graduated", "volume"];
    RemovalPolicy: "When a removed unit stops being charged.",
        [Removal::AtCycleEnd, Removal::CreditToBalance, Removal::LockedUntilTermEnd { grace_days: Removal::GRACE_DAYS }]
            .map(Removal::as_str);
    ChangesBilled: "When what changes in mid-cycle is billed: `monthly`, all together on the next monthly day of the anchor; `daily`, by a run on that day or the next one.",
        Changes::ALL.iter().map(|when| when.as_str());
    SuspensionPolicy: "Whether days of a suspension are charged.", ["continue", "pause"];
    TaxBehavior: "Whether prices include tax.", PriceBasis::ALL.iter().map(|basis| basis.as_str());
    TaxCategory: "How something is taxed (UNCL5305): `S` at a rate, `Z` at the zero rate, `E` exempt, `AE` by the customer, `O` not subject to tax.",
        Category::ALL.map(Category::code);
    VatRegistration: "Whether a register has a number.",
        Registration::ALL.iter().map(|one| one.as_str());
    PaymentSchedule: "How the price of a year is paid: `at_once`, or `monthly` in twelve instalments.",
        PaymentTimes::ALL.iter().map(|times| times.as_str());
    SubscriptionStatus: "Whether it is charged.", ["active", "trialing", "ended"];
    RunStatus: "How far a billing run is.", ["succeeded", "queued", "running", "failed"];
    ExportLevel: "Whose documents.", billing::export::Level::ALL.iter().map(|level| level.as_str());
    InvoiceKind: "What a document is.", ["invoice", "credit_note"];
    InvoiceStatus: "A `draft` is owed by nobody yet; of a `paid` invoice nothing is due; a `void` one was taken back.",
        ["draft", "final", "paid", "void"];
    StatementEntryKind: "What changed what a tenant owes.", EntryKind::ALL.iter().map(|kind| kind.as_str());
    PaymentStatus: "Where a payment is.", ["succeeded", "pending", "unknown", "requires_action", "processing", "failed"];
    RefundStatus: "Where a refund is.", ["succeeded", "pending", "unknown", "failed", "returned"];
    DisputeStatus: "Where a dispute is.", ["open", "won", "lost"];
    PaymentProviderName: "How a payment comes.", ["manual", "stripe"];
    ChargingProvider: "Who takes charges.", ["stripe"];
    LineKind: "A cycle in advance, what was used in one that is over, units added in one, units removed from one, a charge that comes once, or what is off the line before it.",
        InvoiceLineKind::ALL.map(InvoiceLineKind::as_str);
    GrantType: "`client_credentials` (a program with an API key), `password` (a person at a first-party portal) or `refresh_token`.",
        ["client_credentials", "password", "refresh_token"];
    TokenType: "How to use the token (RFC 6750).", ["Bearer"];
    TokenErrorCode: "Why there is no token (RFC 6749 §5.2).",
        ["invalid_client", "invalid_request", "invalid_grant", "invalid_scope", "unsupported_grant_type",
            "temporarily_unavailable"];
    ProblemCode: "The stable name of a kind of problem; for programs.", problem::CODES.iter().map(|(code, ..)| *code);
}

fn roles(fit: fn(Role) -> bool) -> impl Iterator<Item = &'static str> {
    Role::ALL.iter().filter(move |role| fit(**role)).map(|role| role.as_str())
}

fn is_resellers(role: Role) -> bool {
    role.fits(Scope::Reseller(kernel::ResellerId::from_uuid(Default::default())))
}

fn is_tenants(role: Role) -> bool {
    role.fits(Scope::Tenant(kernel::TenantId::from_uuid(Default::default())))
}
