//! What signatures are held to: RFC 6376 by another reading of it than the library's.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::Env;
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPublicKey as _};
use sha2::{Digest as _, Sha256};

use super::{Pair, Signer};

/// Who signs, and the public half of RSA as ring reads it.
static KEYS: LazyLock<(Pair, Signer, Vec<u8>)> = LazyLock::new(|| {
    let pair = Pair::generate(&Env::system()).expect("a pair of keys");
    let signer = Signer::new(&pair, &"acme.example".parse().expect("a name"), "pb1").expect("a signer");
    let rsa = RsaPrivateKey::from_pkcs1_der(pair.rsa_der()).expect("a key of RSA").to_public_key();
    let rsa = rsa.to_pkcs1_der().expect("its public half").into_vec();
    (pair, signer, rsa)
});

/// A message as it is sent, in which a line ends with CRLF: it stays as it is behind two signatures, each of a field of whole lines, which
/// hold for it as it is and as it is with its fields folded anew. Not where its header has a form feed, as [`Signer`] tells.
pub(crate) fn signed(message: &[u8]) {
    let (pair, signer, rsa) = &*KEYS;
    let signed = signer.signed(message).expect("it has an author");
    let signatures = signed.strip_suffix(message).expect("the message stays as it is");
    let signatures = fields(signatures);
    assert_eq!(signatures.len(), 2);
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    let (header, body) = end.map_or((message, &b""[..]), |end| (&message[..end + 2], &message[end + 4..]));
    let is_exact = !header.contains(&b'\x0c');
    let body = STANDARD.encode(Sha256::digest(simple(body)));
    let header = fields(header);
    for signature in &signatures {
        let lines = signature.strip_suffix(b"\r\n").expect("it ends in CRLF");
        for line in lines.split(|byte| *byte == b'\n') {
            assert!(line.len() <= 998 && line.is_ascii() && !line.contains(&0));
        }
        let tags = tags(signature);
        assert_eq!(tags["bh"], body);
        for header in [header.clone(), header.iter().map(|field| relaxed(field)).collect()] {
            let covered = covered(signature, &tags["h"], header);
            let value = STANDARD.decode(&tags["b"]).expect("the signature in base64");
            let holds = match tags["a"].as_str() {
                // RFC 8463 §3: what is signed is the hash.
                "ed25519-sha256" => UnparsedPublicKey::new(&ED25519, pair.ed25519_public())
                    .verify(&Sha256::digest(covered), &value),
                "rsa-sha256" => {
                    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa).verify(&covered, &value)
                }
                other => panic!("signed by {other}"),
            };
            assert!(holds.is_ok() || !is_exact, "{}", tags["a"]);
        }
    }
}

/// Fields with the lines that continue them and their ends.
fn fields(header: &[u8]) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        match fields.last_mut() {
            Some(last) if matches!(line.first(), Some(b' ' | b'\t')) => last.extend_from_slice(line),
            _ => fields.push(line.to_vec()),
        }
    }
    fields
}

/// RFC 6376 §3.2, without white space.
fn tags(signature: &[u8]) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(signature).expect("it is ASCII");
    let (name, value) = text.split_once(':').expect("it is a field");
    assert_eq!(name, "DKIM-Signature");
    let tag = |tag: &str| {
        let tag: String = tag.split_ascii_whitespace().collect();
        tag.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    value.split(';').filter_map(tag).collect()
}

/// RFC 6376 §3.4.2.
fn relaxed(field: &[u8]) -> Vec<u8> {
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    let mut out: Vec<u8> = name.trim_ascii_end().to_ascii_lowercase();
    out.push(b':');
    let unfolded: Vec<u8> =
        value.iter().copied().skip(1).filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let words = unfolded.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    out.extend(words.collect::<Vec<_>>().join(&b' '));
    out.extend(b"\r\n");
    out
}

/// RFC 6376 §3.4.3.
fn simple(body: &[u8]) -> Vec<u8> {
    let mut body = body;
    while let Some(shorter) = body.strip_suffix(b"\r\n") {
        body = shorter;
    }
    [body, b"\r\n"].concat()
}

/// RFC 6376 §3.7: what is hashed of a header, with the signature itself less its value.
fn covered(signature: &[u8], names: &str, mut header: Vec<Vec<u8>>) -> Vec<u8> {
    let mut covered = Vec::new();
    for name in names.split(':') {
        let is_it = |field: &Vec<u8>| {
            let own = field.split(|byte| *byte == b':').next().unwrap_or_default();
            own.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
        };
        // §5.4.2: from the last up; one that is not there is nothing.
        if let Some(at) = header.iter().rposition(is_it) {
            covered.extend(relaxed(&header.remove(at)));
        }
    }
    let text = std::str::from_utf8(signature).expect("it is ASCII");
    let bare: Vec<&str> = text
        .split(';')
        .map(|tag| match tag.split_once('=') {
            Some((name, _)) if name.trim() == "b" => &tag[..=name.len()],
            _ => tag,
        })
        .collect();
    let itself = relaxed(bare.join(";").as_bytes());
    covered.extend(itself.strip_suffix(b"\r\n").unwrap_or(&itself));
    covered
}
