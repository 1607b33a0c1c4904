//! A message to take in: alone, or in a form (`multipart/form-data`, RFC 7578) behind what there is to say of it.
//!
//! The form's parts are slices of the body, which is in memory anyhow: a message of 50 MiB is not there twice.

use std::ops::Range;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use memchr::memmem;
use serde::de::DeserializeOwned;

use crate::Api;
use crate::extract::{body, media_type_of, parse_at, unsupported};
use crate::problem::Problem;

/// The parts of the form, in their order, and what each is.
const METADATA: (&str, &str) = ("metadata", "application/json");
const MESSAGE: (&str, &str) = ("message", "message/rfc822");

/// One more than the form has, which is enough to refuse it.
const MAX_PARTS: usize = 3;

/// The longest header of a part.
const MAX_HEADER_BYTES: usize = 8 << 10;

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
                Ok(Self { metadata: None, bytes })
            }
            "multipart/form-data" => {
                let boundary = parameter(&content_type, "boundary").filter(|text| is_boundary(text));
                let boundary = boundary.ok_or_else(|| malformed("the form's boundary is missing"))?;
                let bytes = body(request).await?;
                let (metadata, bytes) = told_and_sent(parts(&bytes, &boundary)?, api.limits.body_bytes)?;
                Ok(Self { metadata: Some(parse_at(&metadata, "/metadata")?), bytes })
            }
            _ => Err(unsupported("message/rfc822, or multipart/form-data with metadata and message")),
        }
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}

fn malformed(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail)
}

/// The metadata and the message, of a form that has these two.
fn told_and_sent(parts: Vec<Part>, metadata_limit: usize) -> Result<(Bytes, Bytes), Problem> {
    let mut parts = parts.into_iter();
    let metadata = expected(parts.next(), METADATA)?;
    if metadata.len() > metadata_limit {
        let detail = "the metadata is longer than is taken here";
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    let message = expected(parts.next(), MESSAGE)?;
    if let Some(more) = parts.next() {
        return Err(Problem::field(more.pointer(), "is one part too many"));
    }
    if message.is_empty() {
        return Err(Problem::field("/message", "is empty"));
    }
    Ok((metadata, message))
}

/// The bytes of the part whose turn it is.
fn expected(part: Option<Part>, (name, media_type): (&str, &str)) -> Result<Bytes, Problem> {
    let pointer = format!("/{name}");
    match part {
        None => Err(Problem::field(pointer, "is missing")),
        Some(part) if part.name == name => match part.media_type == media_type {
            true => Ok(part.bytes),
            false => Err(Problem::field(pointer, format_args!("must be {media_type}"))),
        },
        Some(part) if name == METADATA.0 && part.name == MESSAGE.0 => {
            Err(Problem::field(pointer, "must come before the message"))
        }
        Some(part) => Err(Problem::field(part.pointer(), format_args!("is where {name} has to be"))),
    }
}

/// A part of a form.
#[derive(Debug)]
struct Part {
    name: String,
    media_type: String,
    bytes: Bytes,
}

impl Part {
    /// An RFC 6901 pointer to it.
    fn pointer(&self) -> String {
        format!("/{}", self.name.replace('~', "~0").replace('/', "~1"))
    }
}

/// The parts of a form in their order (RFC 2046 §5.1.1), [`MAX_PARTS`] at most; it begins with the first and ends with the last.
fn parts(body: &Bytes, boundary: &str) -> Result<Vec<Part>, Problem> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    // The first has no line before it.
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(after) => body.slice_ref(after),
        None => return Err(malformed("the form does not begin with its boundary")),
    };
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = finder.find(part).ok_or_else(|| malformed("a part of the form has no end"))?;
        let (part, after) = (rest.slice_ref(&part[..end]), rest.slice_ref(&part[end + delimiter.len()..]));
        parts.push(read_part(&part)?);
        if parts.len() == MAX_PARTS {
            return Ok(parts);
        }
        rest = after;
    }
    match &rest[..] {
        b"--" | b"--\r\n" => Ok(parts),
        _ => Err(malformed("the form does not end with its boundary")),
    }
}

fn read_part(part: &Bytes) -> Result<Part, Problem> {
    let header =
        header_of(part).ok_or_else(|| malformed("a part of the form has no header, or too long a one"))?;
    let bytes = part.slice(header.end + 4..);
    let header = std::str::from_utf8(&part[header]).map_err(|_| malformed("a part's header is not text"))?;
    let (mut name, mut media_type) = (None, None);
    for line in header.split("\r\n") {
        let (field, value) =
            line.split_once(':').ok_or_else(|| malformed("a part's header has a broken line"))?;
        match field.to_ascii_lowercase().as_str() {
            "content-disposition" if media_type_of(value) == "form-data" => name = parameter(value, "name"),
            "content-type" => media_type = Some(media_type_of(value)),
            _ => {}
        }
    }
    let name = name.ok_or_else(|| malformed("a part of the form has no name"))?;
    // RFC 7578 §4.4.
    Ok(Part { name, media_type: media_type.unwrap_or_else(|| "text/plain".to_owned()), bytes })
}

