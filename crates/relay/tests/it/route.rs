//! The way to the smarthost: connections, TLS, signing in.

use relay::{RouteFault, SetupError, Smarthost};
use rustls::RootCertStore;
use testkit::smarthost::{Fault, Step};

use crate::support::{Mode, fault, outcomes, pair, relay, send, smarthost};

#[tokio::test]
async fn both_kinds_of_tls_encrypt_and_sign_in() {
    for mode in [Mode::Implicit, Mode::Upgrade] {
        for mechanisms in
            ["AUTH PLAIN LOGIN", "AUTH LOGIN", "AUTH CRAM-MD5 PLAIN", "AUTH DIGEST-MD5 LOGIN PLAIN"]
        {
            let (host, roots) = smarthost(mode).await;
            host.offer(&[mechanisms]);
            host.require("us@er", "pass:word/%");
            let relay = relay(&host.url("us%40er:pass%3Aword%2F%25@"), roots);
            assert_eq!(outcomes(&relay, &["b@c.example"]).await, ["+250 2.0.0 queued"]);
            let received = host.received().remove(0);
            assert_eq!((received.is_tls, received.user.as_deref()), (true, Some("us@er")));
            let preferred = if mechanisms.contains("PLAIN") { "AUTH PLAIN" } else { "AUTH LOGIN" };
            assert!(host.heard().iter().any(|line| line == preferred));
            // STARTTLS: EHLO again, as what was said in plain text is forgotten.
            let hellos = host.heard().iter().filter(|line| line.starts_with("EHLO ")).count();
            assert_eq!(hellos, if mode == Mode::Upgrade { 2 } else { 1 });
        }
    }
}

#[tokio::test]
async fn the_machine_itself_may_be_spoken_to_in_plain_text() {
    let (host, roots) = smarthost(Mode::Plain).await;
    host.offer(&["AUTH PLAIN"]);
    host.require("user", "password");
    let url = format!("smtp://user:password@127.0.0.1:{}", host.port());
    assert_eq!(outcomes(&relay(&url, roots), &["b@c.example"]).await, ["+250 2.0.0 queued"]);
    assert!(!host.received()[0].is_tls);
}

#[tokio::test]
async fn nobody_else_may() {
    let (host, roots) = smarthost(Mode::Plain).await;
    host.offer(&["AUTH PLAIN"]);
    host.require("user", "password");
    // Linux connects 0.0.0.0 to the machine itself; as a name it is any host's.
    let relay = relay(&format!("smtp://user:password@0.0.0.0:{}", host.port()), roots);
    let got = send(&relay, &["b@c.example"]).await;
    assert!(matches!(got, Err(RouteFault::NoStartTls)), "{got:?}");
    assert_eq!(host.heard(), ["EHLO mx.pillarbox.example"]);
}

#[tokio::test]
async fn a_certificate_has_to_name_the_host_and_be_trusted() {
    for mode in [Mode::Implicit, Mode::Upgrade] {
        let (host, roots) = smarthost(mode).await;
        let by_address = host.url("").replace("localhost", "127.0.0.1");
        let named = fault(&relay(&by_address, roots)).await;
        assert!(named.starts_with("the TLS handshake: ") && named.contains("not valid for name"), "{named}");
        let (_, strangers) = smarthost(mode).await;
        let unknown = fault(&relay(&host.url(""), strangers)).await;
        assert!(unknown.contains("invalid peer certificate"), "{unknown}");
        let none = fault(&relay(&host.url(""), RootCertStore::empty())).await;
        assert!(none.contains("UnknownIssuer"), "{none}");
        assert!(host.received().is_empty());
    }
}

#[tokio::test]
async fn what_is_glued_behind_starttls_is_no_reply() {
    let (host, roots) = smarthost(Mode::Upgrade).await;
    let relay = relay(&host.url(""), roots);
    host.fail(Fault::Answer(Step::StartTls, "220 2.0.0 go ahead\n250-evil\n250 AUTH PLAIN"), 1);
    let got = send(&relay, &["b@c.example"]).await;
    assert!(matches!(got, Err(RouteFault::Injected)), "{got:?}");
    assert!(host.received().is_empty());
    assert_eq!(outcomes(&relay, &["b@c.example"]).await, ["+250 2.0.0 queued"]);
}

