//! What an attempt sends, and what it makes of the answers.

use std::time::Duration;

use chrono::TimeDelta;
use kernel::Env;
use tokio::net::TcpListener;
use webhook::{Delivery, Guard, Limits, Outcome, Received, Secret, SendError, UrlError, Verdict, verify};

use crate::support::{Answer, Server, delivery, hasty, loopback, now, patient, sender};

async fn answered(answer: Answer) -> Outcome {
    let server = Server::new(answer).await;
    let outcome = sender(loopback(), patient()).send(&Env::system(), &delivery(server.url())).await;
    assert_eq!(server.connections(), 1);
    outcome
}

#[tokio::test]
async fn a_delivery_is_signed_and_says_who_sends() {
    let server = Server::new(Answer::of("204 No Content", &[], b"")).await;
    let mut sent = delivery(server.url());
    sent.secrets.push(Secret::generate(&Env::system()));
    let outcome = sender(loopback(), patient()).send(&Env::system(), &sent).await;
    assert_eq!(outcome.verdict(), Verdict::Delivered, "{outcome:?}");
    assert!(outcome.duration > Duration::ZERO);

    let [heard] = &server.heard()[..] else { panic!("one request") };
    assert_eq!(heard.line, "POST /hook?tenant=acme HTTP/1.1");
    let mut headers: Vec<_> = heard.headers.keys().map(String::as_str).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            "connection",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp",
        ]
    );
    assert_eq!(heard.headers["host"], format!("127.0.0.1:{}", server.port));
    assert_eq!(heard.headers["content-type"], "application/json");
    assert_eq!(heard.headers["user-agent"], "Pillarbox-Webhooks/1");
    assert_eq!(heard.body, sent.body);
    for secret in sent.secrets {
        let received = Received {
            id: &heard.headers["webhook-id"],
            timestamp: &heard.headers["webhook-timestamp"],
            signature: &heard.headers["webhook-signature"],
            body: &heard.body,
        };
        assert_eq!(verify(&[secret], &received, now() + TimeDelta::minutes(1)), Ok(()));
    }
}

#[tokio::test]
async fn the_status_decides() {
    for (status, expected) in [
        ("200 OK", Verdict::Delivered),
        ("202 Accepted", Verdict::Delivered),
        ("410 Gone", Verdict::Gone),
        ("404 Not Found", Verdict::Failed),
        ("500 Internal Server Error", Verdict::Failed),
    ] {
        let outcome = answered(Answer::of(status, &[], b"said\0so")).await;
        assert_eq!(outcome.verdict(), expected, "{status}");
        assert_eq!(outcome.status.unwrap().to_string(), status[..3]);
        assert_eq!(outcome.excerpt, "said\u{fffd}so");
        assert!(outcome.error.is_none());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::new(Answer::of("200 OK", &[], b"")).await;
    for status in ["301 Moved Permanently", "303 See Other", "307 Temporary Redirect"] {
        let outcome = answered(Answer::of(status, &[&format!("location: {}", elsewhere.url())], b"")).await;
        assert_eq!(outcome.verdict(), Verdict::Failed);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn retry_after_is_read_of_a_failure_only() {
    let asking = |status, value| answered(Answer::of(status, &[value], b""));
    let busy = asking("503 Service Unavailable", "Retry-After: 120").await;
    assert_eq!(busy.retry_after, Some(TimeDelta::minutes(2)));
    let dated = asking("429 Too Many Requests", "retry-after: Fri, 31 Dec 9999 23:59:59 GMT").await;
    assert_eq!(dated.retry_after, Some(TimeDelta::hours(24)));
    let fine = asking("200 OK", "Retry-After: 120").await;
    assert_eq!(fine.retry_after, None);
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let outcome = answered(Answer::Endless).await;
    assert_eq!(outcome.verdict(), Verdict::Delivered, "{outcome:?}");
    assert_eq!(outcome.excerpt, "x".repeat(1_024));
    assert!(outcome.duration < patient().total / 2, "cut by its size, not by the clock");
}

#[tokio::test]
async fn a_slow_endpoint_runs_out_of_time() {
    let server = Server::new(Answer::Silence).await;
    let outcome = sender(loopback(), hasty()).send(&Env::system(), &delivery(server.url())).await;
    assert!(matches!(outcome.error, Some(SendError::Timeout)), "{outcome:?}");
    assert_eq!((outcome.verdict(), outcome.status), (Verdict::Failed, None));
    assert!(outcome.duration >= hasty().total);
}

#[tokio::test]
async fn a_body_that_stalls_does_not_undo_the_status() {
    let server = Server::new(Answer::Stall).await;
    let limits = Limits { total: Duration::from_secs(2), ..patient() };
    let outcome = sender(loopback(), limits).send(&Env::system(), &delivery(server.url())).await;
    assert_eq!((outcome.verdict(), outcome.excerpt.as_str()), (Verdict::Delivered, "begun"), "{outcome:?}");
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    for bytes in [&b""[..], b"220 mail.example ESMTP\r\n", b"HTTP/1.1 200", head.as_bytes()] {
        let outcome = answered(Answer::Bytes(bytes.to_vec())).await;
        assert!(matches!(outcome.error, Some(SendError::Http(_))), "{outcome:?}");
        assert_eq!((outcome.verdict(), outcome.status), (Verdict::Failed, None));
    }
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let outcome = sender(loopback(), patient()).send(&Env::system(), &delivery(url)).await;
    let error = outcome.error.unwrap();
    assert_eq!(error.to_string(), "no connection could be made: connection refused");
    assert_eq!(error.code(), "connect");
}

#[tokio::test]
async fn a_name_that_leads_inwards_is_reached_only_if_that_is_allowed() {
    let server = Server::new(Answer::of("200 OK", &[], b"")).await;
    let named = delivery(format!("http://localhost:{}/hook", server.port));
    let allowed = sender(loopback(), patient()).send(&Env::system(), &named).await;
    assert_eq!(allowed.verdict(), Verdict::Delivered, "{allowed:?}");
    assert_eq!(server.connections(), 1);

    for url in [named.url.clone(), named.url.replace("http:", "https:"), server.url()] {
        let outcome = sender(Guard::default(), patient()).send(&Env::system(), &delivery(url)).await;
        assert!(matches!(outcome.error, Some(SendError::Url(UrlError::Address))), "{outcome:?}");
        assert_eq!(outcome.verdict(), Verdict::Failed);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_an_error() {
    // RFC 6761 §6.4: `invalid` never resolves.
    let outcome = sender(Guard::default(), patient())
        .send(&Env::system(), &delivery("https://pillarbox.invalid/".to_owned()))
        .await;
    assert_eq!(outcome.error.unwrap().code(), "dns");
}

#[tokio::test]
async fn nothing_is_sent_unsigned_or_with_an_id_that_breaks_the_head() {
    let server = Server::new(Answer::of("200 OK", &[], b"")).await;
    let sender = sender(loopback(), patient());
    let unsigned = Delivery { secrets: vec![], ..delivery(server.url()) };
    let outcome = sender.send(&Env::system(), &unsigned).await;
    assert!(matches!(outcome.error, Some(SendError::Unsigned)), "{outcome:?}");
    let broken = Delivery { id: "a\r\nx: y".to_owned(), ..delivery(server.url()) };
    let outcome = sender.send(&Env::system(), &broken).await;
    assert!(matches!(outcome.error, Some(SendError::Request(_))), "{outcome:?}");
    assert_eq!(server.connections(), 0);
}
