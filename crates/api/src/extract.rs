//! What handlers take apart requests with. Whatever is wrong becomes a [`Problem`].

use axum::RequestExt as _;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use kernel::TenantId;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use tenancy::{Caller, Origin};

use crate::Api;
use crate::problem::Problem;
use crate::strict::Strict;
use crate::word::{listed, must_be};

/// The caller behind `Authorization: Bearer`.
#[derive(Debug)]
pub(crate) struct Bearer(pub(crate) Caller);

impl FromRequestParts<Api> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(Self(caller.clone()));
        }
        let token = bearer_token(&parts.headers)
            .ok_or_else(|| Problem::unauthenticated("a bearer token is needed"))?;
        let (token, origin) = (token.to_owned(), origin(&parts.extensions, api));
        let tenant_id = tenant_read_of(parts).await;
        let caller =
            api.auth.bearer_towards(&token, origin, tenant_id).await.map_err(|error| match error {
                tenancy::Error::Unauthenticated => {
                    let challenge =
                        HeaderValue::from_static("Bearer realm=\"pillarbox\", error=\"invalid_token\"");
                    let detail = "the bearer token is wrong, expired or revoked";
                    Problem::unauthenticated(detail).with_header(WWW_AUTHENTICATE, challenge)
                }
                error => error.into(),
            })?;
        parts.extensions.insert(caller.clone());
        Ok(Self(caller))
    }
}

/// The tenant that a request's path names, if the request only reads: it has no body to wait for, and so enters the tenant
/// at once.
async fn tenant_read_of(parts: &mut Parts) -> Option<TenantId> {
    if !parts.method.is_safe() {
        return None;
    }
    let named = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    named.iter().find(|(name, _)| *name == "tenant_id").and_then(|(_, id)| id.parse().ok())
}

/// Where a request comes from, as the outermost layer found out.
pub(crate) fn origin(extensions: &Extensions, api: &Api) -> Origin {
    extensions.get::<Origin>().copied().unwrap_or_else(|| Origin::local(api.auth.db().env().new_id()))
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    // RFC 9110 §11.1: the scheme's name has no case.
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The ids in the path. A malformed one names nothing, so it is answered like one that never existed.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(ids)| Self(ids)).map_err(|_| Problem::not_found())
    }
}

/// The query's parameters; unknown ones are refused by the type's own `deny_unknown_fields`.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parameters(parts)?).map(Self)
    }
}

/// The query's parameters by their names.
pub(crate) fn parameters(parts: &Parts) -> Result<serde_json::Map<String, serde_json::Value>, Problem> {
    let mut fields = serde_json::Map::new();
    for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        if fields.insert(name.clone().into_owned(), value.into_owned().into()).is_some() {
            return Err(Problem::parameter(&name, "is given twice"));
        }
    }
    Ok(fields)
}

/// What parameters say.
pub(crate) fn read<T: DeserializeOwned>(
    parameters: serde_json::Map<String, serde_json::Value>,
) -> Result<T, Problem> {
    read_beside(&[], parameters)
}

/// What parameters say, which are not all that there are: these have been read before.
pub(crate) fn read_beside<T: DeserializeOwned>(
    before: &[&str],
    parameters: serde_json::Map<String, serde_json::Value>,
) -> Result<T, Problem> {
    serde_path_to_error::deserialize(serde_json::Value::Object(parameters)).map_err(|error| {
        let text = error.inner().to_string();
        if let Some(name) = missing(&text) {
            return Problem::parameter(name, "is missing");
        }
        let name = error.path().to_string();
        match known_instead(&text) {
            Some(known) => {
                let all = listed(before.iter().copied().chain(known), "and");
                let takes = if all.is_empty() { "has none" } else { "takes " };
                Problem::parameter(&name, format_args!("is none of this operation's, which {takes}{all}"))
            }
            None => Problem::parameter(&name, in_words(&text)),
        }
    })
}

/// Which member or parameter is missing: that is at no path, and serde's text alone names it.
fn missing(text: &str) -> Option<&str> {
    text.strip_prefix("missing field `")?.strip_suffix('`')
}

