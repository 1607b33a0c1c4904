//! SCIM in the OpenAPI document. The resources' own schemas are at `/Schemas`, for the clients that this is for.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::document::Common;

/// What SCIM operations share of errors.
pub(crate) const ERRORS: &[Common] = &[
    Common {
        status: "400",
        name: "ScimInvalid",
        text: "The request is malformed or breaks a rule; `scimType` says which kind, `detail` what is wrong.",
    },
    Common { status: "401", name: "ScimUnauthenticated", text: "No valid credential." },
    Common {
        status: "403",
        name: "ScimForbidden",
        text: "The credential does not allow this, or the tenant's own access is suspended.",
    },
    Common {
        status: "404",
        name: "ScimNotFound",
        text: "No such resource, or none that the caller may see.",
    },
    Common { status: "408", name: "ScimTimeout", text: "The request took longer than the server waits." },
    Common {
        status: "412",
        name: "ScimVersionMismatch",
        text: "The resource has changed since the version that `If-Match` names.",
    },
    Common { status: "413", name: "ScimTooLarge", text: "The body is too large." },
    Common { status: "415", name: "ScimMediaType", text: "The body has another media type." },
    Common {
        status: "422",
        name: "ScimKeyReuse",
        text: "The `Idempotency-Key` was used for another request.",
    },
    Common {
        status: "429",
        name: "ScimRateLimited",
        text: "The credential has made too many requests: try again after the seconds in `Retry-After`.",
    },
    Common { status: "500", name: "ScimInternal", text: "A fault of the server's." },
    Common { status: "503", name: "ScimUnavailable", text: "Try again after the seconds in `Retry-After`." },
];

/// Types that stand for an object's schema.
macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident = $schema:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let made: ObjectBuilder = $schema;
                RefOr::T(made.build().into())
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

objects! {
    /// An error of RFC 7644 §3.12.
    ScimError = object("Why a request was refused or failed (RFC 7644 §3.12).")
        .property("schemas", texts("The URN of an error.", scim::message::ERROR_URN))
        .property("status", text("The HTTP status, as text.", "409"))
        .property("scimType", text("What kind of mistake it is (RFC 7644, table 9).", "uniqueness"))
        .property("detail", text("What happened; for people.", "an address of the request is in use already"))
        .required("schemas").required("status").required("detail");
    /// A user of RFC 7643 §4.1, as a client gives it.
    ScimUser = user("A user (RFC 7643 §4.1). `/Schemas` lists all attributes; others are ignored.").required("userName");
    /// A user as the server shows it.
    ScimShownUser = user("A user (RFC 7643 §4.1), with the attributes that were asked for; `/Schemas` lists all.")
        .property("id", text("The user's id.", "usr_019a2f3c5d7e7abc8def0123456789ab"))
        .required("schemas").required("id");
    /// A group of RFC 7643 §4.2, as a client gives it.
    ScimGroup = group("A group (RFC 7643 §4.2). `/Schemas` lists all attributes; others are ignored.").required("displayName");
    /// A group as the server shows it.
    ScimShownGroup = group("A group (RFC 7643 §4.2), with the attributes that were asked for.")
        .property("id", text("The group's id.", "grp_019a2f3c5d7e7abc8def0123456789ab"))
        .required("schemas").required("id");
    /// A PATCH of RFC 7644 §3.5.2.
    ScimPatch = object("Changes of a resource (RFC 7644 §3.5.2): all of them are made, or none.")
        .property("schemas", texts("The URN of a PATCH.", scim::patch::PATCH_OP_URN))
        .property("Operations", ArrayBuilder::new().description(Some("The changes, in order.")).min_items(Some(1))
            .max_items(Some(scim::patch::MAX_OPERATIONS)).items(operation()))
        .required("schemas").required("Operations")
        .examples([json!({
            "schemas": [scim::patch::PATCH_OP_URN],
            "Operations": [{"op": "Replace", "path": "active", "value": false}],
        })]);
    /// A list of RFC 7644 §3.4.2.
    ScimList = object("Part of a list (RFC 7644 §3.4.2).")
        .property("schemas", texts("The URN of a list.", scim::message::LIST_RESPONSE_URN))
        .property("totalResults", of(Type::Integer, "How many match in all.", json!(1)))
        .property("startIndex", of(Type::Integer, "The index of the first that is shown, from 1.", json!(1)))
        .property("itemsPerPage", of(Type::Integer, "How many are shown.", json!(1)))
        .property("Resources", ArrayBuilder::new().description(Some("Those that are shown.")).items(object("A resource.")))
        .required("schemas").required("totalResults").required("startIndex").required("itemsPerPage")
        .required("Resources");
    /// A document of RFC 7643 §5 to §7.
    ScimDocument = object("What the server says of itself (RFC 7643 §5 to §7).")
        .property("schemas", texts("The URN of the document's schema.", scim::discovery::SCHEMA_URN))
        .required("schemas");
}

