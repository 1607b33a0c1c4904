//! What webhook endpoints are sent. It is no route of ours: the receiver has it.

use std::borrow::Cow;

use serde_json::json;
use utoipa::ToSchema as _;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, OpenApi, PathItem, PathsBuilder, Ref, RefOr, Required, ResponseBuilder,
    SecurityRequirement,
};

use crate::schema;

const EVENT: &str = "WebhookEvent";
const MAIL: &str = "WebhookMessageDelivered";

/// Says what is sent, and how.
pub(super) fn declare(document: &mut OpenApi) {
    let schemas = &mut document.components.get_or_insert_default().schemas;
    schemas.insert(EVENT.to_owned(), RefOr::T(event().into()));
    schemas.insert(MAIL.to_owned(), RefOr::T(message_delivered().into()));
    let of_event = sent("receive_event", "An event", EVENT).description(Some(
        "Each event of the endpoint's scope whose kind it asks for, once it has happened.",
    ));
    let of_mail = sent("receive_message_delivered", "A message was delivered", MAIL).description(Some(
        "Mail that arrived, for endpoints whose `kinds` name `message.delivered`. It is no event.",
    ));
    let paths = PathsBuilder::new()
        .path("event", PathItem::new(HttpMethod::Post, of_event))
        .path("message.delivered", PathItem::new(HttpMethod::Post, of_mail));
    document.webhooks = Some(paths.build());
}

fn sent(id: &str, summary: &str, body: &str) -> OperationBuilder {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(body)));
    let body = RequestBodyBuilder::new()
        .content("application/json", content.build())
        .required(Some(Required::True))
        .build();
    let taken = "Taken. Any 2xx is; another answer, or none, and it is sent again.";
    let gone = "The endpoint is gone, and is disabled.";
    OperationBuilder::new()
        .operation_id(Some(id))
        .tag("Webhooks")
        .summary(Some(summary))
        .security(SecurityRequirement::default())
        .parameter(header(
            "webhook-id",
            "What is sent: the event's id, of mail the delivery's. It is the same on every retry and replay.",
            text("evt_019a2f3c5d7e7abc8def0123456789ab"),
        ))
        .parameter(header(
            "webhook-timestamp",
            "When this attempt was made, in seconds since 1970. Refuse one that is more than five minutes off.",
            ObjectBuilder::new().schema_type(Type::Integer).examples([1_796_115_600]).build(),
        ))
        .parameter(header(
            "webhook-signature",
            "`v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}` with the endpoint's secret; two with a space between them for 24 hours after a rotation.",
            text("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
        ))
        .request_body(Some(body))
        .response("200", ResponseBuilder::new().description(taken).build())
        .response("410", ResponseBuilder::new().description(gone).build())
}

fn header(name: &str, description: &str, schema: Object) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn event() -> Object {
    let data = object("The event.")
        .property("id", named(schema::EventId::name(), "The event's id, also its `webhook-id`."))
        .property("subject", described("The id of what it is about.", "usr_019a2f3c5d7e7abc8def0123456789ab"))
        .property("tenant_id", named(schema::TenantId::name(), "The tenant that it is about; absent above tenants."))
        .property(
            "reseller_id",
            named(schema::ResellerId::name(), "The reseller whose trail it is on, above tenants; absent for what is the operator's."),
        )
        .property(
            "object",
            object("What of it, by kind: what the feed of events has as `data`; `docs/events.md` lists the members. More may be added.")
                .examples([json!({"address": "ada@bakery.example", "role": "user"})]),
        )
        .required("id")
        .required("subject")
        .required("object");
    body("An event, as webhook endpoints get it.")
        .property("type", named(schema::EventKind::name(), "What kind of thing happened."))
        .property("data", data)
        .build()
}

fn message_delivered() -> Object {
    let data = object("Where the message is; nothing that it says.")
        .property("tenant_id", named(schema::TenantId::name(), "The mailbox's tenant."))
        .property("mailbox_id", named(schema::MailboxId::name(), "The mailbox."))
        .property("folder_id", named(schema::FolderId::name(), "The folder that it was put into."))
        .property("message_id", named(schema::MessageId::name(), "The message, in this mailbox."))
        .property("received_at", time("When it was received."))
        .property(
            "size_bytes",
            ObjectBuilder::new().schema_type(Type::Integer).description(Some("Its size.")).examples([4711]),
        )
        .required("tenant_id")
        .required("mailbox_id")
        .required("folder_id")
        .required("message_id")
        .required("received_at")
        .required("size_bytes");
    let kind = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("`message.delivered`."))
        .enum_values(Some(["message.delivered"]))
        .examples(["message.delivered"]);
    body("Mail that arrived, as webhook endpoints get it.")
        .property("type", kind)
        .property("data", data)
        .build()
}

/// What all bodies have (Standard Webhooks 1.0), but for what differs.
fn body(description: &str) -> ObjectBuilder {
    object(description)
        .property("timestamp", time("When it happened."))
        .required("type")
        .required("timestamp")
        .required("data")
}

fn object(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object).description(Some(description))
}

fn named(name: Cow<'static, str>, description: &str) -> Ref {
    let mut named = Ref::from_schema_name(name);
    named.description = description.to_owned();
    named
}

fn text(example: &str) -> Object {
    ObjectBuilder::new().schema_type(Type::String).examples([example]).build()
}

fn described(description: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).examples([example])
}

fn time(description: &str) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    described(description, "2026-12-01T09:00:00Z").format(Some(format))
}
