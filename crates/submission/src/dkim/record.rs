//! A key as the domain name system has it (RFC 6376 §3.6.1, RFC 8463 §4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::DomainName;

/// RFC 1035 §3.3: a character string of a TXT record has so many octets at most; readers join them.
const STRING_BYTES: usize = 255;

/// A TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The first part of its name.
    pub selector: String,
    /// Its name, without a final dot.
    pub name: String,
    /// Its value, as one text.
    pub value: String,
}

impl Record {
    pub(super) fn rsa(selector: &str, domain: &DomainName, public: &[u8]) -> Self {
        Self::new(format!("{selector}-rsa"), domain, "rsa", public)
    }

    pub(super) fn ed25519(selector: &str, domain: &DomainName, public: &[u8]) -> Self {
        Self::new(format!("{selector}-ed25519"), domain, "ed25519", public)
    }

    fn new(selector: String, domain: &DomainName, kind: &str, public: &[u8]) -> Self {
        let value = format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(public));
        Self { name: format!("{selector}._domainkey.{domain}"), selector, value }
    }

    /// The record as a zone file has it (RFC 1035 §5.1), in strings as long as they may be.
    pub fn zone_line(&self) -> String {
        // Neither base64 nor the rest has anything that would have to be quoted.
        let strings = self.value.as_bytes().chunks(STRING_BYTES).map(String::from_utf8_lossy);
        let strings: Vec<_> = strings.map(|string| format!("\"{string}\"")).collect();
        format!("{}. IN TXT ( {} )", self.name, strings.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_several_strings_in_a_zone_file() {
        let domain = "acme.example".parse().unwrap();
        let record = Record::rsa("pb1", &domain, &[0; 294]);
        assert_eq!(record.name, "pb1-rsa._domainkey.acme.example");
        let line = record.zone_line();
        let strings: Vec<_> = line.split('"').skip(1).step_by(2).collect();
        assert_eq!(strings.iter().map(|string| string.len()).collect::<Vec<_>>(), [255, 155]);
        assert_eq!(strings.concat(), record.value);
        assert!(
            line.starts_with("pb1-rsa._domainkey.acme.example. IN TXT ( \"v=DKIM1; k=rsa; p=AAAA"),
            "{line}"
        );
    }

    #[test]
    fn a_short_one_is_one() {
        let record = Record::ed25519("pb1", &"acme.example".parse().unwrap(), &[0; 32]);
        let value = "v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(
            record.zone_line(),
            format!("pb1-ed25519._domainkey.acme.example. IN TXT ( \"{value}\" )")
        );
    }
}
