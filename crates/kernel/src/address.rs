//! Mail addresses as we keep them: the domain in its ASCII form (UTS 46), the local part composed (NFC, RFC 6532 §3.1),
//! everything in lower case.
//!
//! RFC 5321 §2.4 lets a host treat local parts as case-sensitive and advises against it; like every hosted
//! mail service, we do not.

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;

use crate::wire::text_on_the_wire;

/// The longest host name or address literal (RFC 5321 §4.5.3.1.2), in octets.
const MAX_HOST_OCTETS: usize = 255;

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
        if ascii.len() > MAX_HOST_OCTETS {
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
    /// The local part, composed, lower case, unquoted.
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
        // Some letters are longer in lower case or composed, and a sign composes to one that would need quotes: what counts is what is kept.
        let local: String = local.to_lowercase().nfc().collect();
        if !is_dot_string(&local) {
            return Err(AddressError::LocalPart);
        }
        if local.len() > 64 {
            return Err(AddressError::TooLong);
        }
        Ok(Self { local, domain: domain.parse()? })
    }
}

/// Whether a text is a local part that needs no quotes: a dot-string (RFC 5321 §4.1.2), widened by RFC 6531 §3.3.
pub fn is_dot_string(text: &str) -> bool {
    let is_atext =
        |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_text(c);
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// Whether a text may stand for a host in others' addresses: labels of letters, digits and hyphens, with the underscore that real hosts have, or
/// U-labels; at most 255 octets. [`DomainName`] takes less: what we keep is to be found in the DNS.
pub fn is_host(text: &str) -> bool {
    let is_label = |label: &str| !label.is_empty() && label.chars().all(is_host_char);
    text.len() <= MAX_HOST_OCTETS && text.split('.').all(is_label)
}

/// Whether a label of such a host may have a character.
pub fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || is_utf8_text(c)
}

/// Whether a text is an address literal: `[192.0.2.1]`, `[IPv6:…]` (RFC 5321 §4.1.3), loosely; at most 255 octets.
pub fn is_address_literal(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-');
    text.len() <= MAX_HOST_OCTETS
        && inner.is_some_and(|inner| !inner.is_empty() && inner.chars().all(is_inner))
}

/// Whether a character is beyond ASCII (RFC 6531 §3.3), and none that a reader could take for white space or a line's end.
pub fn is_utf8_text(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
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
        // RFC 6532 §3.1: the same characters, decomposed, in either order.
        for spelling in ["ju\u{308}rgen@mu\u{308}ller.example", "JU\u{308}RGEN@müller.example"] {
            assert_eq!(address(spelling).as_deref(), Ok("jürgen@xn--mller-kva.example"));
        }
        assert_eq!(address("a\u{30a}\u{323}@example.org"), address("A\u{323}\u{30a}@example.org"));
    }

    #[test]
    fn takes_for_a_host_what_real_ones_have() {
        for host in ["localhost", "mx_1.example", "müller.example", "10.0.0.1", &"a".repeat(255)] {
            assert!(is_host(host), "{host}");
        }
        for none in ["", ".", "a..b", "a.", "a b", "a\u{a0}b", "[10.0.0.1]", "a@b", &"a".repeat(256)] {
            assert!(!is_host(none), "{none}");
        }
        assert!(is_address_literal("[192.0.2.1]") && is_address_literal("[IPv6:2001:db8::1]"));
        assert!(
            !is_address_literal("[]") && !is_address_literal("192.0.2.1") && !is_address_literal("[a b]")
        );
        assert!(!is_address_literal(&format!("[{}]", "1".repeat(254))));
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
        assert_eq!(address("a\u{37e}b@example.org"), Err(AddressError::LocalPart), "which is a semicolon");
        assert_eq!(address("a@localhost"), Err(AddressError::Domain));
        assert_eq!(address("a@exa_mple.org"), Err(AddressError::Domain));
        assert_eq!(address("a@10.0.0.1"), Err(AddressError::Domain));
        assert_eq!(address(&format!("{}@example.org", "a".repeat(65))), Err(AddressError::TooLong));
        assert_eq!(address(&format!("{}@example.org", "İ".repeat(32))), Err(AddressError::TooLong));
        // 33 octets, and 66 when composed.
        assert_eq!(address(&format!("{}@example.org", "\u{958}".repeat(11))), Err(AddressError::TooLong));
    }
}
