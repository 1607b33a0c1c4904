//! Mail addresses as we keep them: the domain in its ASCII form (UTS 46), everything in lower case.
//!
//! RFC 5321 §2.4 lets a host treat local parts as case-sensitive and advises against it; like every hosted
//! mail service, we do not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an address or domain we can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or nothing before or after it.
    #[error("an address has the form local@domain")]
    Shape,
    /// RFC 5321 §4.5.3.1: local part at most 64 octets, domain at most 255.
    #[error("the local part is at most 64 octets long and the domain at most 255")]
    TooLong,
    /// Characters that a dot-string (RFC 5321 §4.1.2, RFC 6531 §3.3) does not have.
    #[error("the local part has characters that are not allowed, or a dot out of place")]
    LocalPart,
    /// Not a host name of at least two labels.
    #[error("the domain is not a valid host name of two labels or more")]
    Domain,
}

/// A domain name in ASCII (A-label) form, lower case, at least two labels, without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

impl DomainName {
    /// The ASCII form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| AddressError::Domain)?;
        if ascii.len() > 255 {
            return Err(AddressError::TooLong);
        }
        let labels = ascii.split('.').collect::<Vec<_>>();
        let all_digits = labels.last().is_none_or(|top| top.bytes().all(|b| b.is_ascii_digit()));
        if labels.len() < 2 || labels.iter().any(|label| label.is_empty()) || all_digits {
            return Err(AddressError::Domain);
        }
        Ok(Self(ascii))
    }
}

/// An address: local part and domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress {
    local: String,
    domain: DomainName,
}

impl EmailAddress {
    /// The local part, lower case, unquoted.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }
}

impl FromStr for EmailAddress {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Shape)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Shape);
        }
        let atoms_hold = local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
        if !atoms_hold {
            return Err(AddressError::LocalPart);
        }
        // Some letters are longer in lower case: what counts is what is kept.
        let local = local.to_lowercase();
        if local.len() > 64 {
            return Err(AddressError::TooLong);
        }
        Ok(Self { local, domain: domain.parse()? })
    }
}

/// RFC 5322 §3.2.3 atext, widened by RFC 6531 §3.3 to UTF-8 beyond ASCII, without what would be taken for white space or a line's end.
fn is_atext(c: char) -> bool {
    let is_beyond_ascii = !c.is_ascii() && !c.is_control() && !c.is_whitespace();
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_beyond_ascii
}

macro_rules! text_on_the_wire {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_on_the_wire!(DomainName, EmailAddress);

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<String, AddressError> {
        text.parse::<EmailAddress>().map(|a| a.to_string())
    }

    #[test]
    fn one_spelling_for_each_address() {
        assert_eq!(address("Ada.Lovelace+x@Example.ORG").as_deref(), Ok("ada.lovelace+x@example.org"));
        assert_eq!(address("jürgen@müller.example").as_deref(), Ok("jürgen@xn--mller-kva.example"));
    }

    #[test]
    fn refuses_what_could_not_be_delivered() {
        assert_eq!(address("nobody"), Err(AddressError::Shape));
        assert_eq!(address("@example.org"), Err(AddressError::Shape));
        assert_eq!(address("a..b@example.org"), Err(AddressError::LocalPart));
        assert_eq!(address("a b@example.org"), Err(AddressError::LocalPart));
        assert_eq!(address("a\r\n@example.org"), Err(AddressError::LocalPart));
        assert_eq!(address("a\u{a0}b@example.org"), Err(AddressError::LocalPart));
        assert_eq!(address("a\u{2028}b@example.org"), Err(AddressError::LocalPart));
        assert_eq!(address("a@localhost"), Err(AddressError::Domain));
        assert_eq!(address("a@exa_mple.org"), Err(AddressError::Domain));
        assert_eq!(address("a@10.0.0.1"), Err(AddressError::Domain));
        assert_eq!(address(&format!("{}@example.org", "a".repeat(65))), Err(AddressError::TooLong));
        assert_eq!(address(&format!("{}@example.org", "İ".repeat(32))), Err(AddressError::TooLong));
    }
}
