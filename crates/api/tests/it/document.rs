use std::collections::BTreeSet;

use serde_json::Value;

/// Every operation of the document: method, path, and what it says.
pub(crate) fn operations() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().iter();
        methods
            .map(|(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

pub(crate) fn is_public(operation: &Value) -> bool {
    operation["security"]
        .as_array()
        .is_some_and(|schemes| schemes.iter().all(|scheme| scheme == &serde_json::json!({})))
}

pub(crate) fn id(operation: &Value) -> &str {
    operation["operationId"].as_str().unwrap()
}

#[test]
fn is_the_same_each_time_and_openapi_3_1() {
    assert_eq!(api::openapi(), api::openapi());
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["security"], serde_json::json!([{"bearer": []}]));
}

/// The media type of all that SCIM says.
const SCIM: &str = "application/scim+json";

/// Whether the path is SCIM's, whose errors are its own (RFC 7644 §3.12).
pub(crate) fn is_scim(path: &str) -> bool {
    path.starts_with("/scim/")
}

/// POSTs that say all in their path.
const BODILESS: &[&str] = &[
    "activate_dkim_key",
    "add_member",
    "create_dkim_key",
    "drop_outgoing",
    "finalize_invoice",
    "pay_invoice",
    "recover_message",
    "release_outgoing",
    "replay_webhook_delivery",
    "restore_tenant",
    "retry_outgoing",
    "rotate_webhook_endpoint_secret",
];

#[test]
fn every_operation_explains_itself() {
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let name = id(&operation).to_owned();
        assert!(ids.insert(name.clone()), "{name} twice");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} has no summary");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name} has no tag");
        let responses = operation["responses"].as_object().unwrap();
        let document: Value = serde_json::from_str(&api::openapi()).unwrap();
        let resolved = |response: &Value| match response["$ref"].as_str() {
            Some(name) => document["components"]["responses"][name.rsplit('/').next().unwrap()].clone(),
            None => response.clone(),
        };
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name} never succeeds");
        for (status, response) in responses {
            let response = resolved(response);
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            // The token endpoint's refusals are RFC 6749's.
            let is_own = name == "create_token" && ["400", "401", "429"].contains(&status.as_str());
            let is_problem = status.as_str() >= "400" && !is_own;
            let error = &response["content"][if is_scim(&path) { SCIM } else { "application/problem+json" }];
            let is_error = error["schema"]["$ref"]
                .as_str()
                .is_some_and(|name| name.ends_with(if is_scim(&path) { "/ScimError" } else { "/Problem" }));
            assert_eq!(is_error, is_problem, "{name} {status}");
            let is_other = response["content"].as_object().is_some_and(|types| !types.contains_key(SCIM));
            assert!(!is_scim(&path) || !is_other, "{name} {status} has another media type");
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let named = |place: &str| {
            let here = parameters.iter().filter(|parameter| parameter["in"] == place);
            here.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let in_path: Vec<_> = path.split(['{', '}']).skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(named("path"), in_path, "{name}");
        if is_public(&operation) {
            continue;
        }
        let action =
            operation["x-required-action"].as_str().unwrap_or_else(|| panic!("{name} names no action"));
        assert!(action.parse::<tenancy::Action>().is_ok(), "{name}: {action}");
        for status in ["401", "403", "500", "503"] {
            assert!(responses.contains_key(status), "{name} lacks {status}");
        }
        assert_eq!(named("header").contains(&"Idempotency-Key".to_owned()), method == "POST", "{name}");
        let has_body =
            matches!(method.as_str(), "POST" | "PUT" | "PATCH") && !BODILESS.contains(&name.as_str());
        assert_eq!(operation["requestBody"].is_object(), has_body, "{name}");
    }
}

#[test]
fn every_schema_that_is_named_is_there() {
    let text = api::openapi();
    let document: Value = serde_json::from_str(&text).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let named: BTreeSet<_> =
        text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for name in &named {
        assert!(schemas.contains_key(*name), "{name} is missing");
    }
    for name in schemas.keys() {
        assert!(named.contains(name.as_str()), "{name} is used nowhere");
    }
}

#[test]
fn what_asks_for_a_version_is_about_something_that_shows_one() {
    let operations = operations();
    let mut asking = 0;
    for (_, path, operation) in &operations {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        if !parameters.iter().any(|parameter| parameter["name"] == "If-Match") {
            continue;
        }
        asking += 1;
        // What is done to a resource has a path below it.
        let above: Vec<&str> =
            std::iter::successors(Some(path.as_str()), |at| at.rsplit_once('/').map(|(above, _)| above))
                .collect();
        let sibling = above
            .iter()
            .find_map(|at| operations.iter().find(|(method, other, _)| method == "GET" && other == at));
        let (_, shown, get) = sibling.unwrap_or_else(|| panic!("{path} is about nothing"));
        let tag = &get["responses"]["200"]["headers"]["ETag"];
        assert!(
            tag["description"].as_str().is_some_and(|text| !text.is_empty()),
            "{shown} shows none for {path}"
        );
    }
    assert!(asking > 50, "{asking}");
}

/// The operations that create what is shown with an `ETag`, and those that show it.
pub(crate) fn created_and_shown() -> Vec<[(String, String, Value); 2]> {
    let operations = operations();
    let shows = |(method, path, get): &(String, String, Value), among: &str| {
        let below = path.strip_prefix(among).and_then(|rest| rest.strip_prefix("/{"));
        let is_one = below.and_then(|rest| rest.strip_suffix('}')).is_some_and(|name| !name.contains('/'));
        method == "GET" && is_one && get["responses"]["200"]["headers"]["ETag"].is_object()
    };
    let creating = operations.iter().filter(|(.., operation)| operation["responses"]["201"].is_object());
    creating
        .filter_map(|one| {
            let shown = operations.iter().find(|other| shows(other, &one.1))?;
            Some([one.clone(), shown.clone()])
        })
        .collect()
}

#[test]
fn what_is_shown_with_a_version_is_created_with_one() {
    let pairs = created_and_shown();
    for [(.., created), _] in &pairs {
        let responses = created["responses"].as_object().unwrap();
        let tagged = responses.iter().filter(|(_, response)| response["headers"]["ETag"].is_object());
        assert_eq!(tagged.map(|(status, _)| status.as_str()).collect::<Vec<_>>(), ["201"], "{}", id(created));
    }
    assert!(pairs.len() >= 12, "{pairs:?}");
}

#[test]
fn a_body_may_be_left_out_of_a_post_that_needs_no_member_and_ends_nothing() {
    let operations = operations();
    let optional =
        operations.iter().filter(|(_, _, operation)| operation["requestBody"]["required"] == false);
    let optional: BTreeSet<_> =
        optional.map(|(method, _, operation)| (method.as_str(), id(operation))).collect();
    let posts = [
        "copy_message",
        "preview_subscription",
        "preview_wholesale_agreement",
        "restore_mailbox",
        "restore_user",
        "resume_tenant",
        "resume_user",
        "suspend_tenant",
        "suspend_user",
        "verify_domain",
    ];
    assert_eq!(optional, BTreeSet::from(posts.map(|id| ("POST", id))));
}
