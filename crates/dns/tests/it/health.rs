//! A domain's records, looked up and compared.

use std::time::{Duration, Instant};

use dns::health::{Check, Dkim, Expected, Health, RecordKind, Status, check};
use testkit::dns::DnsServer;

use crate::{domain, server_and_resolver};

const SPF: &str = "v=spf1 include:spf.host.example ~all";
const KEY: &str = "v=DKIM1; k=rsa; p=MIGfMA0GCSqG";

fn expected() -> Expected {
    Expected {
        mx: vec!["mx1.host.example".into(), "mx2.host.example".into()],
        spf: "include:spf.host.example".into(),
        dkim: vec![Dkim { selector: "s1".into(), record: KEY.into() }],
        dmarc: true,
    }
}

fn publish(server: &DnsServer, domain: &str) {
    server.set_mx(domain, &[(10, "mx1.host.example"), (20, "MX2.host.example")]);
    server.set_txt(domain, &["google-site-verification=1", SPF]);
    server.set_txt(&format!("s1._domainkey.{domain}"), &["v=DKIM1;k=rsa;p=MIGf MA0GCSqG"]);
    server.set_txt(&format!("_dmarc.{domain}"), &["v=DMARC1; p=reject"]);
}

fn statuses(health: &Health) -> Vec<(&'static str, &'static str)> {
    health.checks.iter().map(|check| (check.record.as_str(), check.status.as_str())).collect()
}

#[tokio::test]
async fn a_domain_with_all_its_records_is_ok() {
    let (server, resolver) = server_and_resolver().await;
    publish(&server, "example.org");
    let health = check(&resolver, &domain("example.org"), &expected()).await;
    assert!(health.is_ok(), "{health:?}");
    assert_eq!(statuses(&health), [("mx", "ok"), ("spf", "ok"), ("dkim", "ok"), ("dmarc", "ok")]);
    let mx = Check {
        record: RecordKind::Mx,
        name: "example.org".into(),
        expected: "mx1.host.example, mx2.host.example".into(),
        found: vec!["10 mx1.host.example".into(), "20 mx2.host.example".into()],
        status: Status::Ok,
        detail: String::new(),
    };
    assert_eq!(health.checks[0], mx);
    let spf = &health.checks[1];
    assert_eq!((spf.expected.as_str(), &spf.found[..]), (SPF, &[SPF.to_owned()][..]), "no other TXT records");
    assert_eq!(health.checks[2].name, "s1._domainkey.example.org");
    assert_eq!(health.checks[3].name, "_dmarc.example.org");
}

#[tokio::test]
async fn a_domain_without_records_says_what_is_missing() {
    let (_server, resolver) = server_and_resolver().await;
    let health = check(&resolver, &domain("example.org"), &expected()).await;
    assert!(!health.is_ok());
    assert!(health.checks.iter().all(|check| check.status == Status::Missing), "{health:?}");
    assert_eq!(health.checks[2].expected, KEY);
    assert_eq!(health.checks[3].expected, "v=DMARC1; p=none");
}

#[tokio::test]
async fn each_record_is_judged_alone() {
    let (server, resolver) = server_and_resolver().await;
    server.set_mx("example.org", &[(0, ".")]);
    server.set_txt("example.org", &[SPF, "v=spf1 -all"]);
    server.set_txt("s1._domainkey.example.org", &["v=DKIM1; p="]);
    server.fail("_dmarc.example.org");
    let health = check(&resolver, &domain("example.org"), &expected()).await;
    let statuses = statuses(&health);
    assert_eq!(
        statuses,
        [("mx", "different"), ("spf", "conflicting"), ("dkim", "different"), ("dmarc", "unavailable")]
    );
    assert!(health.checks.iter().all(|check| !check.detail.is_empty()), "{health:?}");
}

#[tokio::test]
async fn what_is_not_expected_is_not_checked() {
    let (_server, resolver) = server_and_resolver().await;
    let health = check(&resolver, &domain("example.org"), &Expected::default()).await;
    assert!(health.checks.is_empty(), "{health:?}");
}

#[tokio::test]
async fn a_domain_beyond_ascii_has_its_records_at_its_a_label() {
    let (server, resolver) = server_and_resolver().await;
    publish(&server, "xn--mller-kva.example");
    let health = check(&resolver, &domain("Müller.example"), &expected()).await;
    assert!(health.is_ok(), "{health:?}");
    assert_eq!(health.checks[3].name, "_dmarc.xn--mller-kva.example");
}

#[tokio::test]
async fn silence_is_waited_for_once_by_all_checks_together() {
    let (server, resolver) = server_and_resolver().await;
    for name in ["example.org", "s1._domainkey.example.org", "_dmarc.example.org"] {
        server.silence(name);
    }
    let start = Instant::now();
    let health = check(&resolver, &domain("example.org"), &expected()).await;
    assert!(health.checks.iter().all(|check| check.status == Status::Unavailable), "{health:?}");
    assert_eq!(health.checks.len(), 4);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}
