//! What senders are told.

use chrono::TimeDelta;
use submission::outgoing::{Notify, Returned};

use crate::support::{Bench, MESSAGE, Wish};

/// The one notification that Ada has.
async fn told(bench: &Bench) -> String {
    bench.send_due().await;
    let mut messages = bench.messages(&bench.ada).await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

#[tokio::test]
async fn of_a_failure_with_all_that_is_known_of_it() {
    let bench = Bench::new().await;
    bench.smarthost.answer("gone@b.example", "550 5.1.1 no such user");
    let wish = Wish {
        original: Some("rfc822;Gone+2Bx@B.example"),
        envelope_id: Some("QQ 1"),
        returned: Some(Returned::Headers),
        ..Wish::default()
    };
    bench.accept_as(&["gone@b.example"], &wish, MESSAGE).await;
    bench.send_due().await;
    let text = told(&bench).await;
    for line in [
        "Return-Path: <>\r\n",
        "From: Mail Delivery System <postmaster@mx.test.example>\r\n",
        "To: <ada@acme.example>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Reporting-MTA: dns; mx.test.example\r\n",
        "Original-Envelope-Id: QQ 1\r\n",
        "Original-Recipient: rfc822; Gone+x@B.example\r\n",
        "Final-Recipient: rfc822; gone@b.example\r\n",
        "Action: failed\r\n",
        "Status: 5.1.1\r\n",
        "Remote-MTA: dns; localhost\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n",
        "Message-ID: <news@acme.example>\r\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    assert!(!text.contains(".hello"), "the body was not asked for");
    // Nobody is told of what becomes of a notification.
    assert_eq!(bench.send_due().await, submission::post::Attempted::default());
}

#[tokio::test]
async fn of_what_they_asked_for_alone() {
    let bench = Bench::new().await;
    bench.smarthost.answer("gone@b.example", "550 5.1.1 no such user");
    let cleo = bench.world.user("cleo", None).await;
    let wish = |notify| Wish { notify: Some(notify), returned: Some(Returned::Full), ..Wish::default() };
    bench.accept_as(&["gone@b.example"], &wish(vec![Notify::Never]), MESSAGE).await;
    bench.accept_as(&["gone@b.example", "cleo@acme.example"], &wish(vec![Notify::Delay]), MESSAGE).await;
    bench.accept_as(&["cleo@acme.example"], &Wish::default(), MESSAGE).await;
    bench.send_due().await;
    bench.send_due().await;
    assert!(bench.messages(&bench.ada).await.is_empty());
    // The smarthost offers no DSN, so the news of success is that it was handed over.
    let both = ["bob@b.example", "cleo@acme.example"];
    bench.accept_as(&both, &wish(vec![Notify::Success]), MESSAGE).await;
    bench.send_due().await;
    bench.send_due().await;
    let texts = bench.messages(&bench.ada).await;
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().any(|text| text.contains("Action: relayed\r\n")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("Action: delivered\r\n")), "{texts:?}");
    assert_eq!(bench.messages(&cleo).await.len(), 3);
}

#[tokio::test]
async fn by_the_smarthost_where_it_can() {
    let bench = Bench::new().await;
    bench.smarthost.offer(&["SIZE 100000", "8BITMIME", "DSN"]);
    let wish = Wish {
        notify: Some(vec![Notify::Success, Notify::Failure]),
        original: Some("rfc822;bob@b.example"),
        envelope_id: Some("QQ 1"),
        returned: Some(Returned::Headers),
    };
    bench.accept_as(&["bob@b.example"], &wish, MESSAGE).await;
    bench.send_due().await;
    let got = bench.smarthost.received().remove(0);
    assert!(got.sender.parameters.contains(&"RET=HDRS".to_owned()), "{got:?}");
    assert!(got.sender.parameters.contains(&"ENVID=QQ+201".to_owned()), "{got:?}");
    assert_eq!(got.recipients[0].parameters, ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;bob@b.example"]);
    assert_eq!(bench.send_due().await, submission::post::Attempted::default());
}

#[tokio::test]
async fn once_that_it_takes_long() {
    let bench = Bench::new().await;
    bench.smarthost.answer("bob@b.example", "451 4.3.0 not today");
    let id = bench.accept(&["bob@b.example"]).await;
    for _ in 0..3 {
        bench.advance(TimeDelta::hours(1));
        bench.send_due().await;
    }
    assert!(bench.messages(&bench.ada).await.is_empty());
    for _ in 0..3 {
        bench.advance(TimeDelta::hours(5));
        bench.send_due().await;
    }
    let text = told(&bench).await;
    let until = bench.outgoing(id).await.give_up_at.format("%a, %d %b %Y %H:%M:%S +0000").to_string();
    for line in ["Action: delayed\r\n", "Status: 4.3.0\r\n", &format!("Will-Retry-Until: {until}\r\n")] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
}

#[tokio::test]
async fn with_all_of_it_if_they_asked_for_that() {
    let bench = Bench::new().await;
    let cleo = bench.world.user("cleo", Some(10)).await;
    let wish = Wish { returned: Some(Returned::Full), ..Wish::default() };
    bench.accept_as(&["cleo@acme.example"], &wish, MESSAGE).await;
    bench.send_due().await;
    let text = told(&bench).await;
    assert!(text.contains("Status: 5.2.2\r\n") && text.contains("\r\n.hello\r\n"), "{text}");
    assert!(!text.contains("Remote-MTA"), "it was nobody else: {text}");
    assert!(bench.messages(&cleo).await.is_empty());
}
