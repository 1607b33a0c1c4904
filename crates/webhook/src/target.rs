//! From an endpoint's URL to the addresses that may be connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use crate::{Guard, SendError};

/// The longest URL taken, in bytes; what most servers take for a request line at the least (RFC 9110 §4.1).
const MAX_URL_BYTES: usize = 2_048;

/// Ports of protocols that read lines, and so could take a line of ours for a command, or that leave no doubt that a
/// webhook is not what they are for: echo to telnet, mail, DNS, news, files, directories, caches.
const REFUSED_PORTS: [u16; 25] = [
    0, 7, 9, 19, 21, 22, 23, 25, 53, 110, 119, 139, 143, 179, 389, 445, 465, 587, 636, 993, 995, 2525, 4190,
    6379, 11211,
];

/// Why a URL is no endpoint's, in words for whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// More than 2,048 bytes.
    #[error("the url is longer than 2048 bytes")]
    TooLong,
    /// White space or control characters, which a URL parser drops in silence.
    #[error("the url has a space or a control character in it")]
    Characters,
    /// No absolute URL.
    #[error("the url is malformed: {0}")]
    Malformed(#[from] url::ParseError),
    /// Neither https nor http.
    #[error("the url must begin with https://")]
    Scheme,
    /// `http`, and not to an address, or to `localhost`, in a network that the configuration allows.
    #[error(
        "the url must begin with https://; http is only for networks that the server's configuration allows"
    )]
    Plaintext,
    /// A user name or a password.
    #[error("the url must not hold a user name or a password; the signature is what proves a message")]
    UserInfo,
    /// A fragment, which is never sent.
    #[error("the url must not have a fragment")]
    Fragment,
    /// A port of another protocol.
    #[error("webhooks are not sent to port {0}")]
    Port(u16),
    /// An address, or `localhost`, that may not be reached.
    #[error("the url leads to an address that may not be reached")]
    Address,
}

impl Guard {
    /// Reads an endpoint's URL and checks all that can be checked without asking the domain name system: to be called
    /// when an endpoint is made or changed. The [`Sender`](crate::Sender) calls it again, as the configuration may have
    /// changed, and then judges the addresses that the name has at that moment.
    pub fn check_url(&self, text: &str) -> Result<Url, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(UrlError::Characters);
        }
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(UrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        // The parser knows both schemes' ports, and gives neither a URL without a host.
        let port = url.port_or_known_default().unwrap_or_default();
        if REFUSED_PORTS.contains(&port) {
            return Err(UrlError::Port(port));
        }
        let host = url.host().ok_or(url::ParseError::EmptyHost)?;
        self.check_host(&host, url.scheme() == "http")?;
        Ok(url)
    }

    /// By now the parser has turned every notation of an address (`0x7f.1`, `017700000001`, `2130706433`, full-width
    /// digits) into the address.
    fn check_host(&self, host: &Host<&str>, plaintext: bool) -> Result<(), UrlError> {
        let (permitted, allowed) = match host {
            Host::Ipv4(address) => (self.permits((*address).into()), self.allows((*address).into())),
            Host::Ipv6(address) => (self.permits((*address).into()), self.allows((*address).into())),
            Host::Domain(name) if is_localhost(name) => {
                let loopback =
                    self.allows(Ipv4Addr::LOCALHOST.into()) || self.allows(Ipv6Addr::LOCALHOST.into());
                (loopback, loopback)
            }
            Host::Domain(_) => (true, false),
        };
        match (permitted, plaintext && !allowed) {
            (false, _) => Err(UrlError::Address),
            (true, true) => Err(UrlError::Plaintext),
            (true, false) => Ok(()),
        }
    }
}

/// RFC 6761 §6.3: the name and all below it.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// The addresses to connect to, all of them permitted. The only time the name is looked up: whoever connects does it
/// to these, so a name that leads elsewhere a moment later (DNS rebinding) changes nothing.
pub(crate) async fn resolve(guard: &Guard, url: &Url) -> Result<Vec<SocketAddr>, SendError> {
    let port = url.port_or_known_default().unwrap_or_default();
    let found = match url.host() {
        Some(Host::Ipv4(address)) => vec![(address, port).into()],
        Some(Host::Ipv6(address)) => vec![(address, port).into()],
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map_err(SendError::Resolve)?.collect()
        }
        None => vec![],
    };
    judge(guard, url.scheme() == "http", &found)?;
    Ok(found)
}

