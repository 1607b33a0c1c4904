//! A message to take in: alone, or in a form (`multipart/form-data`, RFC 7578) behind what there is to say of it.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use futures::{FutureExt as _, stream};
use memchr::memmem::Finder;
use multer::{Field, Multipart};
use serde::de::DeserializeOwned;

use crate::Api;
use crate::extract::{body, media_type_of, parse_at, unsupported};
use crate::problem::Problem;
use crate::routes::Turn;

/// The parts of the form, in their order, and what each is.
const METADATA: (&str, &str) = ("metadata", "application/json");
const MESSAGE: (&str, &str) = ("message", "message/rfc822");

/// How much longer a form may be than its two parts, by its delimiters and their header fields.
pub(crate) const FRAME_BYTES: usize = 16 << 10;

/// A message, and what the form says of it, if it came in one.
#[derive(Debug)]
pub(crate) struct Upload<T> {
    pub(crate) metadata: Option<T>,
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Api> for Upload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let content_type = content_type(request.headers()).unwrap_or_default().to_owned();
        match media_type_of(&content_type).as_str() {
            "message/rfc822" => {
                let bytes = body(request).await?;
                if bytes.is_empty() {
                    return Err(Problem::field("", "the message is empty"));
                }
                Ok(Self { metadata: None, bytes: fitting(bytes, api)? })
            }
            "multipart/form-data" => {
                let boundary = multer::parse_boundary(&content_type).map_err(malformed)?;
                let turn: Option<Turn> = request.extensions().get().cloned();
                let bytes = body(request).await?;
                let metadata_limit = api.limits.body_bytes;
                // Looking through 50 MiB would hold up every other request of an async thread.
                let split = move || {
                    // Whoever waits for it may go away, and it is in memory until it is done.
                    let _turn = turn;
                    let form = Multipart::new(stream::iter([Ok::<_, Infallible>(bytes)]), boundary);
                    told_and_sent(form, metadata_limit).now_or_never()
                };
                let split = tokio::task::spawn_blocking(split).await.map_err(Problem::internal)?;
                // All of it is there, so it waits for nothing.
                let (metadata, bytes) =
                    split.ok_or_else(|| Problem::internal("a form in memory was waited for"))??;
                let bytes = fitting(bytes, api)?;
                Ok(Self { metadata: Some(parse_at(&metadata, "/metadata")?), bytes })
            }
            _ => Err(unsupported("message/rfc822, or multipart/form-data with metadata and message")),
        }
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}

/// The message, unless it is longer than is taken; the route's limit has room for a form around it.
fn fitting(message: Bytes, api: &Api) -> Result<Bytes, Problem> {
    let (size_bytes, limit_bytes) = (message.len() as u64, api.limits.message_bytes as u64);
    if size_bytes > limit_bytes {
        return Err(mailstore::Error::TooLarge { size_bytes, limit_bytes }.into());
    }
    Ok(message)
}

/// What delimits the parts of a request's body, if that is a form.
pub(crate) fn boundary(headers: &HeaderMap) -> Option<String> {
    multer::parse_boundary(content_type(headers)?).ok()
}

/// What lies before, between and after a form's delimiters (RFC 2046 §5.1.1): the same whatever they are. What only looks like one, because no
/// line begins with it, stays.
pub(crate) fn between<'a>(form: &'a [u8], boundary: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = Finder::new(&delimiter).into_owned();
    // A form begins with a line of its own, which nothing comes before.
    let opened = form.strip_prefix(&delimiter.as_bytes()[2..]);
    let before = opened.map(|_| &form[..0]);
    let mut rest = Some(opened.unwrap_or(form));
    before.into_iter().chain(std::iter::from_fn(move || {
        let text = rest?;
        let found = finder.find(text);
        rest = found.map(|at| &text[at + delimiter.len()..]);
        Some(&text[..found.unwrap_or(text.len())])
    }))
}

fn malformed(error: multer::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_body", error.to_string())
}

/// The metadata and the message, of a form that has these two.
pub(crate) async fn told_and_sent(
    mut form: Multipart<'static>,
    metadata_limit: usize,
) -> Result<(Bytes, Bytes), Problem> {
    let metadata = expected(&mut form, METADATA).await?;
    if metadata.len() > metadata_limit {
        let detail = "the metadata is longer than is taken here";
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    let message = expected(&mut form, MESSAGE).await?;
    if let Some(more) = form.next_field().await.map_err(malformed)? {
        return Err(Problem::field(pointer(&more), "is one part too many"));
    }
    if message.is_empty() {
        return Err(Problem::field("/message", "is empty"));
    }
    Ok((metadata, message))
}

/// The bytes of the part whose turn it is.
async fn expected(form: &mut Multipart<'static>, (name, media_type): (&str, &str)) -> Result<Bytes, Problem> {
    let wanted = format!("/{name}");
    let Some(part) = form.next_field().await.map_err(malformed)? else {
        return Err(Problem::field(wanted, "is missing"));
    };
    if part.name() != Some(name) {
        if name == METADATA.0 && part.name() == Some(MESSAGE.0) {
            return Err(Problem::field(wanted, "must come before the message"));
        }
        return Err(Problem::field(pointer(&part), format_args!("is where {name} has to be")));
    }
    if part.content_type().map(|is| is.essence_str()) != Some(media_type) {
        return Err(Problem::field(wanted, format_args!("must be {media_type}")));
    }
    whole(part).await
}

/// A part's bytes: in one piece, and so without a copy, when the form came in one.
async fn whole(mut part: Field<'static>) -> Result<Bytes, Problem> {
    let mut whole = part.chunk().await.map_err(malformed)?.unwrap_or_default();
    while let Some(more) = part.chunk().await.map_err(malformed)? {
        whole = [&whole[..], &more[..]].concat().into();
    }
    Ok(whole)
}

/// An RFC 6901 pointer to a part.
fn pointer(part: &Field<'static>) -> String {
    format!("/{}", part.name().unwrap_or_default().replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_differ_by_what_they_say_and_not_by_their_boundaries() {
        let of = |form: &str, boundary: &str| -> Vec<String> {
            between(form.as_bytes(), boundary)
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .collect()
        };
        let one = of("--a\r\n\r\nx\r\n--a\r\n\r\ny\r\n--a--\r\n", "a");
        assert_eq!(one, ["", "\r\n\r\nx", "\r\n\r\ny", "--\r\n"]);
        assert_eq!(of("--bcd\r\n\r\nx\r\n--bcd\r\n\r\ny\r\n--bcd--\r\n", "bcd"), one);
        for (form, boundary) in [
            ("--a\r\n\r\nx\r\n--a\r\n\r\nz\r\n--a--\r\n", "a"),
            ("--a\r\n\r\nx\r\n--b\r\n\r\ny\r\n--a--\r\n", "a"),
            ("\r\n\r\nx\r\n--a\r\n\r\ny\r\n--a--\r\n", "a"),
            ("--a\r\n\r\nx\r\n--a\r\n\r\ny", "a"),
            ("", "a"),
        ] {
            assert_ne!(of(form, boundary), one, "{form}");
        }
        assert_ne!(of("--a\r\nx --a\r\n--a--", "a"), of("--b\r\nx --b\r\n--b--", "b"));
    }
}
