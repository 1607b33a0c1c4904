//! Where mail goes: a URL, read.

use rustls::pki_types::ServerName;
use secrecy::SecretString;
use url::{Host, Url};

/// Why a text is no smarthost's URL. Never shows the text, which may have a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL at all, or of another scheme.
    #[error("expected smtps://[user:password@]host[:465] or smtp://[user:password@]host[:587]")]
    Form,
    /// No host, or one that no certificate could name.
    #[error("not a host name or an address")]
    Host,
    /// A user without a password, a password without a user, or an escape that is none.
    #[error(
        "the user and the password have to be there both or not at all, percent-encoded, without controls"
    )]
    Credentials,
    /// A path, a query or a fragment.
    #[error("nothing may follow the host and the port")]
    Extra,
}

/// Who signs in.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// As the smarthost knows them.
    pub(crate) user: String,
    /// Their password.
    pub(crate) password: SecretString,
}

/// The host that takes our mail, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Smarthost {
    /// What its certificate has to name.
    pub(crate) tls_name: ServerName<'static>,
    /// Its name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// TLS from the first octet (RFC 8314 §3.3), or else STARTTLS (RFC 3207).
    pub(crate) is_implicit: bool,
    /// Whether it is the machine itself, by what the URL says.
    pub(crate) is_loopback: bool,
    pub(crate) credentials: Option<Credentials>,
}

impl Smarthost {
    /// Reads `smtps://[user:password@]host[:465]` (TLS at once) or `smtp://[user:password@]host[:587]` (STARTTLS, without
    /// which only the machine itself is spoken to). User and password are percent-decoded.
    ///
    /// # Errors
    /// [`UrlError`]: what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let url = Url::parse(url).map_err(|_| UrlError::Form)?;
        let (is_implicit, usual_port) = match url.scheme() {
            "smtps" => (true, 465),
            "smtp" => (false, 587),
            _ => return Err(UrlError::Form),
        };
        if !url.path().is_empty() || url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Extra);
        }
        let host = host(&url)?;
        let is_loopback = match &host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let host = match host {
            Host::Domain(name) => name,
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let tls_name = ServerName::try_from(host.clone()).map_err(|_| UrlError::Host)?;
        let port = url.port().unwrap_or(usual_port);
        Ok(Self { tls_name, host, port, is_implicit, is_loopback, credentials: credentials(&url)? })
    }
}

/// The URL's host as one of `http` would be read: [`Url`] leaves that of a scheme it does not know as it stands, IPv4
/// addresses and upper case included.
fn host(url: &Url) -> Result<Host, UrlError> {
    match url.host() {
        Some(Host::Domain(name)) => Host::parse(name).map_err(|_| UrlError::Host),
        Some(Host::Ipv4(address)) => Ok(Host::Ipv4(address)),
        Some(Host::Ipv6(address)) => Ok(Host::Ipv6(address)),
        None => Err(UrlError::Host),
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, UrlError> {
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) | (_, None) => Err(UrlError::Credentials),
        (user, Some(password)) => {
            let user = percent_decoded(user).ok_or(UrlError::Credentials)?;
            let password = percent_decoded(password).ok_or(UrlError::Credentials)?.into();
            Ok(Some(Credentials { user, password }))
        }
    }
}

/// The text without its escapes; `None` for a `%` without two digits behind it, for what is not UTF-8, and for controls,
/// which no password can have (RFC 4616 §2, RFC 4013 §2.3).
fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            octets.push(u8::try_from(value).ok()?);
        } else {
            octets.push(octet);
        }
    }
    let text = String::from_utf8(octets).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn shape(url: &str) -> (String, u16, bool, bool) {
        let host = Smarthost::parse(url).unwrap();
        (host.host, host.port, host.is_implicit, host.is_loopback)
    }

    #[test]
    fn both_schemes_have_their_port_and_their_tls() {
        assert_eq!(shape("smtps://mx.example"), ("mx.example".into(), 465, true, false));
        assert_eq!(shape("smtp://MX.example"), ("mx.example".into(), 587, false, false));
        assert_eq!(shape("smtp://mx.example:2525"), ("mx.example".into(), 2525, false, false));
    }

    #[test]
    fn the_machine_itself_is_known_by_its_names() {
        for (url, host) in [
            ("smtp://localhost:25", "localhost"),
            ("smtp://LocalHost", "localhost"),
            ("smtp://127.0.0.1", "127.0.0.1"),
            ("smtp://127.1.2.3", "127.1.2.3"),
            ("smtp://[::1]:25", "::1"),
        ] {
            let read = Smarthost::parse(url).unwrap();
            assert!(read.is_loopback, "{url}");
            assert_eq!(read.host, host);
        }
        for url in ["smtp://10.0.0.1", "smtp://[fe80::1]", "smtp://localhost.example", "smtp://0.0.0.0"] {
            assert!(!Smarthost::parse(url).unwrap().is_loopback, "{url}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_the_password_is_never_shown() {
        let host = Smarthost::parse("smtps://a%40b.example:p%2Fw%3A%25+%C3%A9@mx.example").unwrap();
        let debug = format!("{host:?}");
        let Credentials { user, password } = host.credentials.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("a@b.example", "p/w:%+é"));
        assert!(!debug.contains("p/w") && !debug.contains("p%2F"), "{debug}");
        // Two at signs: the last one ends the credentials (WHATWG URL, authority state).
        let host = Smarthost::parse("smtps://a@b.example:pw@mx.example").unwrap();
        assert_eq!(host.credentials.unwrap().user, "a@b.example");
    }

    #[test]
    fn what_is_no_smarthost_says_why() {
        for (url, error) in [
            ("", UrlError::Form),
            ("mx.example", UrlError::Form),
            ("https://mx.example", UrlError::Form),
            ("smtp://mx.example:99999", UrlError::Form),
            ("smtps://", UrlError::Host),
            ("smtps:mx.example", UrlError::Extra),
            ("smtps://mx..example", UrlError::Host),
            ("smtps://user@mx.example", UrlError::Credentials),
            ("smtps://:pw@mx.example", UrlError::Credentials),
            ("smtps://user:p%zz@mx.example", UrlError::Credentials),
            ("smtps://user:p%4@mx.example", UrlError::Credentials),
            ("smtps://user:p%ff@mx.example", UrlError::Credentials),
            ("smtps://user:p%0d%0aQUIT@mx.example", UrlError::Credentials),
            ("smtps://mx.example/", UrlError::Extra),
            ("smtps://mx.example?tls=no", UrlError::Extra),
            ("smtps://mx.example#x", UrlError::Extra),
        ] {
            assert_eq!(Smarthost::parse(url).map(|_| ()), Err(error), "{url}");
        }
    }
}
