//! DMARC: one policy at `_dmarc`, with what receivers should do (RFC 7489 §6.3, §6.6.3).

use super::tags::Tags;
use super::{Status, Verdict};

/// The least that a domain can publish.
pub(super) const EXAMPLE: &str = "v=DMARC1; p=none";

/// Any valid policy will do: how strict it is, is the domain's own decision.
pub(super) fn evaluate(found: &[String]) -> Verdict {
    let mut policies = found.iter().filter(|record| is_policy(record));
    let (policy, another) = (policies.next(), policies.next());
    if another.is_some() {
        return Verdict::new(
            Status::Conflicting,
            "several DMARC records count as none (RFC 7489 section 6.6.3)",
        );
    }
    let Some(policy) = policy else {
        return match found {
            [] => Verdict::new(Status::Missing, "there is no policy"),
            _ => Verdict::new(Status::Different, "no record begins with v=DMARC1"),
        };
    };
    let Some(tags) = Tags::parse(policy) else {
        return Verdict::new(Status::Different, "the record is not a list of tags");
    };
    match tags.get("p").map(str::to_ascii_lowercase).as_deref() {
        Some("none" | "quarantine" | "reject") => Verdict::ok(),
        Some(_) => Verdict::new(Status::Different, "p= is none of none, quarantine and reject"),
        None => Verdict::new(Status::Different, "the policy (p=) is not in the record"),
    }
}

/// RFC 7489 §6.3: the version comes first and is case-sensitive. What follows may be malformed.
fn is_policy(record: &str) -> bool {
    let first = record.split(';').next().unwrap_or_default();
    Tags::parse(first).is_some_and(|tags| tags.begins_with("v", "DMARC1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(found: &[&str]) -> Status {
        evaluate(&found.iter().map(|&record| record.to_owned()).collect::<Vec<_>>()).status
    }

    #[test]
    fn any_valid_policy_is_ok() {
        for policy in
            [EXAMPLE, "v=DMARC1;p=Quarantine;", "v = DMARC1 ; p = reject ; rua=mailto:d@example.org; pct=50"]
        {
            assert_eq!(status(&[policy]), Status::Ok, "{policy}");
        }
        assert_eq!(status(&[EXAMPLE, "some-other-text"]), Status::Ok);
    }

    #[test]
    fn what_is_no_policy_is_different() {
        for policy in [
            "v=DMARC1",
            "v=DMARC1; p=monitor",
            "v=DMARC1; p=",
            "v=DMARC1; sp=none",
            "v=DMARC1 p=none",
            "v=dmarc1; p=none",
            "p=none; v=DMARC1",
            "v=DMARC10; p=none",
            "v=DMARC1; p=none; p=reject",
            "v=DMARC1; nonsense; p=none",
            "v=spf1 -all",
        ] {
            assert_eq!(status(&[policy]), Status::Different, "{policy}");
        }
    }

    #[test]
    fn one_and_no_more() {
        assert_eq!(status(&[]), Status::Missing);
        assert_eq!(status(&[EXAMPLE, "v=DMARC1; p=reject"]), Status::Conflicting);
        assert_eq!(status(&[EXAMPLE, EXAMPLE]), Status::Conflicting);
    }
}
