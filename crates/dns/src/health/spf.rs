//! SPF: one record, which lets our hosts send and says what of all others (RFC 7208).

use super::{Status, Verdict};

/// Mechanisms by name; another name makes the whole record a permerror (RFC 7208 §4.6, §5).
const MECHANISMS: [&str; 8] = ["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"];

/// The SPF records among a name's TXT records (RFC 7208 §4.5).
pub(super) fn only(mut records: Vec<String>) -> Vec<String> {
    records.retain(|record| {
        let version = record.split(' ').next().unwrap_or_default();
        version.eq_ignore_ascii_case("v=spf1")
    });
    records
}

/// Compares SPF records, and only such, with the mechanism that has to be in the one.
pub(super) fn evaluate(found: &[String], mechanism: &str) -> Verdict {
    let record = match found {
        [] => return Verdict::new(Status::Missing, "no TXT record begins with v=spf1"),
        [record] => record,
        _ => {
            let detail = "several SPF records are an error to receivers (RFC 7208 section 4.5): merge them";
            return Verdict::new(Status::Conflicting, detail);
        }
    };
    let different = |detail: String| Verdict::new(Status::Different, detail);
    let terms = record.split(' ').skip(1).filter(|term| !term.is_empty()).map(Term::of).collect::<Vec<_>>();
    if let Some(unknown) = terms.iter().find(|term| !term.is_modifier && !MECHANISMS.contains(&term.name())) {
        return different(format!("no such mechanism: {}", unknown.text));
    }
    let all = terms.iter().position(|term| !term.is_modifier && term.text == "all");
    // RFC 7208 §5.1: what comes after `all` is never tried.
    let tried = all.map_or(&terms[..], |at| &terms[..at]);
    let wanted = Term::of(mechanism);
    match tried.iter().find(|term| term.text == wanted.text) {
        Some(ours) if ours.qualifier == wanted.qualifier => {}
        Some(ours) => return different(format!("{mechanism} is qualified with {}", ours.qualifier)),
        None if terms.iter().any(|term| term.text == wanted.text) => {
            return different(format!("{mechanism} comes after all and is never tried"));
        }
        None => return different(format!("{mechanism} is not in the record")),
    }
    let Some(all) = all.map(|at| &terms[at]) else {
        // RFC 7208 §6.1: another record then says it.
        let is_redirected = terms.iter().any(|term| term.is_modifier && term.name() == "redirect");
        return if is_redirected {
            Verdict::ok()
        } else {
            different(
                "the record does not end with all, so that others may send too: add ~all or -all".into(),
            )
        };
    };
    let warning =
        if all.qualifier == '+' { "+all lets anybody send for the domain: use ~all or -all" } else { "" };
    Verdict::new(Status::Ok, warning)
}

/// A mechanism or a modifier (RFC 7208 §4.6.1).
struct Term {
    /// `+` if there was none (RFC 7208 §4.6.2).
    qualifier: char,
    /// The rest in lower case, as names and domains have none, without a final dot.
    text: String,
    is_modifier: bool,
}

impl Term {
    fn of(term: &str) -> Term {
        let term = term.to_ascii_lowercase();
        let qualifier = term.chars().next().filter(|c| "+-~?".contains(*c));
        let text = qualifier.map_or(&term[..], |_| &term[1..]).trim_end_matches('.').to_owned();
        let is_modifier = text.find([':', '/', '=']).is_some_and(|at| text[at..].starts_with('='));
        Term { qualifier: qualifier.unwrap_or('+'), text, is_modifier }
    }

    fn name(&self) -> &str {
        self.text.split([':', '/', '=']).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(found: &[&str]) -> (Status, String) {
        let found = only(found.iter().map(|&record| record.to_owned()).collect());
        let Verdict { status, detail } = evaluate(&found, "include:spf.host.example");
        (status, detail)
    }

    #[test]
    fn ours_among_others_is_ok() {
        for record in [
            "v=spf1 include:spf.host.example -all",
            "v=spf1 include:spf.host.example ~all",
            "V=SPF1  ip4:192.0.2.0/24 a/24 mx:mail.example.org/28 +Include:SPF.host.example. ?ALL",
            "v=spf1 include:spf.host.example -all exp=why.example.org",
            "v=spf1 include:spf.host.example redirect=_spf.example.org",
        ] {
            assert_eq!(verdict(&[record, "other=1"]), (Status::Ok, String::new()), "{record}");
        }
    }

    #[test]
    fn what_lets_us_not_send_is_different_and_says_why() {
        for (record, why) in [
            ("v=spf1 -all", "not in the record"),
            ("v=spf1", "not in the record"),
            ("v=spf1 include:spf.host.example.org -all", "not in the record"),
            ("v=spf1 -include:spf.host.example -all", "qualified with -"),
            ("v=spf1 ?include:spf.host.example -all", "qualified with ?"),
            ("v=spf1 -all include:spf.host.example", "after all"),
            ("v=spf1 include:spf.host.example", "does not end with all"),
            (
                "v=spf1 inlcude:old.example include:spf.host.example -all",
                "no such mechanism: inlcude:old.example",
            ),
        ] {
            let (status, detail) = verdict(&[record]);
            assert_eq!(status, Status::Different, "{record}");
            assert!(detail.contains(why), "{record}: {detail}");
        }
    }

    #[test]
    fn letting_everybody_send_is_a_warning() {
        for record in ["v=spf1 include:spf.host.example +all", "v=spf1 include:spf.host.example all"] {
            let (status, detail) = verdict(&[record]);
            assert_eq!(status, Status::Ok);
            assert!(detail.contains("+all"), "{detail}");
        }
    }

    #[test]
    fn one_record_and_no_more() {
        let ours = "v=spf1 include:spf.host.example -all";
        assert_eq!(verdict(&[]).0, Status::Missing);
        assert_eq!(verdict(&["v=spf10 -all", "spf2.0/mfrom -all", "text"]).0, Status::Missing);
        assert_eq!(verdict(&[ours, "v=spf1 include:old.example ~all"]).0, Status::Conflicting);
        assert_eq!(verdict(&[ours, "v=spf10"]).0, Status::Ok);
    }
}