/// The names that are known where another stands.
fn known_instead(text: &str) -> Option<impl Iterator<Item = &str>> {
    let rest = text.strip_prefix("unknown field `")?;
    Some(quoted(rest.rsplit_once("`, expected ").map_or("", |(_, known)| known)))
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What JSON bodies may be said to be; a merge patch (RFC 7396) and what SCIM says (RFC 7644 §8.1) besides.
const JSON: [&str; 3] = ["application/json", "application/merge-patch+json", "application/scim+json"];

/// The paths of the POSTs whose body may be left out: none of its members has to be there, and if one was lost on the way, what is done
/// without it can be taken back. What ends something for good is none of them.
pub(crate) const LEFT_OUT: [&str; 10] = [
    "/v1/resellers/{reseller_id}/wholesale-agreement/preview",
    "/v1/tenants/{tenant_id}/domains/{domain_id}/verify",
    "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}/copy",
    "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/restore",
    "/v1/tenants/{tenant_id}/resume",
    "/v1/tenants/{tenant_id}/subscription/preview",
    "/v1/tenants/{tenant_id}/suspend",
    "/v1/tenants/{tenant_id}/users/{user_id}/restore",
    "/v1/tenants/{tenant_id}/users/{user_id}/resume",
    "/v1/tenants/{tenant_id}/users/{user_id}/suspend",
];

/// A JSON body. Where it may be left out ([`LEFT_OUT`]), a request that has none, and does not say of what type it is, is taken to have `{}`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let wanted = || unsupported("application/json, and be there, if only as {}");
        let path = request.extensions().get::<MatchedPath>();
        let may_be_left_out = path.is_some_and(|path| LEFT_OUT.contains(&path.as_str()));
        if may_be_left_out && !request.headers().contains_key(CONTENT_TYPE) {
            let whole = body(request).await?;
            return if whole.is_empty() { parse(b"{}").map(Self) } else { Err(wanted()) };
        }
        let media_type = media_type(request.headers());
        if !media_type.as_deref().is_some_and(|text| JSON.contains(&text)) {
            return Err(wanted());
        }
        let bytes = body(request).await?;
        if bytes.trim_ascii().is_empty() {
            let detail = "there is no body; it has to be JSON, if only {}";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail));
        }
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse_at(bytes, "")
}

/// JSON that is at this pointer of the body.
pub(crate) fn parse_at<T: DeserializeOwned>(bytes: &[u8], at: &str) -> Result<T, Problem> {
    // First the syntax, so that a broken text is never taken for a mistake in a field.
    let value = serde_json::from_slice::<Unique>(bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed_body", error))?;
    serde_path_to_error::deserialize(Strict(value.0)).map_err(|error| {
        let text = error.inner().to_string();
        let at = format!("{at}{}", pointer(error.path()));
        match missing(&text) {
            Some(name) => Problem::field(format!("{at}/{}", escaped(name)), "is missing"),
            None => Problem::field(at, in_words(&text)),
        }
    })
}

/// What serde says is wrong, without the names of our types.
fn in_words(text: &str) -> String {
    let of_times = [
        "input contains invalid characters",
        "premature end of input",
        "trailing input",
        "input is out of range",
    ];
    if of_times.contains(&text) {
        return "must be a time that exists, such as 2026-02-01T09:00:00Z".into();
    }
    let said = |prefix: &str| text.strip_prefix(prefix)?.rsplit_once(", expected ");
    let wanted = |what: &str| match what {
        "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" => "a whole number".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "string or map" | "map with a single key" => "a string".to_owned(),
        _ if what.starts_with("struct ") || what == "a map" => "an object".to_owned(),
        _ => what.to_owned(),
    };
    match (said("invalid type: "), said("invalid value: "), said("unknown variant ")) {
        (_, Some((found, what)), _) if wanted(what) == "a whole number" => {
            format!("is out of range: {}", as_json(found))
        }
        (Some((found, what)), ..) | (_, Some((found, what)), _) => {
            format!("must be {}, and is {}", wanted(what), as_json(found))
        }
        (.., Some((_, words))) => must_be(quoted(words)),
        _ => text.to_owned(),
    }
}

/// What was found instead, as JSON calls it.
fn as_json(found: &str) -> &str {
    let value = |kind: &str| found.strip_prefix(kind)?.strip_suffix('`');
    match found {
        "sequence" => "an array",
        "map" => "an object",
        "unit value" => "null",
        _ => {
            let number = ["boolean `", "integer `", "floating point `"].into_iter().find_map(value);
            number.or_else(|| found.strip_prefix("string ")).unwrap_or(found)
        }
    }
}

/// A JSON value whose objects name each member once (RFC 8259 §4 leaves it open what a second one means).
struct Unique(serde_json::Value);

impl<'de> serde::Deserialize<'de> for Unique {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> serde::de::Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, Unique(value))) = map.next_entry::<String, Unique>()? {
            if object.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format_args!("the member {name:?} is given twice")));
            }
        }
        Ok(Unique(object.into()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            array.push(value);
        }
        Ok(Unique(array.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Unique, E> {
        Ok(Unique(text.into()))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(serde_json::Value::Null))
    }
}

/// An RFC 6901 pointer to the place of a mistake.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segments = path.iter().map(|segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } | Segment::Enum { variant: key } => format!("/{}", escaped(key)),
        Segment::Unknown => String::new(),
    });
    segments.collect()
}