/// One address that is refused refuses the name: there is no good reason for a name to lead both ways.
fn judge(guard: &Guard, plaintext: bool, found: &[SocketAddr]) -> Result<(), SendError> {
    if found.is_empty() {
        return Err(SendError::NoAddress);
    }
    let ips = || found.iter().map(SocketAddr::ip);
    if let Some(address) = ips().find(|ip: &IpAddr| !guard.permits(*ip)) {
        return Err(SendError::Refused(address));
    }
    if plaintext && !ips().all(|ip| guard.allows(ip)) {
        return Err(SendError::Url(UrlError::Plaintext));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loopback() -> Guard {
        Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()])
    }

    #[test]
    fn https_to_a_name_or_a_public_address_is_taken() {
        for text in [
            "https://example.com/hook?source=pillarbox",
            "https://example.com:8443/",
            "https://bücher.example/hook",
            "https://1.1.1.1/",
            "https://[2606:4700:4700::1111]/",
            "https://localhost.example.com/",
        ] {
            assert!(Guard::default().check_url(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_why() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
        for (text, expected) in [
            (long.as_str(), UrlError::TooLong),
            ("https://exam\tple.com/", UrlError::Characters),
            (" https://example.com/", UrlError::Characters),
            ("https://example.com/a\r\nb", UrlError::Characters),
            ("/hook", UrlError::Malformed(url::ParseError::RelativeUrlWithoutBase)),
            ("https://", UrlError::Malformed(url::ParseError::EmptyHost)),
            ("ftp://example.com/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("data:text/plain,x", UrlError::Scheme),
            ("http://example.com/", UrlError::Plaintext),
            ("http://1.1.1.1/", UrlError::Plaintext),
            ("https://user@example.com/", UrlError::UserInfo),
            ("https://:secret@example.com/", UrlError::UserInfo),
            ("https://example.com/#there", UrlError::Fragment),
            ("https://example.com:25/", UrlError::Port(25)),
            ("https://example.com:0/", UrlError::Port(0)),
            ("https://example.com:587/", UrlError::Port(587)),
        ] {
            assert_eq!(Guard::default().check_url(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn no_notation_of_a_refused_address_passes() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "127.0.0.1",
            "127。0。0。1",
            "0",
            "10.0.0.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:a9fe:a9fe]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
        ] {
            let text = format!("https://{host}/");
            assert_eq!(Guard::default().check_url(&text), Err(UrlError::Address), "{text}");
        }
    }

    #[test]
    fn plaintext_is_for_allowed_networks() {
        for text in ["http://127.0.0.1:8080/", "http://127.1/", "http://[::1]/", "http://localhost:8080/hook"]
        {
            assert!(loopback().check_url(text).is_ok(), "{text}");
        }
        assert!(loopback().check_url("https://localhost/").is_ok());
        assert_eq!(loopback().check_url("http://10.0.0.1/"), Err(UrlError::Address));
        assert_eq!(loopback().check_url("http://1.1.1.1/"), Err(UrlError::Plaintext));
        assert_eq!(loopback().check_url("http://example.com/"), Err(UrlError::Plaintext));
        assert_eq!(loopback().check_url("http://127.0.0.1:25/"), Err(UrlError::Port(25)));
    }

    #[test]
    fn one_refused_address_refuses_the_name() {
        let of = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let guard = Guard::default();
        assert!(judge(&guard, false, &of(&["1.1.1.1:443", "[2606:4700::1]:443"])).is_ok());
        let refused = judge(&guard, false, &of(&["1.1.1.1:443", "10.0.0.1:443"]));
        assert!(matches!(refused, Err(SendError::Refused(address)) if address.to_string() == "10.0.0.1"));
        assert!(matches!(judge(&guard, false, &[]), Err(SendError::NoAddress)));
        let plain = judge(&loopback(), true, &of(&["127.0.0.1:80", "1.1.1.1:80"]));
        assert!(matches!(plain, Err(SendError::Url(UrlError::Plaintext))));
        assert!(judge(&loopback(), true, &of(&["127.0.0.1:80", "[::1]:80"])).is_ok());
    }

    /// `localhost` stands for any name that leads inwards; here it has not been stopped by its spelling.
    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let url = Url::parse("https://localhost:4443/").unwrap();
        let refused = resolve(&Guard::default(), &url).await;
        assert!(matches!(refused, Err(SendError::Refused(address)) if address.is_loopback()));
        let found = resolve(&loopback(), &url).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 4443));
    }

    proptest! {
        #[test]
        fn an_address_passes_in_a_url_only_if_the_guard_permits_it(address: Ipv4Addr, other: Ipv6Addr) {
            let guard = Guard::default();
            let number = u32::from(address);
            for host in [address.to_string(), number.to_string(), format!("{number:#x}"), format!("0{number:o}"),
                         format!("[::ffff:{address}]")] {
                let found = guard.check_url(&format!("https://{host}/"));
                prop_assert_eq!(found.is_ok(), guard.permits(address.into()), "{}", host);
            }
            let found = guard.check_url(&format!("https://[{other}]/"));
            prop_assert_eq!(found.is_ok(), guard.permits(other.into()));
        }

        #[test]
        fn any_text_is_a_url_or_an_error(text in "(https?://)?.{0,60}") {
            if let Ok(url) = loopback().check_url(&text) {
                prop_assert!(url.host().is_some() && url.fragment().is_none() && url.username().is_empty());
                // What is stored is the parsed form: it must mean the same when it is read again.
                prop_assert_eq!(loopback().check_url(url.as_str()), Ok(url));
            }
        }
    }
}