/// Where a part's header is, without the empty line that ends it.
fn header_of(part: &[u8]) -> Option<Range<usize>> {
    let within = &part[..part.len().min(MAX_HEADER_BYTES)];
    memmem::find(within, b"\r\n\r\n").map(|end| 0..end)
}

/// RFC 2046 §5.1.1.
fn is_boundary(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=70).contains(&text.len()) && text.bytes().all(is_char) && !text.ends_with(' ')
}

/// A parameter of a header field's value: a token, or a text in quotes (RFC 9110 §5.6.6).
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, left) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (token, left) = after.split_at(after.find(';').unwrap_or(after.len()));
                (token.trim().to_owned(), left)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = left.trim_start().strip_prefix(';')?;
    }
}

/// A text up to the quote that ends it, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut read = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((read, &text[at + 1..])),
            '\\' => read.push(chars.next()?.1),
            char => read.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &'static str) -> Result<Vec<(String, String, Bytes)>, Problem> {
        let parts = parts(&Bytes::from_static(body.as_bytes()), "b d")?;
        Ok(parts.into_iter().map(|part| (part.name, part.media_type, part.bytes)).collect())
    }

    #[test]
    fn parts_come_out_as_they_went_in() {
        let form = "--b d\r\nContent-Disposition: form-data; filename=\"a;name=\\\"x\\\"\"; name=\"one\"\r\n\
            CONTENT-TYPE: Application/JSON; charset=utf-8\r\n\r\n{}\r\n--b d\r\ncontent-disposition:form-data;name=two\r\n\r\n\
            \r\n--b\r\n\r\n--b d--\r\n";
        let expected = [("one", "application/json", "{}"), ("two", "text/plain", "\r\n--b\r\n")].map(
            |(name, media_type, bytes)| {
                (name.to_owned(), media_type.to_owned(), Bytes::from_static(bytes.as_bytes()))
            },
        );
        assert_eq!(read(form).unwrap(), expected);
        assert!(read("--b d--").unwrap().is_empty());
        let empty = "--b d\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n--b d--";
        assert_eq!(read(empty).unwrap(), [(String::new(), "text/plain".to_owned(), Bytes::new())]);
    }

    #[test]
    fn what_is_no_form_is_malformed() {
        let named = "--b d\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx";
        let forms = [
            "",
            "x",
            "--b d",
            "--b d\r\n",
            "--b d\r\n\r\nx\r\n--b d--",
            "--b d\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b d--",
            "--b d\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b d--",
            "--b d\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b d--",
            "--b d\r\nname\r\n\r\nx\r\n--b d--",
            "preamble\r\n--b d--",
            "--b d--epilogue",
        ];
        for form in forms {
            assert_eq!(read(form).unwrap_err().code, "malformed_body", "{form:?}");
        }
        for end in ["", "\r\n--b d", "\r\n--b dx--", "\n--b d--", "\r\n--b d--\r\n\r\n"] {
            let form: &'static str = format!("{named}{end}").leak();
            assert_eq!(read(form).unwrap_err().code, "malformed_body", "{form:?}");
        }
        let long = format!(
            "--b d\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n\r\n--b d--",
            "a".repeat(8192)
        );
        assert_eq!(read(long.leak()).unwrap_err().code, "malformed_body");
    }

    #[test]
    fn boundaries_are_those_of_rfc_2046() {
        let boundary = |value: &str| parameter(value, "boundary").filter(|text| is_boundary(text));
        let read = |value: &str| boundary(value).unwrap_or_default();
        assert_eq!(read("multipart/form-data; charset=utf-8; BOUNDARY=abc"), "abc");
        assert_eq!(read("multipart/form-data;boundary=\"a b'c\" ; x=y"), "a b'c");
        let longest = format!("multipart/form-data; boundary={}", "a".repeat(70));
        assert_eq!(read(&longest).len(), 70);
        assert_eq!(read(&format!("{longest}a")), "");
        for none in
            ["multipart/form-data", "m; boundary=", "m; boundary=\"a", "m; boundary=\"a \"", "m; boundary=a*"]
        {
            assert_eq!(boundary(none), None, "{none}");
        }
    }
}
