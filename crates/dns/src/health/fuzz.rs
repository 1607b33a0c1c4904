//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use super::tags::Tags;
use super::{Status, Verdict, dkim, dmarc, spf};

/// TXT records of strangers, one a line: there is a verdict, and who may be told that all is well is who has what is expected.
pub fn records(bytes: &[u8]) {
    const KEY: &str = "v=DKIM1; k=ed25519; p=AAAA";
    let text = String::from_utf8_lossy(bytes);
    let found: Vec<String> = text.lines().map(str::to_owned).collect();
    let spf_found = spf::only(found.clone());
    let mechanism = "include:spf.host.example";
    let is_ok = |verdict: &Verdict| verdict.status == Status::Ok;
    if is_ok(&spf::evaluate(&spf_found, mechanism)) {
        assert!(spf_found.len() == 1 && spf_found[0].to_ascii_lowercase().contains(mechanism));
    }
    if is_ok(&dkim::evaluate(&found, KEY)) {
        assert_eq!(found.len(), 1);
        // Whatever else it says, it says that.
        assert_eq!(
            Tags::parse(&found[0]).and_then(|tags| tags.get("p").map(without_white)),
            Some("AAAA".into())
        );
    }
    if is_ok(&dmarc::evaluate(&found)) {
        assert!(text.contains("DMARC1"));
    }
    assert!(is_ok(&dkim::evaluate(&[KEY.to_owned()], KEY)));
}

fn without_white(text: &str) -> String {
    text.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("dns_records", super::records);
    }
}
