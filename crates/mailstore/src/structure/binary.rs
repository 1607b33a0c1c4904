//! Parts as they were before they were encoded for transport, and the way back (RFC 2045 §6, RFC 3516).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

use super::fields::Fields;
use super::tree::{self, Inside, Node};

/// How many bytes a line of base64 stands for (RFC 2045 §6.8).
const LINE_BYTES: usize = 57;

/// A part is encoded in a way that is not known here, or not in the way that its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the part is encoded in a way that is not known here")]
pub struct UnknownEncoding;

/// A part's body without its encoding. What is made of parts, or is a message, has none of its own.
pub(super) fn decoded<'a>(node: &Node<'a>) -> Result<Cow<'a, [u8]>, UnknownEncoding> {
    let encoding = match (&node.inside, &node.encoding) {
        (Inside::Nothing, Some(encoding)) => encoding.to_ascii_lowercase(),
        _ => return Ok(node.body.into()),
    };
    match encoding.as_str() {
        "7bit" | "8bit" | "binary" => Ok(node.body.into()),
        "base64" => base64_decode(node.body).map(Cow::Owned).ok_or(UnknownEncoding),
        "quoted-printable" => quoted_printable_decode(node.body).map(Cow::Owned).ok_or(UnknownEncoding),
        _ => Err(UnknownEncoding),
    }
}

/// A message whose parts that say to be `binary` are in base64 instead: it has lines then, and goes where NULs do not (RFC 3516 §4.3).
///
/// # Errors
/// When there are NULs elsewhere in it.
pub fn without_binary(message: &[u8]) -> Result<Cow<'_, [u8]>, UnknownEncoding> {
    let root = tree::scan(message);
    let mut parts = Vec::new();
    binary_parts(&root, &mut parts);
    if parts.is_empty() {
        return if message.contains(&0) { Err(UnknownEncoding) } else { Ok(message.into()) };
    }
    let (mut mended, mut done) = (Vec::with_capacity(message.len() * 3 / 2), 0);
    for part in parts {
        // A node's header and body are pieces of the message, one behind the other.
        let begin = part.header.as_ptr().addr() - message.as_ptr().addr();
        mended.extend_from_slice(message.get(done..begin).unwrap_or_default());
        encode(part, &mut mended);
        done = part.body.as_ptr().addr() - message.as_ptr().addr() + part.body.len();
    }
    mended.extend_from_slice(message.get(done..).unwrap_or_default());
    if mended.contains(&0) { Err(UnknownEncoding) } else { Ok(mended.into()) }
}

/// Those that are not made of others, in the order in which they stand.
fn binary_parts<'n, 'a>(node: &'n Node<'a>, parts: &mut Vec<&'n Node<'a>>) {
    match &node.inside {
        Inside::Parts(inner) => inner.iter().for_each(|part| binary_parts(part, parts)),
        Inside::Message(message) => binary_parts(message, parts),
        Inside::Nothing => {
            let is_it = |encoding: &String| encoding.eq_ignore_ascii_case("binary");
            parts.extend(node.encoding.as_ref().is_some_and(is_it).then_some(node));
        }
    }
}

fn encode(part: &Node<'_>, out: &mut Vec<u8>) {
    for field in Fields::of(part.header) {
        if !field.name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            out.extend_from_slice(field.raw);
            // The last one of a header without a body may lack it.
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    for line in part.body.chunks(LINE_BYTES) {
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
