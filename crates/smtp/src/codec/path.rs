//! The paths of MAIL and RCPT (RFC 5321 §4.1.2, widened by RFC 6531 §3.3), and the name a client gives itself.

use std::fmt;

use kernel::EmailAddress;
use kernel::address::{is_address_literal, is_dot_string, is_host, is_utf8_text};

/// The longest path taken, in octets. RFC 5321 §4.5.3.1.3 asks for 256; this keeps Return-Path on one line of at
/// most 998 (RFC 5322 §2.1.1) whatever is quoted.
const PATH_LIMIT: usize = 450;

/// A text that is not a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a path of the form <local@domain>")]
pub struct PathError;

/// A mailbox as a client named it: any local part, any host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    local: String,
    domain: String,
}

impl Mailbox {
    /// Whether nothing in it needs SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }

    /// The host, as it was named.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The same mailbox of a host that is named otherwise.
    #[must_use]
    pub fn at(&self, domain: &str) -> Self {
        Self { local: self.local.clone(), domain: domain.to_owned() }
    }

    /// Who looks after mail at that host (RFC 5321 §4.5.1).
    #[must_use]
    pub fn postmaster(&self) -> Self {
        Self { local: "postmaster".to_owned(), domain: self.domain.clone() }
    }

    /// The address, if it is one that a mailbox of ours can have. A quoted local part that is a dot-string once
    /// unquoted is that dot-string (RFC 5321 §4.1.2); any other is no mailbox here, nor is an address literal.
    pub fn address(&self) -> Option<EmailAddress> {
        format!("{}@{}", self.local, self.domain).parse().ok()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

/// Where a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`: nobody is to hear of a failure (RFC 5321 §4.5.5).
    Null,
    /// The sender.
    Mailbox(Mailbox),
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<Postmaster>`, without a domain (RFC 5321 §4.1.1.3).
    Postmaster,
    /// A recipient.
    Mailbox(Mailbox),
}

/// The reverse path that `text` starts with, and what follows it.
pub fn reverse(text: &str) -> Result<(ReversePath, &str), PathError> {
    if let Some(rest) = text.strip_prefix("<>") {
        return Ok((ReversePath::Null, rest));
    }
    let (mailbox, rest) = path(text)?;
    Ok((ReversePath::Mailbox(mailbox), rest))
}

/// The forward path that `text` starts with, and what follows it.
pub fn forward(text: &str) -> Result<(ForwardPath, &str), PathError> {
    const POSTMASTER: &str = "<postmaster>";
    if let Some((head, rest)) = text.split_at_checked(POSTMASTER.len())
        && head.eq_ignore_ascii_case(POSTMASTER)
    {
        return Ok((ForwardPath::Postmaster, rest));
    }
    let (mailbox, rest) = path(text)?;
    Ok((ForwardPath::Mailbox(mailbox), rest))
}

/// `Path = "<" [ A-d-l ":" ] Mailbox ">"`; the source route is checked and ignored (RFC 5321 §4.1.1.3, app. C).
fn path(text: &str) -> Result<(Mailbox, &str), PathError> {
    let mut rest = text.strip_prefix('<').ok_or(PathError)?;
    if rest.starts_with('@') {
        let (route, after) = rest.split_once(':').ok_or(PathError)?;
        let hops_hold = route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(is_host));
        if !hops_hold {
            return Err(PathError);
        }
        rest = after;
    }
    let (local, rest) = local_part(rest)?;
    let rest = rest.strip_prefix('@').ok_or(PathError)?;
    let (domain, rest) = rest.split_once('>').ok_or(PathError)?;
    if !(is_host(domain) || is_address_literal(domain)) || local.len() + domain.len() > PATH_LIMIT {
        return Err(PathError);
    }
    Ok((Mailbox { local, domain: domain.to_owned() }, rest))
}

fn local_part(text: &str) -> Result<(String, &str), PathError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (local, _) = text.split_once('@').ok_or(PathError)?;
        return if is_dot_string(local) {
            Ok((local.to_owned(), &text[local.len()..]))
        } else {
            Err(PathError)
        };
    };
    let mut local = String::new();
    let mut chars = quoted.chars();
    loop {
        let c = chars.next().ok_or(PathError)?;
        match c {
            '"' => return Ok((local, chars.as_str())),
            // quoted-pairSMTP is %d92 %d32-126.
            '\\' => local.push(chars.next().filter(|c| matches!(c, ' '..='~')).ok_or(PathError)?),
            ' '..='~' => local.push(c),
            _ if is_utf8_text(c) => local.push(c),
            _ => return Err(PathError),
        }
    }
}

/// The name that a client gives itself in LHLO: a host name in ASCII or an address literal, so that it may stand
/// in a header as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName(String);

impl ClientName {
    /// The name, if `text` is one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = text.is_ascii() && (is_host(text) || is_address_literal(text));
        is_name.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mailbox(text: &str) -> Option<String> {
        match reverse(text) {
            Ok((ReversePath::Mailbox(mailbox), "")) => Some(mailbox.to_string()),
            _ => None,
        }
    }

    fn address(text: &str) -> Option<String> {
        match forward(text) {
            Ok((ForwardPath::Mailbox(mailbox), "")) => mailbox.address().map(|address| address.to_string()),
            _ => None,
        }
    }

    #[test]
    fn reads_paths() {
        assert_eq!(reverse("<> SIZE=1"), Ok((ReversePath::Null, " SIZE=1")));
        assert_eq!(mailbox("<Ada@localhost>").as_deref(), Some("Ada@localhost"));
        assert_eq!(mailbox("<ada@[IPv6:::1]>").as_deref(), Some("ada@[IPv6:::1]"));
        assert_eq!(mailbox("<@a.example,@b.example:ada@c.example>").as_deref(), Some("ada@c.example"));
        assert_eq!(mailbox(r#"<"a b\"c>"@d.example>"#).as_deref(), Some(r#""a b\"c>"@d.example"#));
        assert_eq!(forward("<PostMaster>"), Ok((ForwardPath::Postmaster, "")));
    }

    #[test]
    fn a_quoted_dot_string_is_that_dot_string_and_no_other_is_ours() {
        assert_eq!(address(r#"<"Ada.Lovelace"@Example.org>"#).as_deref(), Some("ada.lovelace@example.org"));
        assert_eq!(address(r#"<"\a\d\a"@example.org>"#).as_deref(), Some("ada@example.org"));
        assert_eq!(address("<jürgen@müller.example>").as_deref(), Some("jürgen@xn--mller-kva.example"));
        for text in
            [r#"<"a b"@example.org>"#, r#"<"a@b"@example.org>"#, r#"<""@example.org>"#, "<ada@[127.0.0.1]>"]
        {
            assert!(forward(text).is_ok(), "{text}");
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in [
            "",
            "<",
            "ada@b.example",
            "<ada>",
            "<ada@>",
            "<@b.example>",
            "<ada@b.example",
            " <ada@b.example>",
            "< ada@b.example>",
            "<a..b@c.example>",
            "<.a@c.example>",
            "<a b@c.example>",
            "<ada@b c>",
            "<ada@b..example>",
            "<ada@[]>",
            "<ada@[a b]>",
            "<\"a@b.example>",
            "<\"a\"b@c.example>",
            "<@b:ada@c.example",
            "<b,@c:ada@d.example>",
            "<@b,c:ada@d.example>",
            "<ada@b\u{2028}c>",
            "<a\u{a0}b@c.example>",
            "<\"a\u{85}\"@c.example>",
            "<a(c)@d.example>",
            "<ada@b(c)>",
        ] {
            assert_eq!(reverse(text), Err(PathError), "{text:?}");
        }
        assert!(reverse(&format!("<{}@{}>", "a".repeat(300), "b".repeat(200))).is_err());
    }

    #[test]
    fn a_client_s_name_can_stand_in_a_header() {
        for text in ["localhost", "mx_1.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"] {
            assert!(ClientName::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "a b",
            "a(b)",
            "a;b",
            "a\r\nb",
            "müller.example",
            "[a",
            "a..b",
            "<a>",
            "a@b",
            &"a".repeat(256),
        ] {
            assert_eq!(ClientName::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn display_is_the_inverse_and_injects_nothing(local in "[ -~é]{0,40}", domain in "[a-z0-9]{1,8}(\\.[a-z]{1,8}){0,3}") {
            let mailbox = Mailbox { local, domain };
            let wire = format!("<{mailbox}>");
            prop_assert!(!wire.chars().any(char::is_control));
            prop_assert_eq!(reverse(&wire), Ok((ReversePath::Mailbox(mailbox), "")));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[<>@\":,.\\\\a é\r\n\\[\\]]{0,24}") {
            let _ = forward(&text);
            if let Ok((ReversePath::Mailbox(mailbox), _)) = reverse(&text) {
                prop_assert!(!mailbox.to_string().chars().any(char::is_control));
            }
        }
    }
}
