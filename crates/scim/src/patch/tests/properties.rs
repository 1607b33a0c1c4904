use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    let words = ["usr_1", "a@example.com", "True", "false", "", "work", USER_URN];
    proptest::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = String> {
    let keys = [
        "id",
        "schemas",
        "userName",
        "name",
        "name.givenName",
        "active",
        "emails",
        "value",
        "type",
        "primary",
        "members",
        "displayName",
        "aliases",
        "$ref",
        "unknown",
        "unknown.sub",
        "EMAILS",
    ];
    prop_oneof![
        proptest::sample::select(keys.to_vec()).prop_map(str::to_owned),
        Just(MAILBOX_URN.to_owned()),
        Just(format!("{MAILBOX_URN}:aliases")),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    let filters = [
        "",
        "",
        "[type eq \"work\"]",
        "[value eq \"usr_1\"]",
        "[primary eq true]",
        "[not (value pr)]",
        "[value sw \"u\"]",
        "[value pr or type pr]",
    ];
    let subs = ["", "", ".value", ".primary", ".type", ".display", ".other"];
    (key(), proptest::sample::select(filters.to_vec()), proptest::sample::select(subs.to_vec()))
        .prop_map(|(key, filter, sub)| format!("{key}{filter}{sub}"))
}

fn operation() -> impl Strategy<Value = Value> {
    let op = proptest::sample::select(vec!["add", "Replace", "REMOVE"]);
    (op, proptest::option::weighted(0.8, path()), proptest::option::weighted(0.8, json_value())).prop_map(
        |(op, path, value)| {
            let mut operation = json!({"op": op});
            if let Some(path) = path {
                operation["path"] = json!(path);
            }
            if let Some(value) = value {
                operation["value"] = value;
            }
            operation
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1024)))]

    #[test]
    fn no_operation_panics_and_a_refused_one_changes_nothing(
        start in prop_oneof![Just(user()), Just(group()), json_value()],
        operations in proptest::collection::vec(operation(), 1..5),
    ) {
        if let Ok(operations) = parse(&body(&json!(operations))) {
            let mut resource = start.clone();
            match apply(&mut resource, &operations) {
                Err(_) => prop_assert_eq!(resource, start),
                Ok(()) => {
                    let _ = crate::User::read(&resource);
                    let _ = crate::Group::read(&resource);
                    prop_assert_eq!(resource.get("id"), start.get("id"));
                }
            }
        }
    }

    #[test]
    fn no_body_panics(body in json_value()) {
        let _ = parse(&body);
        let _ = parse(&json!({"schemas": [PATCH_OP_URN], "Operations": body}));
        let _ = crate::User::read(&body);
    }

    #[test]
    fn no_path_panics(text in any::<String>(), inside in any::<String>()) {
        let _ = Target::parse(&text);
        let _ = Target::parse(&format!("emails[{inside}].value"));
    }

    #[test]
    fn adding_twice_is_adding_once(ids in proptest::collection::vec("usr_[0-9]", 0..6)) {
        let values: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
        let add = json!([{"op": "add", "path": "members", "value": values}]);
        let once = patched(group(), add.clone()).unwrap();
        prop_assert_eq!(patched(once.clone(), add), Ok(once));
    }
}
