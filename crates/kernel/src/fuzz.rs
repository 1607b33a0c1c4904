//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use crate::{DomainName, EmailAddress, crlf, xtext};

/// Addresses and domains: what is read is read again as it is shown, within RFC 5321's bounds.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(domain) = text.parse::<DomainName>() {
        assert_eq!(domain.to_string().parse(), Ok(domain.clone()));
        let is_host = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
        assert!(domain.as_str().len() <= 255 && domain.as_str().bytes().all(is_host), "{domain}");
    }
    if let Ok(address) = text.parse::<EmailAddress>() {
        assert_eq!(address.to_string().parse(), Ok(address.clone()));
        assert!(address.local().len() <= 64);
        assert!(!address.to_string().contains([' ', '\0', '\r', '\n', '<', '>', '"', ',']), "{address}");
    }
}

/// The CRLF form: of the length foretold, without a bare line feed, ended, and nothing lost.
pub fn line_ends(bytes: &[u8]) {
    let form = crlf::normalize(bytes);
    assert_eq!(crlf::len(bytes), form.len() as u64);
    assert_eq!(crlf::normalize(&form), form);
    let is_bare = |at: usize| form[at] == b'\n' && (at == 0 || form[at - 1] != b'\r');
    assert!(!(0..form.len()).any(is_bare));
    assert!(form.is_empty() || form.ends_with(b"\n"));
    let mut plain = bytes.to_vec();
    if !plain.is_empty() && !plain.ends_with(b"\n") {
        plain.extend(b"\r\n");
    }
    let without_crs = |bytes: &[u8]| bytes.iter().copied().filter(|byte| *byte != b'\r').collect::<Vec<_>>();
    assert_eq!(without_crs(&form), without_crs(&plain));
}

/// xtext: what it stands for is written and read again.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let written = xtext::encode(text);
    assert!(written.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'='));
    assert_eq!(xtext::decode(&written).as_deref(), Some(text));
    if let Some(said) = xtext::decode(text) {
        assert!(said.len() <= text.len());
        assert_eq!(xtext::decode(&xtext::encode(&said)), Some(said));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("kernel_address", super::address);
        crate::seeds::play("kernel_line_ends", super::line_ends);
        crate::seeds::play("kernel_words", super::words);
    }
}
