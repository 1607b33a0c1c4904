//! Proof that whoever claims a domain can publish in it.

use dns::{Error, ownership_name, ownership_value, owns};

use crate::{domain, server_and_resolver};

#[tokio::test]
async fn the_proof_counts_once_it_is_published() {
    let (server, resolver) = server_and_resolver().await;
    let domain = domain("example.org");
    assert_eq!(ownership_name(&domain), "_pillarbox-challenge.example.org");
    assert_eq!(ownership_value("t0ken"), "pillarbox-verification=t0ken");

    assert!(!owns(&resolver, &domain, "t0ken").await.unwrap());
    server.set_txt("_pillarbox-challenge.example.org", &["other", "pillarbox-verification=t0ken "]);
    assert!(owns(&resolver, &domain, "t0ken").await.unwrap());
    server.remove("_pillarbox-challenge.example.org");
    assert!(!owns(&resolver, &domain, "t0ken").await.unwrap());
}

#[tokio::test]
async fn only_this_token_at_this_name_counts() {
    let (server, resolver) = server_and_resolver().await;
    let domain = domain("example.org");
    server.set_txt("example.org", &["pillarbox-verification=t0ken"]);
    for other in [
        "t0ken",
        "pillarbox-verification=t0ke",
        "pillarbox-verification=t0ken2",
        "pillarbox-verification=T0KEN",
        "x pillarbox-verification=t0ken",
    ] {
        server.set_txt("_pillarbox-challenge.example.org", &[other]);
        assert!(!owns(&resolver, &domain, "t0ken").await.unwrap(), "{other}");
    }
}

#[tokio::test]
async fn a_domain_beyond_ascii_is_asked_for_by_its_a_label() {
    let (server, resolver) = server_and_resolver().await;
    let domain = domain("müller.example");
    assert_eq!(ownership_name(&domain), "_pillarbox-challenge.xn--mller-kva.example");
    server.set_txt("_pillarbox-challenge.xn--mller-kva.example", &["pillarbox-verification=t0ken"]);
    assert!(owns(&resolver, &domain, "t0ken").await.unwrap());
}

#[tokio::test]
async fn a_failure_proves_nothing_either_way() {
    let (server, resolver) = server_and_resolver().await;
    server.fail("_pillarbox-challenge.example.org");
    let answer = owns(&resolver, &domain("example.org"), "t0ken").await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}
