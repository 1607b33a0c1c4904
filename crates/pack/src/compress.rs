//! Bodies made small before they are encrypted.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::get_frame_content_size;

use crate::codec::Malformed;

/// The longest body that a pack takes.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// What mail is made of, written for this purpose after the forms that mail programs use. No customer's mail and nobody's message is
/// in it. Packs need it for ever: it never changes, and a better one is another codec.
const DICTIONARY: &str = include_str!("dictionary-1.txt");

/// Up to here a body is worth the harder work: it gains the most and costs little.
const SMALL_BYTES: usize = 16 << 10;
const SMALL_LEVEL: i32 = 7;
const LEVEL: i32 = 3;

/// How the bytes behind a plaintext's first one are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    AsIs = 0,
    Crlf = 1,
    Lf = 2,
    Plain = 3,
}

impl Codec {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::AsIs, Self::Crlf, Self::Lf, Self::Plain].into_iter().find(|codec| *codec as u8 == byte)
    }
}

/// One form of the dictionary, made ready for both levels and for reading.
struct Ready {
    small: EncoderDictionary<'static>,
    large: EncoderDictionary<'static>,
    decoder: DecoderDictionary<'static>,
}

impl Ready {
    fn new(text: &str) -> Self {
        let text = text.as_bytes();
        Self {
            small: EncoderDictionary::copy(text, SMALL_LEVEL),
            large: EncoderDictionary::copy(text, LEVEL),
            decoder: DecoderDictionary::copy(text),
        }
    }
}

/// A line break is in every match with a line's end, so mail with CRLF needs a dictionary with CRLF.
static CRLF: LazyLock<Ready> = LazyLock::new(|| Ready::new(&DICTIONARY.replace('\n', "\r\n")));
static LF: LazyLock<Ready> = LazyLock::new(|| Ready::new(DICTIONARY));

thread_local! {
    /// Made once a thread: each takes about 100 KiB, and longer to make than most bodies take to expand.
    /// One that could not be made is made the next time.
    static READS: [RefCell<Option<Decompressor<'static>>>; 3] = const { [const { RefCell::new(None) }; 3] };
}

/// A body of more than [`MAX_BODY_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pack takes no body of more than {MAX_BODY_BYTES} bytes")]
pub struct TooLarge;

/// A body ready to be sealed. Making it is most of the work, and needs neither a key nor a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    /// The codec's byte and what it made of the body.
    plaintext: Vec<u8>,
}

impl Compressed {
    /// # Errors
    /// [`TooLarge`].
    pub fn new(body: &[u8]) -> Result<Self, TooLarge> {
        if body.len() > MAX_BODY_BYTES {
            return Err(TooLarge);
        }
        let crlf = body.iter().position(|&byte| byte == b'\n').is_none_or(|at| body[..at].ends_with(b"\r"));
        let (codec, ready) = if crlf { (Codec::Crlf, &CRLF) } else { (Codec::Lf, &LF) };
        let dictionary = if body.len() <= SMALL_BYTES { &ready.small } else { &ready.large };
        let compressor = Compressor::with_prepared_dictionary(dictionary);
        Ok(Self { plaintext: encode(codec, compressor, body) })
    }

    /// What a pack had as an entry's plaintext.
    pub(crate) fn from_plaintext(plaintext: Vec<u8>) -> Self {
        Self { plaintext }
    }

    /// How many bytes it takes.
    pub fn stored_bytes(&self) -> usize {
        self.plaintext.len()
    }

    pub(crate) fn plaintext(&self) -> &[u8] {
        &self.plaintext
    }
}

/// What is not mail, compressed.
pub(crate) fn plain(bytes: &[u8]) -> Vec<u8> {
    encode(Codec::Plain, Compressor::new(LEVEL), bytes)
}

/// As it is where compression does not pay, or where the machine has no memory for it.
fn encode(codec: Codec, compressor: io::Result<Compressor<'_>>, bytes: &[u8]) -> Vec<u8> {
    let made = compressor.and_then(|mut compressor| compressor.compress(bytes));
    let (codec, payload) = match made {
        Ok(made) if made.len() < bytes.len() => (codec, Cow::Owned(made)),
        _ => (Codec::AsIs, Cow::Borrowed(bytes)),
    };
    [&[codec as u8], payload.as_ref()].concat()
}

/// What was compressed.
pub(crate) fn expand(plaintext: Vec<u8>) -> Result<Vec<u8>, Malformed> {
    let (&first, payload) = plaintext.split_first().ok_or(Malformed("an empty entry"))?;
    let (at, make): (usize, fn() -> io::Result<Decompressor<'static>>) =
        match Codec::from_byte(first).ok_or(Malformed("an unknown codec"))? {
            Codec::AsIs => return Ok(payload.to_vec()),
            Codec::Crlf => (0, || Decompressor::with_prepared_dictionary(&CRLF.decoder)),
            Codec::Lf => (1, || Decompressor::with_prepared_dictionary(&LF.decoder)),
            Codec::Plain => (2, Decompressor::new),
        };
    let size = get_frame_content_size(payload).ok().flatten().and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|&size| size <= MAX_BODY_BYTES).ok_or(Malformed("a compressed size"))?;
    let bytes = READS.with(|reads| {
        let mut kept = reads[at].borrow_mut();
        let reads = match kept.take() {
            Some(reads) => reads,
            None => make().ok()?,
        };
        kept.insert(reads).decompress(payload, size).ok()
    });
    bytes.filter(|bytes| bytes.len() == size).ok_or(Malformed("a compressed entry"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn noise_never_panics(codec in 0..5_u8, noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = expand([&[codec][..], &noise].concat());
            // Behind zstd's magic number.
            let framed = [&[codec, 0x28, 0xb5, 0x2f, 0xfd][..], &noise].concat();
            let expanded = expand(framed);
            prop_assert!(codec == 0 || expanded.is_err() || expanded.is_ok_and(|bytes| bytes.len() <= MAX_BODY_BYTES));
            // What reads is used again, and noise has left nothing in it.
            let mail = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n";
            let compressed = Compressed::new(mail).unwrap_or_else(|error| panic!("{error}"));
            prop_assert_eq!(expand(compressed.plaintext), Ok(mail.to_vec()));
        }
    }

    #[test]
    fn each_form_of_mail_has_its_dictionary_and_noise_none() {
        let mail = "Received: from x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nHello\n";
        for (body, codec) in [
            (mail.to_owned(), Codec::Lf),
            (mail.replace('\n', "\r\n"), Codec::Crlf),
            ("Content-Type: text/plain; charset=utf-8".to_owned(), Codec::Crlf),
            ("\x00\x01\x02".to_owned(), Codec::AsIs),
            (String::new(), Codec::AsIs),
        ] {
            let plaintext = Compressed::new(body.as_bytes()).unwrap().plaintext;
            assert_eq!(plaintext[0], codec as u8, "{body:?}");
            assert_eq!(expand(plaintext).unwrap(), body.as_bytes());
        }
    }

    #[test]
    fn a_size_past_the_limit_allocates_nothing() {
        // A frame that claims 2⁶² bytes (RFC 8878 §3.1.1: single segment, 8 bytes of size).
        let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(1_u64 << 62).to_le_bytes(), &[0; 8]].concat();
        let plaintext = [&[Codec::Plain as u8][..], &frame].concat();
        assert_eq!(expand(plaintext), Err(Malformed("a compressed size")));
    }
}