/// A member's name in a pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The whole body, within the route's limit.
pub(crate) async fn body(request: Request) -> Result<Bytes, Problem> {
    request.extract::<Bytes, _>().await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is longer than is taken here",
        ),
        _ => Problem::new(StatusCode::BAD_REQUEST, "malformed_body", "the body did not arrive whole"),
    })
}

pub(crate) fn unsupported(wanted: &str) -> Problem {
    let detail = format_args!("the body has to be {wanted}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    Some(media_type_of(headers.get(CONTENT_TYPE)?.to_str().ok()?))
}

/// A header field's value without its parameters, in lower case.
pub(crate) fn media_type_of(value: &str) -> String {
    value.split_once(';').map_or(value, |(text, _)| text).trim().to_ascii_lowercase()
}

/// For a field of a merge patch (RFC 7396): `None` when it is absent, `Some(None)` when it is null.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// For a field that may be absent, but not null.
pub(crate) fn not_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        #[expect(dead_code, reason = "only whether it parses is of interest")]
        list: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only whether it parses is of interest")]
        size: i32,
    }

    fn fault(text: &str) -> String {
        let problem = parse::<Outer>(text.as_bytes()).unwrap_err();
        format!("{problem:?}")
    }

    #[test]
    fn mistakes_are_pointed_at() {
        let pointers = [
            (r#"{"list": [{"size": 1}, {"size": "2"}]}"#, "/list/1/size"),
            (r#"{"list": [{"size": 3000000000}]}"#, "/list/0/size"),
            (r#"{"list": [{"size": 1, "a/b~": 2}]}"#, "/list/0/a~1b~0"),
            (r#"{"lists": []}"#, "/lists"),
            (r#"{"list": [{}]}"#, "/list/0/size"),
            ("7", ""),
        ];
        for (text, expected) in pointers {
            let fault = fault(text);
            assert!(fault.contains(&format!("pointer: Some({expected:?})")), "{text}: {fault}");
        }
    }

    #[test]
    fn mistakes_are_told_without_the_names_of_types() {
        let words = [
            ("invalid type: null, expected struct CapsPatch", "must be an object, and is null"),
            ("invalid type: null, expected a sequence", "must be an array, and is null"),
            ("invalid type: floating point `1.5`, expected i64", "must be a whole number, and is 1.5"),
            ("invalid type: sequence, expected a map", "must be an object, and is an array"),
            ("invalid type: boolean `true`, expected a string", "must be a string, and is true"),
            (
                "invalid type: string \"a, expected b\", expected u8",
                "must be a whole number, and is \"a, expected b\"",
            ),
            ("invalid value: integer `999999`, expected i16", "is out of range: 999999"),
            ("unknown variant `foo`, expected `a`", "must be a"),
            ("unknown variant `foo`, expected `a` or `b`", "must be a or b"),
            ("unknown variant `foo`, expected one of `a`, `b`, `c`", "must be a, b or c"),
            ("unknown field `x`, expected `y`", "unknown field `x`, expected `y`"),
        ];
        for (text, expected) in words {
            assert_eq!(in_words(text), expected);
        }
        let day = serde_json::from_str::<chrono::DateTime<chrono::Utc>>("\"tomorrow\"").unwrap_err();
        let said = day.to_string();
        let said = said.split(" at line").next().unwrap();
        assert_eq!(in_words(said), "must be a time that exists, such as 2026-02-01T09:00:00Z");
    }

    #[test]
    fn a_parameter_that_is_not_known_is_told_which_are() {
        let told = |before: &[&str]| {
            let asked = [("colour".to_owned(), "red".into())].into_iter().collect();
            format!("{:?}", read_beside::<Outer>(before, asked).unwrap_err())
        };
        assert!(told(&["limit", "cursor"]).contains("which takes limit, cursor and list"), "{}", told(&[]));
        assert!(told(&[]).contains("parameter: Some(\"colour\")"), "{}", told(&[]));
        let none: Vec<&str> = known_instead("unknown field `x`, there are no fields").unwrap().collect();
        assert!(none.is_empty());
    }

    #[test]
    fn broken_texts_and_repeated_members_are_malformed() {
        for text in ["", "{", r#"{"list": []} x"#, r#"{"list": [], "list": []}"#, "{\"a\": \"\u{1}\"}"] {
            assert!(fault(text).contains("malformed_body"), "{text}: {}", fault(text));
        }
        assert!(fault(&"[".repeat(100_000)).contains("malformed_body"));
    }
}
