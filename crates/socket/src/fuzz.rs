//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use bytes::BytesMut;

use crate::deflated::{Deflated, STEP_BYTES};

/// How much a byte inflates to at most: two bits can say that 258 bytes come again (RFC 1951 §3.2.5).
const MOST_OF_A_BYTE: usize = 4 * 258;

/// What came of bytes that a client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    More,
    /// The client has ended its stream.
    Over,
    /// They are not DEFLATE.
    Broken,
}

/// What a client sends that compresses: however it is cut it comes to the same, in small pieces and bounded. What is sent to a client
/// is there for it after each flush.
pub fn deflated(bytes: &[u8]) {
    let size = usize::from(bytes.first().copied().unwrap_or(0)) + 1;
    let (whole, end) = inflated(bytes, bytes.len().max(1));
    for size in [1, size] {
        let (cut, cut_end) = inflated(bytes, size);
        assert_eq!(cut_end, end);
        match end {
            End::More | End::Over => assert!(cut == whole, "{} bytes are not {}", cut.len(), whole.len()),
            // What came out in the step that found it is not given out.
            End::Broken => assert!(cut.starts_with(&whole) || whole.starts_with(&cut)),
        }
    }

    let (mut from, mut to) = (Deflated::new(BytesMut::new()), Deflated::new(BytesMut::new()));
    for piece in bytes.chunks(size) {
        let (mut out, mut again) = (BytesMut::from(piece), BytesMut::new());
        let packed = from.pack(&mut out).expect("anything can be packed").split();
        assert!(out.is_empty());
        to.arrived().extend_from_slice(&packed);
        while let Some(1..) = to.inflate(&mut again).expect("what we pack can be read") {}
        assert_eq!(again.as_ref(), piece);
    }
}

/// What comes out of bytes that arrive so many at a time.
fn inflated(bytes: &[u8], size: usize) -> (BytesMut, End) {
    let (mut deflated, mut all) = (Deflated::new(BytesMut::new()), BytesMut::new());
    for chunk in bytes.chunks(size) {
        deflated.arrived().extend_from_slice(chunk);
        loop {
            let before = all.len();
            match deflated.inflate(&mut all) {
                Ok(Some(0)) => break,
                Ok(Some(came)) => assert!(came <= STEP_BYTES && all.len() == before + came),
                Ok(None) => return (all, End::Over),
                Err(_) => return (all, End::Broken),
            }
            assert!(all.len() <= bytes.len() * MOST_OF_A_BYTE);
        }
        assert!(deflated.arrived().is_empty(), "more has to arrive for what is there");
    }
    (all, End::More)
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("socket_deflated", super::deflated);
    }
}
