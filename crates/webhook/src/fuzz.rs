//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use url::Host;

use crate::Guard;

/// An endpoint's URL: what is taken leads by TLS to a name, or to an address that may be reached, and is taken again as it is written.
pub fn url(bytes: &[u8]) {
    let (text, guard) = (String::from_utf8_lossy(bytes), Guard::default());
    let Ok(url) = guard.check_url(&text) else { return };
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    match url.host().expect("what is taken has one") {
        Host::Ipv4(address) => assert!(guard.permits(address.into()), "{address}"),
        Host::Ipv6(address) => assert!(guard.permits(address.into()), "{address}"),
        // The system's resolver takes what looks like an address for one.
        Host::Domain(name) => {
            assert!(!name.is_empty() && name.parse::<std::net::IpAddr>().is_err(), "{name}")
        }
    }
    // What it is written as may be longer than what was given, and so be too long.
    match guard.check_url(url.as_str()) {
        Ok(again) => assert_eq!(again, url),
        Err(error) => assert_eq!(error, crate::UrlError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("webhook_url", super::url);
    }
}
