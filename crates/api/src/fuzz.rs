//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use futures::{FutureExt as _, stream};
use memchr::memmem;
use multer::Multipart;
use secrecy::ExposeSecret as _;
use tenancy::auth::Grant;
use url::form_urlencoded::Serializer;

use crate::form::{between, boundary, told_and_sent};
use crate::routes::token;

/// How long metadata may be here.
const METADATA_BYTES: usize = 64;

/// A request's `Content-Type` in the first line, and its form: what its delimiters part are all of it, whatever they are called, and its
/// message is as it was sent.
pub fn form(bytes: &[u8]) {
    let Some((headers, form)) = headed(bytes, CONTENT_TYPE) else { return };
    let Some(boundary) = boundary(&headers) else { return };
    let parts: Vec<&[u8]> = between(form, &boundary).collect();
    let (delimiter, other) = (format!("\r\n--{boundary}"), "\r\n--another");
    assert!(parts.iter().all(|part| memmem::find(part, delimiter.as_bytes()).is_none()));
    // A form begins with a line, which nothing comes before.
    let whole = parts.join(delimiter.as_bytes());
    let is_opened = form.starts_with(&delimiter.as_bytes()[2..]);
    assert_eq!(if is_opened { &whole[2..] } else { &whole[..] }, form);
    if is_opened && parts.iter().all(|part| memmem::find(part, other.as_bytes()).is_none()) {
        let renamed = parts.join(other.as_bytes());
        assert_eq!(between(&renamed[2..], "another").collect::<Vec<_>>(), parts);
    }

    let sent = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(form))]);
    let read = told_and_sent(Multipart::new(sent, boundary), METADATA_BYTES).now_or_never();
    if let Ok((metadata, message)) = read.expect("all of it is there") {
        assert!(metadata.len() <= METADATA_BYTES && !message.is_empty());
        assert!(memmem::find(form, &metadata).is_some() && memmem::find(form, &message).is_some());
    }
}

/// A token request's `Authorization` in the first line, and its form (RFC 6749): what is offered in it is written into a form and read again as
/// the same.
pub fn token(bytes: &[u8]) {
    let Some((mut headers, form)) = headed(bytes, AUTHORIZATION) else { return };
    if headers.get(AUTHORIZATION).is_some_and(HeaderValue::is_empty) {
        headers.remove(AUTHORIZATION);
    }
    let is_without = headers.is_empty();
    let Some((grants, by_basic)) = token::read(headers, Bytes::copy_from_slice(form)) else { return };
    assert!(!by_basic || !is_without);
    assert!((1..=2).contains(&grants.len()));
    assert!(!by_basic || matches!(&grants[..], [Grant::ClientCredentials { .. }, ..]));
    let again = token::read(HeaderMap::new(), written(&grants).into());
    let (again, by_basic) = again.expect("what was taken is taken again");
    assert!(!by_basic);
    assert_eq!(written(&again), written(&grants));
}

/// The header field of a name whose value is the first line, and what comes after that.
fn headed(bytes: &[u8], name: HeaderName) -> Option<(HeaderMap, &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let value = HeaderValue::from_bytes(&bytes[..end]).ok()?;
    Some(([(name, value)].into_iter().collect(), &bytes[end + 1..]))
}

/// Grants as a form has them.
fn written(grants: &[Grant]) -> String {
    let mut form = Serializer::new(String::new());
    for (nth, grant) in grants.iter().enumerate() {
        let kind = match grant {
            Grant::ClientCredentials { client_id, client_secret } => {
                form.append_pair("client_id", client_id);
                form.append_pair("client_secret", client_secret.expose_secret());
                "client_credentials"
            }
            Grant::Password { username, password } => {
                form.append_pair("username", username);
                form.append_pair("password", password.expose_secret());
                "password"
            }
            Grant::RefreshToken { refresh_token } => {
                form.append_pair("refresh_token", refresh_token.expose_secret());
                "refresh_token"
            }
        };
        if nth + 1 == grants.len() {
            form.append_pair("grant_type", kind);
        }
    }
    form.finish()
}

#[cfg(test)]
mod tests {
    use crate::seeds::play;

    #[test]
    fn seeds_hold() {
        play("api_form", super::form);
        play("api_token", super::token);
    }

    #[test]
    fn a_token_request_is_read_as_its_form_and_header_say() {
        let read = |bytes: &str| {
            let (headers, form) = super::headed(bytes.as_bytes(), super::AUTHORIZATION).unwrap();
            let (grants, by_basic) = super::token::read(headers, form.to_vec().into())?;
            Some((super::written(&grants), by_basic))
        };
        let credentials = "client_id=key_1&client_secret=s%25c&grant_type=client_credentials".to_owned();
        assert_eq!(read("Basic a2V5XzE6cyUyNWM=\ngrant_type=client_credentials"), Some((credentials, true)));
        assert_eq!(read("Basic a2V5XzE6cw==\ngrant_type=client_credentials&client_secret=s"), None);
        assert_eq!(read("Bearer x\ngrant_type=password&username=a&password=b"), None);
        assert_eq!(read("Basic a2V5XzE6cw==\ngrant_type=password&username=a&username=b&password=c"), None);
    }
}
