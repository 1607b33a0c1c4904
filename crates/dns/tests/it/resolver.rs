//! What lookups answer, whatever servers do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dns::{Error, Mx, Resolver};

use crate::server_and_resolver;

fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn records_are_found_by_absolute_names() {
    let (server, resolver) = server_and_resolver().await;
    server.set_txt("example.org", &["one", "two"]);
    server.set_mx("example.org", &[(20, "mx2.example.org"), (10, "MX1.Example.ORG.")]);

    for name in ["example.org", "example.org.", "Example.ORG"] {
        assert_eq!(resolver.txt(name).await.unwrap(), ["one", "two"], "{name}");
    }
    let mx = |preference, exchange: &str| Mx { preference, exchange: exchange.to_owned() };
    let expected = [mx(10, "mx1.example.org"), mx(20, "mx2.example.org")];
    assert_eq!(resolver.mx("example.org").await.unwrap(), expected);
}

#[tokio::test]
async fn the_null_mx_is_told_from_none() {
    let (server, resolver) = server_and_resolver().await;
    server.set_mx("example.org", &[(0, ".")]);
    let found = resolver.mx("example.org").await.unwrap();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0 ."]);
    assert!(found[0].is_null());
}

#[tokio::test]
async fn what_does_not_exist_is_empty() {
    let (server, resolver) = server_and_resolver().await;
    server.set_txt("sub.example.org", &["text"]);
    assert!(resolver.txt("nowhere.example.org").await.unwrap().is_empty(), "NXDOMAIN");
    assert!(resolver.txt("example.org").await.unwrap().is_empty(), "no data");
    assert!(resolver.mx("sub.example.org").await.unwrap().is_empty(), "no data of this type");
    let too_long = format!("{}.example.org", "a".repeat(64));
    assert!(resolver.txt(&too_long).await.unwrap().is_empty(), "a label that cannot be");
}

#[tokio::test]
async fn every_lookup_is_a_fresh_one() {
    let (server, resolver) = server_and_resolver().await;
    assert!(resolver.txt("example.org").await.unwrap().is_empty());
    server.set_txt("example.org", &["published"]);
    assert_eq!(resolver.txt("example.org").await.unwrap(), ["published"]);
    server.set_txt("example.org", &["changed"]);
    assert_eq!(resolver.txt("example.org").await.unwrap(), ["changed"]);
    server.remove("example.org");
    assert!(resolver.txt("example.org").await.unwrap().is_empty());
}

#[tokio::test]
async fn long_records_are_put_together() {
    let (server, resolver) = server_and_resolver().await;
    let long = "0123456789".repeat(60);
    server.set_txt("example.org", &[&long, ""]);
    let mut found = resolver.txt("example.org").await.unwrap();
    found.sort();
    assert_eq!(found, ["", &long]);
    assert_eq!(server.tcp_queries(), 0, "it fits into one datagram");
}

#[tokio::test]
async fn what_is_cut_off_over_udp_comes_over_tcp() {
    let (server, resolver) = server_and_resolver().await;
    let records = (0..20).map(|n| format!("{n:02} {}", "x".repeat(200))).collect::<Vec<_>>();
    server.set_txt("example.org", &records.iter().map(String::as_str).collect::<Vec<_>>());
    for round in 1..=2 {
        let mut found = resolver.txt("example.org").await.unwrap();
        found.sort();
        assert_eq!(found, records);
        assert!(server.tcp_queries() >= round, "it does not fit into a datagram");
    }
}

#[tokio::test]
async fn aliases_are_followed() {
    let (server, resolver) = server_and_resolver().await;
    server.set_alias("s1._domainkey.example.org", "s1.keys.host.example");
    server.set_txt("s1.keys.host.example", &["p=AAAA"]);
    assert_eq!(resolver.txt("s1._domainkey.example.org").await.unwrap(), ["p=AAAA"]);
    server.remove("s1.keys.host.example");
    assert!(resolver.txt("s1._domainkey.example.org").await.unwrap().is_empty());
}

#[tokio::test]
async fn failure_is_not_absence() {
    let (server, resolver) = server_and_resolver().await;
    server.fail("example.org");
    assert_unavailable(resolver.txt("example.org").await);
    assert_unavailable(resolver.mx("example.org").await);
    server.refuse("example.org");
    assert_unavailable(resolver.txt("example.org").await);
    server.set_txt("example.org", &["recovered"]);
    assert_eq!(resolver.txt("example.org").await.unwrap(), ["recovered"]);
}

#[tokio::test]
async fn silence_is_waited_for_twice_and_no_longer() {
    let (server, resolver) = server_and_resolver().await;
    server.silence("example.org");
    let start = Instant::now();
    assert_unavailable(resolver.txt("example.org").await);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(3900), "{waited:?}");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
}

#[tokio::test]
async fn a_stopped_server_is_unavailable() {
    let (server, resolver) = server_and_resolver().await;
    server.set_txt("example.org", &["text"]);
    assert_eq!(resolver.txt("example.org").await.unwrap(), ["text"]);
    drop(server);
    assert_unavailable(resolver.txt("example.org").await);
}

#[tokio::test]
async fn without_servers_all_is_unavailable() {
    assert_unavailable(Resolver::at(&[]).txt("example.org").await);
}

#[tokio::test]
async fn another_server_is_asked_when_one_fails() {
    let (failing, _) = server_and_resolver().await;
    let (refusing, _) = server_and_resolver().await;
    let (working, _) = server_and_resolver().await;
    failing.fail("example.org");
    refusing.refuse("example.org");
    working.set_txt("example.org", &["text"]);
    let resolver = Resolver::at(&[failing.addr(), refusing.addr(), working.addr()]);
    assert_eq!(resolver.txt("example.org").await.unwrap(), ["text"]);

    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let resolver = Resolver::at(&[nobody, working.addr()]);
    assert_eq!(resolver.txt("example.org").await.unwrap(), ["text"]);
}

#[tokio::test]
async fn the_systems_configuration_is_read_or_done_without() {
    // Whatever this machine has: only that it does not fail.
    drop(Resolver::system());
}
