use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ScimType;

fn parse(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn user() -> Value {
    json!({
        "schemas": [crate::schema::USER_URN],
        "id": "2819C223-7f76",
        "externalId": "Ext-1",
        "userName": "BJensen@Example.com",
        "name": {"familyName": "O'Malley", "givenName": "Barbara"},
        "title": "Tour Guide",
        "active": true,
        "emails": [
            {"value": "bjensen@example.com", "type": "work", "primary": true},
            {"value": "babs@jensen.org", "type": "home"},
        ],
        "meta": {"lastModified": "2011-05-13T04:42:34.5Z"},
        (crate::schema::MAILBOX_URN): {"quotaBytes": 1024, "aliases": ["babs@example.com"], "role": "member"},
    })
}

/// RFC 7644 §3.4.2.2, figure 2, and what our own resource adds.
#[test]
fn filters_match_as_the_rfc_says() {
    let table = [
        (r#"userName Eq "bjensen@example.COM""#, true),
        (r#"name.familyName co "O'Malley""#, true),
        (r#"userName sw "BJ""#, true),
        (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "bj""#, true),
        ("title pr", true),
        ("nickName pr", false),
        ("emails pr", true),
        ("emails.display pr", false),
        (r#"meta.lastModified gt "2011-05-13T04:42:34Z""#, true),
        (r#"meta.lastModified lt "2011-05-13T06:42:34.4+02:00""#, false),
        (r#"meta.lastModified ge "2011-05-13T04:42:34.500Z""#, true),
        (r#"title pr and userType eq "Employee""#, false),
        (r#"title pr or userType eq "Intern""#, true),
        (
            r#"userType ne "Employee" and not (emails co "example.org" or emails.value co "example.net")"#,
            true,
        ),
        (
            r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
            false,
        ),
        (r#"emails[type eq "work" and value co "@example.com"]"#, true),
        (r#"emails[type eq "home" and value co "@example.com"]"#, false),
        (r#"emails.type eq "home" and emails.value co "@example.com""#, true),
        (r#"emails[type eq "work"].value eq "BJENSEN@example.com""#, true),
        (r#"emails[type eq "home"].value eq "bjensen@example.com""#, false),
        (r#"emails[not (type eq "work")]"#, true),
        (r#"emails[primary eq "True"]"#, true),
        ("emails[primary eq true and value pr]", true),
        (r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User""#, true),
        (r#"id eq "2819C223-7f76""#, true),
        (r#"id eq "2819c223-7f76""#, false),
        (r#"externalId eq "ext-1""#, false),
        (r#"externalid eq "Ext-1""#, true),
        (r#"active eq "True""#, true),
        ("active eq True", true),
        ("active eq false", false),
        ("nickName eq null", true),
        ("title ne null", true),
        (r#"emails ne "babs@jensen.org""#, true),
        ("urn:pillarbox:params:scim:schemas:extension:mailbox:2.0:User:quotaBytes ge 1024", true),
        ("urn:pillarbox:params:scim:schemas:extension:mailbox:2.0:User:quotaBytes lt 1e3", false),
        (
            r#"urn:pillarbox:params:scim:schemas:extension:mailbox:2.0:User:aliases eq "Babs@example.com""#,
            true,
        ),
        (
            r#"URN:pillarbox:params:scim:schemas:extension:mailbox:2.0:user:aliases[value ew "example.com"]"#,
            true,
        ),
        (r#"userName eq "bjensen@\u0435xample.com""#, false),
        (r#"userName eq "bjensen@\uff45xample.com""#, true),
        (r#"emails[type eq "work"].value eq "bjensen@\uff45xample.com""#, true),
        (r#"title eq "a" or title pr and userName pr"#, true),
        (r#"(title eq "a" or title pr) and nickName pr"#, false),
        (r#"name.familyName eq "O\u0027Malley""#, true),
    ];
    for (text, expected) in table {
        assert_eq!(parse(text).matches(&user()), expected, "{text}");
    }
}

#[test]
fn malformed_filters_are_refused() {
    let table = [
        "",
        " ",
        "userName",
        "userName eq",
        "userName eq bjensen",
        r#"userName eq "bjensen"#,
        r#"userName eq 'bjensen'"#,
        r#"userName is "bjensen""#,
        r#"userName eq "a" and"#,
        r#"userName eq "a" xor title pr"#,
        r#"(userName eq "a""#,
        r#"userName eq "a")"#,
        "not userName pr",
        r#"emails[type eq "work""#,
        r#"emails[type eq "work"]."#,
        r#"emails[value[type eq "work"]]"#,
        r#"emails.value[type eq "work"]"#,
        "active gt true",
        "userName co 3",
        "userName gt null",
        "a.b.c pr",
        "1a pr",
        "urn: pr",
        "quota eq 01",
        "quota eq 1e999",
        "üser pr",
    ];
    for text in table {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!(error.scim_type(), ScimType::InvalidFilter, "{text}");
    }
}

#[test]
fn limits_come_first() {
    let nested = |depth: usize| format!("{}a pr{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(MAX_DEPTH)).is_ok());
    assert!(Filter::parse(&nested(MAX_DEPTH + 1)).is_err());
    assert!(Filter::parse(&"not (".repeat(800)).is_err());
    assert!(Filter::parse(&format!(r#"a eq "{}""#, "x".repeat(MAX_LENGTH_BYTES))).is_err());
    assert!(Filter::parse(&vec!["a pr"; 450].join(" and ")).is_ok());
}

#[test]
fn equalities_are_found_for_an_index() {
    let table = [
        (r#"userName eq "x""#, "userName", Some("x")),
        (r#"USERNAME EQ "x""#, "userName", Some("x")),
        (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "x""#, "userName", Some("x")),
        (r#"externalId eq "x" and active eq true"#, "externalId", Some("x")),
        (r#"emails[type eq "work"].value eq "x""#, "emails.value", Some("x")),
        (r#"emails[type eq "work" and value eq "x"]"#, "emails.value", Some("x")),
        (r#"emails.value eq "x""#, "emails.value", Some("x")),
        (r#"emails eq "x""#, "emails.value", Some("x")),
        (r#"displayName eq "x""#, "displayName", Some("x")),
        (r#"id eq "x" and members eq "y""#, "members.value", Some("y")),
        (r#"id eq "x" and (members.value eq "y" and active eq true)"#, "members.value", Some("y")),
        (r#"members[value eq "x"]"#, "members.value", Some("x")),
        (r#"userName eq "x" or userName eq "y""#, "userName", None),
        (r#"not (userName eq "x")"#, "userName", None),
        (r#"userName sw "x""#, "userName", None),
        (r#"emails.type eq "x""#, "emails.value", None),
        (r#"emails[value eq "x" or type eq "work"]"#, "emails.value", None),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:userName eq "x""#, "userName", None),
    ];
    for (text, path, expected) in table {
        assert_eq!(parse(text).equality(path), expected, "{text}");
    }
}

#[test]
fn groups_are_kept() {
    for text in [
        r#"(a pr and b pr) and c pr"#,
        "a pr or b pr and c pr",
        "(a pr or b pr) and not (c pr)",
        r#"emails[(a pr or b pr) and value eq "x"]"#,
        r#"a eq -1.5e-10"#,
    ] {
        let filter = parse(text);
        assert_eq!(parse(&filter.to_string()), filter, "{text}");
    }
}

fn path() -> impl Strategy<Value = AttrPath> {
    let urn = prop_oneof![
        Just(None),
        Just(Some(crate::schema::USER_URN.to_owned())),
        Just(Some(crate::schema::MAILBOX_URN.to_owned())),
    ];
    (urn, "[a-zA-Z][a-zA-Z0-9_-]{0,8}", proptest::option::of("[$]?[a-zA-Z][a-z]{0,5}"))
        .prop_map(|(schema, name, sub)| AttrPath { schema, name, sub })
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(|n| Literal::Number(n.into())),
        any::<u64>().prop_map(|n| Literal::Number(n.into())),
        any::<f64>().prop_filter_map("finite", |n| Number::from_f64(n).map(Literal::Number)),
        any::<String>().prop_map(Literal::String),
    ]
}

fn leaf() -> impl Strategy<Value = Filter> {
    let op = proptest::sample::select(CompareOp::ALL.to_vec());
    prop_oneof![
        path().prop_map(Filter::Present),
        (path(), op, literal()).prop_map(|(path, op, value)| {
            let op = if op.suits(&value) { op } else { CompareOp::Eq };
            Filter::Compare { path, op, value }
        }),
    ]
}

fn tree(leaf: impl Strategy<Value = Filter> + 'static) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|f| Filter::Not(Box::new(f))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            proptest::collection::vec(inner, 2..4).prop_map(Filter::Or),
        ]
    })
    .boxed()
}

fn filter() -> BoxedStrategy<Filter> {
    let value_path = (path(), tree(leaf())).prop_map(|(path, inner)| Filter::ValuePath {
        path: AttrPath { sub: None, ..path },
        filter: Box::new(inner),
    });
    tree(prop_oneof![3 => leaf(), 1 => value_path])
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(filter in filter()) {
        let text = filter.to_string();
        prop_assume!(text.len() <= MAX_LENGTH_BYTES);
        prop_assert_eq!(Filter::parse(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = Filter::parse(&text).map(|filter| filter.matches(&user()));
    }

    #[test]
    fn no_text_of_the_language_panics(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "userName", "emails", "[", "]", "(", ")", "not", "and", "or", "eq", "pr", "co", "\"x\"", "\"", ".value",
                "true", "1", " ", "\\", "urn:a:b", "é",
            ]),
            0..24,
        ),
        separator in proptest::sample::select(vec!["", " "]),
    ) {
        let text = words.join(separator);
        if let Ok(filter) = Filter::parse(&text) {
            let _ = filter.matches(&user());
            let _ = filter.equality("emails.value");
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
    }
}