fn object(description: &str) -> ObjectBuilder {
    let other = AdditionalProperties::FreeForm(true);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(description))
        .additional_properties(Some(other))
}

fn user(description: &str) -> ObjectBuilder {
    object(description)
        .property("schemas", texts("The URNs of the resource's schemas.", scim::schema::USER_URN))
        .property("userName", text("The primary address, in a domain of the tenant.", "ada@bakery.example"))
        .property("externalId", text("The id in the directory.", "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"))
        .property("displayName", text("The name as others see it.", "Ada Lovelace"))
        .property(
            "active",
            of(Type::Boolean, "Whether the user may sign in. Mail arrives either way.", json!(true)),
        )
        .examples([json!({
            "schemas": [scim::schema::USER_URN],
            "id": "usr_019a2f3c5d7e7abc8def0123456789ab",
            "userName": "ada@bakery.example",
            "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
            "displayName": "Ada Lovelace",
            "name": {"givenName": "Ada", "familyName": "Lovelace"},
            "emails": [{"value": "ada@bakery.example", "type": "work", "primary": true}],
            "active": true,
        })])
}

fn group(description: &str) -> ObjectBuilder {
    let member = object("A user or group of the tenant.")
        .property("value", text("Its id.", "usr_019a2f3c5d7e7abc8def0123456789ab"));
    object(description)
        .property("schemas", texts("The URNs of the resource's schemas.", scim::schema::GROUP_URN))
        .property("displayName", text("The group's name.", "Sales"))
        .property("externalId", text("The id in the directory.", "8f2c6b1e-4f4a-4b7e-9a3c-2d1e0f9b8a77"))
        .property("members", ArrayBuilder::new().description(Some("Who is in it.")).items(member))
        .examples([json!({
            "schemas": [scim::schema::GROUP_URN],
            "id": "grp_019a2f3c5d7e7abc8def0123456789ab",
            "displayName": "Sales",
            "externalId": "8f2c6b1e-4f4a-4b7e-9a3c-2d1e0f9b8a77",
            "members": [{"value": "usr_019a2f3c5d7e7abc8def0123456789ab", "type": "User"}],
        })])
}

fn operation() -> Object {
    object("One change.")
        .property("op", text("`add`, `replace` or `remove`, in any case.", "replace"))
        .property(
            "path",
            text("What to change (RFC 7644 §3.5.2); absent: the attributes of `value`.", "active"),
        )
        .required("op")
        .build()
}

fn of(kind: Type, description: &str, example: serde_json::Value) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(kind))
        .description(Some(description))
        .examples([example])
        .build()
}

fn text(description: &str, example: &str) -> Object {
    of(Type::String, description, json!(example))
}

fn texts(description: &str, example: &str) -> ArrayBuilder {
    ArrayBuilder::new().description(Some(description)).items(text("A URN.", example))
}