#[tokio::test]
async fn every_step_before_mail_is_the_routes() {
    for (step, text, shows) in [
        (Step::Connect, "554 5.7.1 not from there", "the greeting: 554 5.7.1 not from there"),
        (Step::Connect, "421 4.3.2 busy", "the greeting: 421 4.3.2 busy"),
        (Step::Ehlo, "550-5.7.1 no\n550 5.7.1 really", "EHLO: 550 5.7.1 no really"),
        (Step::Ehlo, "421 4.3.2 busy", "EHLO: 421 4.3.2 busy"),
        (Step::StartTls, "454 4.7.0 no TLS today", "STARTTLS: 454 4.7.0 no TLS today"),
        (Step::Auth, "454 4.7.0 try later", "AUTH: 454 4.7.0 try later"),
        (Step::Auth, "535 5.7.139 locked", "AUTH: 535 5.7.139 locked"),
    ] {
        let (host, roots) = smarthost(Mode::Upgrade).await;
        host.offer(&["AUTH PLAIN"]);
        host.require("user", "password");
        host.fail(Fault::Answer(step, text), 1);
        let relay = relay(&host.url("user:password@"), roots);
        let got = fault(&relay).await;
        assert_eq!(got, shows);
        assert_eq!(outcomes(&relay, &["b@c.example"]).await, ["+250 2.0.0 queued"]);
        assert_eq!(host.connections(), 2);
    }
    for (step, begins) in [
        (Step::Connect, "the TLS handshake: "),
        (Step::Ehlo, "EHLO: "),
        (Step::Auth, "AUTH: "),
        (Step::Mail, "MAIL: "),
    ] {
        let (host, roots) = smarthost(Mode::Implicit).await;
        host.offer(&["AUTH PLAIN"]);
        host.require("user", "password");
        host.fail(Fault::Cut(step), 1);
        let got = fault(&relay(&host.url("user:password@"), roots)).await;
        assert!(got.starts_with(begins), "{step:?}: {got}");
    }
}

#[tokio::test]
async fn a_wrong_password_or_no_way_to_give_it_is_the_routes() {
    let (host, roots) = smarthost(Mode::Implicit).await;
    host.require("user", "password");
    let no_way = send(&relay(&host.url("user:password@"), roots.clone()), &["b@c.example"]).await;
    assert!(matches!(no_way, Err(RouteFault::NoAuth)), "{no_way:?}");
    host.offer(&["AUTH CRAM-MD5 XOAUTH2"]);
    let no_way = send(&relay(&host.url("user:password@"), roots.clone()), &["b@c.example"]).await;
    assert!(matches!(no_way, Err(RouteFault::NoAuth)), "{no_way:?}");
    assert!(!host.heard().iter().any(|line| line.starts_with("AUTH")), "what we cannot do is not begun");
    for mechanism in ["AUTH PLAIN LOGIN", "AUTH LOGIN"] {
        host.offer(&[mechanism]);
        let got = fault(&relay(&host.url("user:guess@"), roots.clone())).await;
        assert_eq!(got, "AUTH: 535 5.7.8 not you");
    }
}

#[tokio::test]
async fn nobody_there_is_the_routes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://localhost:{}", listener.local_addr().unwrap().port());
    drop(listener);
    assert!(fault(&relay(&url, RootCertStore::empty())).await.starts_with("connecting: "));
    let unknown = relay("smtps://nobody.invalid", RootCertStore::empty());
    assert!(fault(&unknown).await.starts_with("connecting: "));
}

#[tokio::test]
async fn a_relay_knows_its_host_and_shows_no_password() {
    let (host, _) = pair().await;
    let smarthost = Smarthost::parse(&host.url("user:hunter2@")).unwrap();
    let relay = relay::Relay::new(smarthost.clone(), "mx.pillarbox.example".into()).unwrap();
    assert_eq!(relay.remote(), "localhost");
    assert!(!format!("{relay:?}").contains("hunter2"));
    for hostname in ["", "a b", "a\r\nb"] {
        let refused = relay::Relay::new(smarthost.clone(), hostname.into());
        assert!(matches!(refused, Err(SetupError::Hostname)));
    }
}
