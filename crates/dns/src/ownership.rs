//! Proof that whoever claims a domain can publish in it: a TXT record with a token, at a name of our own.

use kernel::DomainName;

use crate::{Error, Resolver};

/// The name at which the proof is published. A label with an underscore is no host name (RFC 8552 §1.1), so that
/// the record is in nobody's way.
pub fn ownership_name(domain: &DomainName) -> String {
    format!("_pillarbox-challenge.{domain}")
}

/// The text that the TXT record has.
pub fn ownership_value(token: &str) -> String {
    format!("pillarbox-verification={token}")
}

/// Whether the proof with this token is published. Other records at the name do no harm.
pub async fn owns(resolver: &Resolver, domain: &DomainName, token: &str) -> Result<bool, Error> {
    let found = resolver.txt(&ownership_name(domain)).await?;
    let expected = ownership_value(token);
    // Forms of DNS providers keep the spaces that were pasted with it.
    Ok(found.iter().any(|record| record.trim() == expected))
}
