//! What the server says about itself. RFC 7643 §5, §6, §7; RFC 7644 §4.
//!
//! Each document has a `meta.location` under the base URL, which has no slash at its end.

use serde_json::{Value, json};

use crate::schema::{
    Attribute, GROUP, Kind, MAILBOX, MAILBOX_URN, Mutability, Returned, Schema, USER, Uniqueness, by_urn,
};

/// The URN of the server's configuration.
pub const SERVICE_PROVIDER_CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
/// The URN of a resource type.
pub const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// The URN of a schema.
pub const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
/// The most resources in one page.
pub const MAX_RESULTS: u64 = 200;

/// What depends on who serves these values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Whether a client may set `password`.
    pub change_password: bool,
    /// Whether `meta.version` and `If-Match` work.
    pub etag: bool,
    /// The most resources in a filtered page.
    pub max_results: u64,
}

impl Default for Features {
    fn default() -> Self {
        Self { change_password: false, etag: true, max_results: MAX_RESULTS }
    }
}

/// The document of `/ServiceProviderConfig`.
#[must_use]
pub fn service_provider_config(base_url: &str, features: Features) -> Value {
    json!({
        "schemas": [SERVICE_PROVIDER_CONFIG_URN],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": features.max_results},
        "changePassword": {"supported": features.change_password},
        "sort": {"supported": false},
        "etag": {"supported": features.etag},
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "OAuth Bearer Token",
            "description": "A token of the tenant, sent as a bearer token",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base_url}/ServiceProviderConfig"),
        },
    })
}

/// The documents of `/ResourceTypes`.
#[must_use]
pub fn resource_types(base_url: &str) -> Vec<Value> {
    vec![
        resource_type_of(base_url, &USER, "/Users", &[MAILBOX_URN]),
        resource_type_of(base_url, &GROUP, "/Groups", &[]),
    ]
}

/// The resource type with this id.
#[must_use]
pub fn resource_type(base_url: &str, id: &str) -> Option<Value> {
    resource_types(base_url).into_iter().find(|document| document["id"] == id)
}

/// The documents of `/Schemas`.
#[must_use]
pub fn schemas(base_url: &str) -> Vec<Value> {
    [&USER, &GROUP, &MAILBOX].into_iter().map(|schema| schema_of(base_url, schema)).collect()
}

/// The schema with this URN, whatever its case.
#[must_use]
pub fn schema(base_url: &str, urn: &str) -> Option<Value> {
    by_urn(urn).map(|schema| schema_of(base_url, schema))
}

fn resource_type_of(base_url: &str, core: &Schema, endpoint: &str, extensions: &[&str]) -> Value {
    let extensions: Vec<Value> =
        extensions.iter().map(|urn| json!({"schema": urn, "required": false})).collect();
    json!({
        "schemas": [RESOURCE_TYPE_URN],
        "id": core.name,
        "name": core.name,
        "description": core.description,
        "endpoint": endpoint,
        "schema": core.id,
        "schemaExtensions": extensions,
        "meta": {"resourceType": "ResourceType", "location": format!("{base_url}/ResourceTypes/{}", core.name)},
    })
}

fn schema_of(base_url: &str, schema: &Schema) -> Value {
    json!({
        "schemas": [SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": schema.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "meta": {"resourceType": "Schema", "location": format!("{base_url}/Schemas/{}", schema.id)},
    })
}

/// RFC 7643 §7. Case and uniqueness are said of text alone.
fn attribute(of: &Attribute) -> Value {
    let mut out = json!({
        "name": of.name,
        "type": match of.kind {
            Kind::String => "string",
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::DateTime => "dateTime",
            Kind::Reference => "reference",
            Kind::Complex => "complex",
        },
        "multiValued": of.multi_valued,
        "description": of.description,
        "required": of.required,
        "mutability": match of.mutability {
            Mutability::ReadOnly => "readOnly",
            Mutability::ReadWrite => "readWrite",
            Mutability::Immutable => "immutable",
            Mutability::WriteOnly => "writeOnly",
        },
        "returned": match of.returned {
            Returned::Always => "always",
            Returned::Default => "default",
            Returned::Never => "never",
        },
    });
    if matches!(of.kind, Kind::String | Kind::Reference) {
        out["caseExact"] = json!(of.case_exact);
    }
    if !matches!(of.kind, Kind::Boolean) {
        out["uniqueness"] = json!(match of.uniqueness {
            Uniqueness::None => "none",
            Uniqueness::Server => "server",
        });
    }
    if !of.canonical_values.is_empty() {
        out["canonicalValues"] = json!(of.canonical_values);
    }
    if !of.reference_types.is_empty() {
        out["referenceTypes"] = json!(of.reference_types);
    }
    if !of.sub_attributes.is_empty() {
        out["subAttributes"] = of.sub_attributes.iter().map(attribute).collect();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{GROUP_URN, USER_URN};

    const BASE: &str = "https://pillarbox.test/scim/v2/ten_1";

    #[test]
    fn the_configuration_says_what_is_supported() {
        let config = service_provider_config(BASE, Features::default());
        for (feature, supported) in [
            ("patch", true),
            ("bulk", false),
            ("filter", true),
            ("changePassword", false),
            ("sort", false),
            ("etag", true),
        ] {
            assert_eq!(config[feature]["supported"], supported, "{feature}");
        }
        assert_eq!(config["filter"]["maxResults"], 200);
        assert_eq!(config["authenticationSchemes"][0]["type"], "oauthbearertoken");
        assert_eq!(config["meta"]["location"], format!("{BASE}/ServiceProviderConfig"));
    }

    #[test]
    fn resource_types_point_at_schemas_that_exist() {
        for document in resource_types(BASE) {
            assert!(schema(BASE, document["schema"].as_str().unwrap()).is_some());
            for extension in document["schemaExtensions"].as_array().unwrap() {
                assert!(schema(BASE, extension["schema"].as_str().unwrap()).is_some());
            }
        }
        let user = resource_type(BASE, "User").unwrap();
        assert_eq!(user["endpoint"], "/Users");
        assert_eq!(user["meta"]["location"], format!("{BASE}/ResourceTypes/User"));
        assert_eq!(resource_type(BASE, "Device"), None);
    }

    #[test]
    fn schemas_define_every_attribute_in_full() {
        let found: Vec<_> = schemas(BASE).iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, [USER_URN, GROUP_URN, MAILBOX_URN]);
        for document in schemas(BASE) {
            let mut open: Vec<Value> = document["attributes"].as_array().unwrap().clone();
            while let Some(attribute) = open.pop() {
                for key in
                    ["name", "type", "multiValued", "description", "required", "mutability", "returned"]
                {
                    assert!(attribute.get(key).is_some(), "{key} of {}", attribute["name"]);
                }
                assert_eq!(attribute["type"] == "complex", attribute.get("subAttributes").is_some());
                assert_eq!(attribute["type"] == "reference", attribute.get("referenceTypes").is_some());
                open.extend(attribute["subAttributes"].as_array().cloned().unwrap_or_default());
            }
        }
        let user = schema(BASE, &USER_URN.to_uppercase()).unwrap();
        let password =
            user["attributes"].as_array().unwrap().iter().find(|a| a["name"] == "password").unwrap();
        assert_eq!((&password["mutability"], &password["returned"]), (&json!("writeOnly"), &json!("never")));
        assert_eq!(schema(BASE, "urn:nothing"), None);
    }
}
