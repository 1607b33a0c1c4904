//! DKIM: the key at the selector is the one we sign with (RFC 6376 §3.6.1).

use super::tags::Tags;
use super::{Status, Verdict};

/// Keys are compared by what they are, `p=` and `k=`: providers fold, quote and reorder the rest.
pub(super) fn evaluate(found: &[String], expected: &str) -> Verdict {
    let record = match found {
        [] => return Verdict::new(Status::Missing, "there is no key at the selector's name"),
        [record] => record,
        // RFC 6376 §3.6.2.2: "the results are undefined".
        _ => return Verdict::new(Status::Conflicting, "a selector has one TXT record only"),
    };
    let different = |detail| Verdict::new(Status::Different, detail);
    let Some(tags) = Tags::parse(record) else { return different("the record is not a list of tags") };
    // RFC 6376 §3.6.1: the version is optional, but nothing comes before it.
    if tags.get("v").is_some() && !tags.begins_with("v", "DKIM1") {
        return different("the record does not begin with v=DKIM1");
    }
    let Some(key) = Key::of(&tags) else { return different("the record has no key (p=)") };
    if key.data.is_empty() {
        return different("the key is revoked: p= is empty");
    }
    let expected = Tags::parse(expected).and_then(|tags| Key::of(&tags));
    match expected {
        Some(expected) if expected.kind != key.kind => different("the key is of another kind (k=)"),
        Some(expected) if expected.data == key.data => Verdict::new(Status::Ok, warning(&tags)),
        _ => different("it is another key (p=)"),
    }
}

#[derive(PartialEq, Eq)]
struct Key {
    kind: String,
    data: String,
}

impl Key {
    fn of(tags: &Tags<'_>) -> Option<Key> {
        let data = tags.get("p")?.split_whitespace().collect();
        Some(Key { kind: tags.get("k").unwrap_or("rsa").to_ascii_lowercase(), data })
    }
}

fn warning(tags: &Tags<'_>) -> &'static str {
    let is_testing = tags.get("t").is_some_and(|flags| flags.split(':').any(|flag| flag.trim() == "y"));
    if is_testing { "t=y says that signing is only tested; receivers may ignore signatures" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &str = "v=DKIM1; k=rsa; p=MIGfMA0GCSqG";

    fn verdict(found: &[&str]) -> (Status, String) {
        let found = found.iter().map(|&record| record.to_owned()).collect::<Vec<_>>();
        let Verdict { status, detail } = evaluate(&found, EXPECTED);
        (status, detail)
    }

    #[test]
    fn the_same_key_however_it_is_written() {
        for same in [
            EXPECTED,
            "v=DKIM1;p=MIGfMA0GCSqG;",
            "p=MIGf MA0G\tCSqG",
            "v=DKIM1; h=sha256; k=RSA; s=email; p=MIGfMA0GCSqG",
        ] {
            assert_eq!(verdict(&[same]), (Status::Ok, String::new()), "{same}");
        }
    }

    #[test]
    fn another_key_is_different_and_says_why() {
        for (other, why) in [
            ("v=DKIM1; k=rsa; p=", "revoked"),
            ("v=DKIM1; k=rsa; p= ;", "revoked"),
            ("v=DKIM1; k=rsa; p=MIGfMA0GCSqH", "another key"),
            ("v=DKIM1; k=rsa; p=migfma0gcsqg", "another key"),
            ("v=DKIM1; k=ed25519; p=MIGfMA0GCSqG", "another kind"),
            ("v=DKIM2; k=rsa; p=MIGfMA0GCSqG", "begin"),
            ("k=rsa; v=DKIM1; p=MIGfMA0GCSqG", "begin"),
            ("v=DKIM1; k=rsa", "no key"),
            ("v=spf1 -all", "begin"),
            ("hello", "not a list"),
        ] {
            let (status, detail) = verdict(&[other]);
            assert_eq!(status, Status::Different, "{other}");
            assert!(detail.contains(why), "{other}: {detail}");
        }
    }

    #[test]
    fn a_selector_has_one_record() {
        assert_eq!(verdict(&[]).0, Status::Missing);
        assert_eq!(verdict(&[EXPECTED, "v=DKIM1; p=AAAA"]).0, Status::Conflicting);
    }

    #[test]
    fn test_mode_is_a_warning() {
        let (status, detail) = verdict(&["v=DKIM1; t=s:y; p=MIGfMA0GCSqG"]);
        assert_eq!(status, Status::Ok);
        assert!(detail.contains("t=y"), "{detail}");
    }
}
