//! Tag lists, `v=DKIM1; p=…` (RFC 6376 §3.2), in which DMARC's records are written too (RFC 7489 §6.3).

/// The tags in their order, values without the white space around them.
pub(super) struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    /// Nothing if a part is no `name=value` or a name comes twice: the list is then invalid as a whole.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut tags = Vec::<(&str, &str)>::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let name = name.trim_end();
            if name.is_empty() || tags.iter().any(|(known, _)| *known == name) {
                return None;
            }
            tags.push((name, value.trim_start()));
        }
        Some(Self(tags))
    }

    /// Names are case-sensitive.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Whether the list begins with this tag; a version that comes later counts for nothing.
    pub(super) fn begins_with(&self, name: &str, value: &str) -> bool {
        self.0.first() == Some(&(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_a_final_semicolon_do_not_matter() {
        let tags = Tags::parse(" v = DMARC1 ;p= none; rua=mailto:a@example.org?x=1 ;").unwrap();
        assert!(tags.begins_with("v", "DMARC1"));
        assert_eq!(tags.get("p"), Some("none"));
        assert_eq!(tags.get("rua"), Some("mailto:a@example.org?x=1"));
        assert_eq!(tags.get("P"), None);
    }

    #[test]
    fn a_malformed_list_is_none() {
        for text in ["v=DMARC1; none", "p=none; p=reject", "=x"] {
            assert!(Tags::parse(text).is_none(), "{text}");
        }
    }
}
