//! MX: all of our hosts, and no other (RFC 5321 §5.1).

use super::{Status, Verdict};
use crate::Mx;

/// A host that is not ours would take mail that then never arrives here, whatever its preference.
pub(super) fn evaluate(found: &[Mx], expected: &[String]) -> Verdict {
    if found.is_empty() {
        return Verdict::new(Status::Missing, "without an MX record mail goes to the domain's own address");
    }
    if found.iter().any(Mx::is_null) {
        return Verdict::new(Status::Different, "the null MX says that the domain takes no mail (RFC 7505)");
    }
    let expected = expected.iter().map(|host| normal(host)).collect::<Vec<_>>();
    let absent = expected.iter().filter(|host| !found.iter().any(|mx| mx.exchange == **host));
    let absent = absent.map(String::as_str).collect::<Vec<_>>();
    let (ours, foreign) = found.iter().partition::<Vec<_>, _>(|mx| expected.contains(&mx.exchange));

    let mut reasons = Vec::new();
    if !absent.is_empty() {
        reasons.push(format!("not among the records: {}", absent.join(", ")));
    }
    if let Some(first) = foreign.iter().map(|mx| mx.preference).min() {
        let hosts = foreign.iter().map(|mx| mx.exchange.as_str()).collect::<Vec<_>>().join(", ");
        let ours_are_first = ours.iter().any(|mx| mx.preference < first);
        let when = if ours_are_first { "when ours do not answer" } else { "before ours or as often" };
        reasons.push(format!("other hosts take mail {when}: {hosts}"));
    }
    if reasons.is_empty() { Verdict::ok() } else { Verdict::new(Status::Different, reasons.join("; ")) }
}

fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(found: &[(u16, &str)]) -> (Status, String) {
        let record = |&(preference, exchange): &(u16, &str)| Mx { preference, exchange: exchange.to_owned() };
        let expected = ["mx1.host.example".to_owned(), "MX2.host.example.".to_owned()];
        let Verdict { status, detail } = evaluate(&found.iter().map(record).collect::<Vec<_>>(), &expected);
        (status, detail)
    }

    #[test]
    fn ours_and_no_others_at_any_preference() {
        assert_eq!(
            verdict(&[(10, "mx1.host.example"), (20, "mx2.host.example")]),
            (Status::Ok, String::new())
        );
        assert_eq!(verdict(&[(0, "mx2.host.example"), (0, "mx1.host.example")]).0, Status::Ok);
    }

    #[test]
    fn none_and_the_null_mx_take_no_mail() {
        assert_eq!(verdict(&[]).0, Status::Missing);
        let (status, detail) = verdict(&[(0, ".")]);
        assert_eq!(status, Status::Different);
        assert!(detail.contains("RFC 7505"), "{detail}");
        let beside_ours = [(0, "."), (10, "mx1.host.example"), (10, "mx2.host.example")];
        assert_eq!(verdict(&beside_ours).0, Status::Different);
    }

    #[test]
    fn names_what_is_absent_and_what_is_foreign() {
        let (status, detail) = verdict(&[(10, "mx1.host.example")]);
        assert_eq!((status, detail.as_str()), (Status::Different, "not among the records: mx2.host.example"));
        let (status, detail) = verdict(&[(1, "aspmx.old.example")]);
        assert_eq!(status, Status::Different);
        assert_eq!(
            detail,
            "not among the records: mx1.host.example, mx2.host.example; \
             other hosts take mail before ours or as often: aspmx.old.example"
        );
    }

    #[test]
    fn a_foreign_backup_is_told_from_one_that_comes_first() {
        let ours = [(10, "mx1.host.example"), (20, "mx2.host.example")];
        let with = |preference| {
            let (status, detail) = verdict(&[ours[0], ours[1], (preference, "old.example")]);
            assert_eq!(status, Status::Different);
            detail
        };
        assert_eq!(with(30), "other hosts take mail when ours do not answer: old.example");
        assert_eq!(with(15), "other hosts take mail when ours do not answer: old.example");
        assert_eq!(with(10), "other hosts take mail before ours or as often: old.example");
        assert_eq!(with(5), "other hosts take mail before ours or as often: old.example");
    }
}
