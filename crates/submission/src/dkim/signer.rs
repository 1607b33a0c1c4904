//! Signing a message with both keys of its author's domain.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::sync::Arc;
use std::time::Duration;

use kernel::{DomainName, TenantId};
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done, Signature};
use mailstore::MailStore;
use moka::future::Cache;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer};
use tenancy::Ctx;

use super::pair::Pair;
use super::{place, store};
use crate::Error;

/// For how long a process signs with the same keys without looking whether there are newer ones. Records stay for a week after.
const SIGNS_FOR: Duration = Duration::from_secs(60);
/// How many domains' keys a process has in memory.
const REMEMBERED: u64 = 10_000;

/// The fields that are signed, those twice that a message has once: so no second one is added (RFC 6376 §8.15). What mailing lists and
/// relays add is not among them: Sender, Received, List-*, ARC-*.
const SIGNED: [&str; 20] = [
    "From",
    "From",
    "To",
    "To",
    "Cc",
    "Cc",
    "Subject",
    "Subject",
    "Date",
    "Date",
    "Message-ID",
    "Message-ID",
    "Reply-To",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Keys of domains that this process has signed for.
#[derive(Debug, Clone)]
pub(crate) struct Signers {
    known: Cache<(TenantId, DomainName), Option<Arc<Signer>>>,
}

impl Default for Signers {
    fn default() -> Self {
        Self { known: Cache::builder().max_capacity(REMEMBERED).time_to_live(SIGNS_FOR).build() }
    }
}

impl Signers {
    /// Who signs for a domain of the tenant; `None` while it has no key that signs.
    pub(crate) async fn of(
        &self,
        store: &MailStore,
        ctx: &Ctx,
        domain: &DomainName,
    ) -> Result<Option<Arc<Signer>>, Error> {
        let place = (ctx.tenant_id(), domain.clone());
        if let Some(known) = self.known.get(&place).await {
            return Ok(known);
        }
        let signer = find(store, ctx, domain).await?.map(Arc::new);
        self.known.insert(place, signer.clone()).await;
        Ok(signer)
    }
}

async fn find(store: &MailStore, ctx: &Ctx, domain: &DomainName) -> Result<Option<Signer>, Error> {
    let Some(kept) = store::signing(&mut *ctx.read().await?, domain).await? else { return Ok(None) };
    let data_key = store.keys().opening(ctx, kept.generation).await?;
    let pair = Pair::open(&data_key, &place(kept.domain_id, kept.id), &kept.sealed);
    Ok(Some(Signer::new(&pair.map_err(Error::keys)?, domain, &kept.selector)?))
}

/// Signs for a domain, by `c=relaxed/simple`: fields may be folded anew on the way, bodies are not touched. (Of a body that ends in lines of white
/// space the library makes by `relaxed` what RFC 6376 §3.4.4 does not; and in a field it takes a form feed for white space, which §3.4.2 does not, so
/// that the signature of a header with one, which is obsolete by RFC 5322 §4.1, holds for few.)
pub(crate) struct Signer {
    rsa: DkimSigner<RsaKey<Sha256>, Done>,
    ed25519: DkimSigner<Ed25519Key, Done>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    fn new(pair: &Pair, domain: &DomainName, selector: &str) -> Result<Self, Error> {
        let der = PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(pair.rsa_der()));
        let rsa = RsaKey::<Sha256>::from_key_der(der).map_err(Error::keys)?;
        let ed25519 = Ed25519Key::from_seed_and_public_key(pair.seed(), pair.ed25519_public());
        let ed25519 = ed25519.map_err(Error::keys)?;
        Ok(Self {
            rsa: DkimSigner::from_key(rsa)
                .domain(domain.as_str())
                .selector(format!("{selector}-rsa"))
                .headers(SIGNED)
                .body_canonicalization(Canonicalization::Simple),
            ed25519: DkimSigner::from_key(ed25519)
                .domain(domain.as_str())
                .selector(format!("{selector}-ed25519"))
                .headers(SIGNED)
                .body_canonicalization(Canonicalization::Simple),
        })
    }

    /// The message with both signatures before it. It hashes all of it twice: not for a thread that serves others.
    pub(crate) fn signed(&self, message: &[u8]) -> Result<Vec<u8>, mail_auth::Error> {
        // Each is over the message as it was: no signature signs another.
        let [rsa, ed25519] = [self.rsa.sign(message)?, self.ed25519.sign(message)?].map(|sign| field(&sign));
        Ok([ed25519.as_bytes(), rsa.as_bytes(), message].concat())
    }
}

/// The field of a signature. The library may break the line before the semicolon that ends it. That belongs to the value, which is left out when it is
/// verified (RFC 6376 §3.7); but some readers, dkimpy among them, leave out the value alone, and find the signature broken.
fn field(signature: &Signature) -> String {
    signature.to_header().replace("\r\n\t;\r\n", ";\r\n")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use kernel::Env;
    use sha2::Digest as _;

    use super::*;

    /// RFC 6376 §3.4.3, of what is hashed of a body.
    #[test]
    fn the_hash_is_of_the_body_as_the_rfc_has_it() {
        let pair = Pair::generate(&Env::system()).unwrap();
        let signer = Signer::new(&pair, &"acme.example".parse().unwrap(), "pb1").unwrap();
        for (body, hashed) in [
            ("", "\r\n"),
            ("\r\n\r\n", "\r\n"),
            (" \r\n", " \r\n"),
            ("hello\r\n", "hello\r\n"),
            ("hello\r\n\r\n\r\n", "hello\r\n"),
            ("hello\r\n \t\r\n\r\n", "hello\r\n \t\r\n"),
            ("a  b \r\n\r\nc\r\n", "a  b \r\n\r\nc\r\n"),
        ] {
            let message = format!("From: ada@acme.example\r\nSubject: a\r\n\r\n{body}");
            let signed = signer.signed(message.as_bytes()).unwrap();
            let text: String = String::from_utf8(signed).unwrap().split_whitespace().collect();
            let hash = format!("bh={};", STANDARD.encode(sha2::Sha256::digest(hashed)));
            assert_eq!(text.matches(&hash).count(), 2, "{body:?}: {text}");
            assert_eq!(text.matches("c=relaxed/simple;").count(), 2);
        }
    }
}
