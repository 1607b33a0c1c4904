//! What becomes of recipients.

use relay::Outcome;
use testkit::smarthost::{Fault, Step};

use crate::support::{MESSAGE, envelope, fault, outcomes, pair, recipients, reply, send, shown};

const BROKE: &str = "~451 4.4.2 the connection broke after the message was sent";

#[tokio::test]
async fn each_recipient_has_its_own_result() {
    for pipelining in [true, false] {
        let (host, relay) = pair().await;
        if !pipelining {
            host.offer(&["DSN"]);
        }
        host.answer("none@c.example", "550 5.1.1 no such user");
        host.answer("grey@c.example", "451-4.7.1 greylisted,\n451 4.7.1 try later");
        host.answer("many@c.example", "452 4.5.3 too many recipients");
        host.answer("ip@c.example", "550 5.7.708 not from there");
        host.answer("moved@c.example", "251 2.1.5 will forward");
        let all = ["one@c.example", "none@c.example", "grey@c.example", "two@c.example", "many@c.example"];
        let all = [&all[..], &["ip@c.example", "moved@c.example"]].concat();
        let got = send(&relay, &all).await.unwrap();
        assert_eq!(
            shown(&got),
            [
                "+250 2.0.0 queued",
                "-550 5.1.1 no such user",
                "~451 4.7.1 greylisted, try later",
                "+250 2.0.0 queued",
                "~452 4.5.3 too many recipients",
                "-550 5.7.708 not from there",
                "+250 2.0.0 queued",
            ]
        );
        assert_eq!(reply(&got[5]).status, Some((5, 7, 708)));
        assert!(got.iter().all(|outcome| reply(outcome).remote() == Some("localhost")));
        assert!(matches!(got[0], Outcome::Accepted { takes_dsn: true, .. }));
        let received = host.received();
        assert_eq!(received.len(), 1);
        let reached = received[0].recipients.iter().map(|path| path.address.as_str()).collect::<Vec<_>>();
        assert_eq!(reached, ["one@c.example", "two@c.example", "moved@c.example"]);
        assert_eq!(received[0].octets, MESSAGE);
        // RCPTs travel behind MAIL exactly if that is offered, and DATA never.
        assert_eq!(host.pipelined(), if pipelining { all.len() } else { 0 });
    }
}

#[tokio::test]
async fn mail_data_and_dot_decide_on_all_that_were_taken() {
    for (step, text, shows) in [
        (Step::Mail, "451 4.3.0 not now", "~451 4.3.0 not now"),
        (Step::Mail, "550 5.7.1 not you", "-550 5.7.1 not you"),
        (Step::Data, "451 4.3.0 not now", "~451 4.3.0 not now"),
        (Step::Data, "554 5.7.1 not that", "-554 5.7.1 not that"),
        (Step::Dot, "452 4.3.1 disk full", "~452 4.3.1 disk full"),
        (Step::Dot, "550-5.7.1 it is\n550 5.7.1 spam", "-550 5.7.1 it is spam"),
        (Step::Dot, "421 4.3.2 shutting down", "~421 4.3.2 shutting down"),
    ] {
        let (host, relay) = pair().await;
        host.answer("none@c.example", "550 5.1.1 no such user");
        host.fail(Fault::Answer(step, text), 1);
        let got = outcomes(&relay, &["b@c.example", "none@c.example", "d@c.example"]).await;
        // MAIL's answer is everybody's: nobody's RCPT was looked at.
        let second = if step == Step::Mail { shows } else { "-550 5.1.1 no such user" };
        assert_eq!(got, [shows, second, shows], "{step:?} {text}");
        assert!(host.received().is_empty());
        // The connection is good for the next, but after 421.
        assert_eq!(outcomes(&relay, &["b@c.example"]).await, ["+250 2.0.0 queued"]);
        assert_eq!(host.connections(), if text.starts_with("421") { 2 } else { 1 }, "{step:?} {text}");
    }
}

#[tokio::test]
async fn nobody_taken_means_no_data() {
    let (host, relay) = pair().await;
    host.answer("none@c.example", "550 5.1.1 no such user");
    host.answer("grey@c.example", "451 4.7.1 try later");
    let got = outcomes(&relay, &["none@c.example", "grey@c.example"]).await;
    assert_eq!(got, ["-550 5.1.1 no such user", "~451 4.7.1 try later"]);
    let heard = host.heard();
    assert_eq!(heard.last().unwrap(), "RSET");
    assert!(!heard.iter().any(|line| line == "DATA"));
    host.recover();
    assert_eq!(outcomes(&relay, &["grey@c.example"]).await, ["+250 2.0.0 queued"]);
    assert_eq!((host.connections(), host.received().len()), (1, 1));
}

#[tokio::test]
async fn a_reset_that_fails_changes_no_outcome() {
    let (host, relay) = pair().await;
    host.answer("none@c.example", "550 5.1.1 no such user");
    host.fail(Fault::Cut(Step::Rset), 1);
    assert_eq!(outcomes(&relay, &["none@c.example"]).await, ["-550 5.1.1 no such user"]);
    assert_eq!(outcomes(&relay, &["b@c.example"]).await, ["+250 2.0.0 queued"]);
    assert_eq!(host.connections(), 2);
}

#[tokio::test]
async fn what_breaks_after_the_dot_may_have_arrived() {
    for (trouble, arrived) in [
        (Fault::Cut(Step::Dot), 1),
        (Fault::Answer(Step::Dot, "hello?"), 0),
        (Fault::Answer(Step::Dot, "354 more?"), 0),
    ] {
        let (host, relay) = pair().await;
        host.answer("none@c.example", "550 5.1.1 no such user");
        host.fail(trouble.clone(), 1);
        let got = send(&relay, &["b@c.example", "none@c.example"]).await.unwrap();
        assert_eq!(shown(&got), [BROKE, "-550 5.1.1 no such user"], "{trouble:?}");
        assert_eq!(reply(&got[0]).remote(), None, "nobody said so");
        assert_eq!(host.received().len(), arrived);
        assert_eq!(outcomes(&relay, &["b@c.example"]).await, ["+250 2.0.0 queued"]);
        assert_eq!(host.connections(), 2);
    }
}

#[tokio::test]
async fn an_early_end_of_the_message_is_no_dot() {
    // More than what lies between us holds, so that the end is seen before the dot.
    let message = b"0123456789012345678901234567890123456789012345678901234567890123456789012345678\r\n";
    let message = message.repeat(400_000);
    let list = recipients(&["b@c.example"]);
    let (host, relay) = pair().await;
    host.fail(Fault::Cut(Step::Body), 1);
    let cut = relay.send(&envelope(&list), &message).await.unwrap_err().to_string();
    assert!(cut.starts_with("the message: "), "{cut}");
    host.fail(Fault::Answer(Step::Body, "421 4.3.2 shutting down"), 1);
    let ended = relay.send(&envelope(&list), &message).await.unwrap_err().to_string();
    assert!(ended.starts_with("the message: "), "{ended}");
    // A refusal in the middle is one of this message, and no reason to try it for ever.
    host.fail(Fault::Answer(Step::Body, "552 5.3.4 too large"), 1);
    let refused = relay.send(&envelope(&list), &message).await.unwrap();
    assert_eq!(shown(&refused), ["-552 5.3.4 too large"]);
    assert!(host.received().is_empty());
}

#[tokio::test]
async fn a_host_that_hangs_up_keeps_what_it_refused() {
    let (host, relay) = pair().await;
    host.answer("none@c.example", "550 5.1.1 no such user");
    host.answer("last@c.example", "421 4.7.0 too many errors");
    let all = ["b@c.example", "none@c.example", "last@c.example", "d@c.example"];
    let hung_up = "~421 4.7.0 too many errors";
    assert_eq!(outcomes(&relay, &all).await, [hung_up, "-550 5.1.1 no such user", hung_up, hung_up]);
    // Nobody refused: the route's fault.
    let fault = send(&relay, &["b@c.example", "last@c.example"]).await.unwrap_err().to_string();
    assert_eq!(fault, "RCPT: 421 4.7.0 too many errors");
    assert!(host.received().is_empty());
}

#[tokio::test]
async fn an_old_hosts_too_many_is_not_for_good() {
    let (host, relay) = pair().await;
    host.answer("many@c.example", "552 too many recipients");
    host.answer("full@c.example", "552 5.2.2 mailbox full");
    let got = outcomes(&relay, &["b@c.example", "many@c.example", "full@c.example"]).await;
    assert_eq!(got, ["+250 2.0.0 queued", "~552 too many recipients", "-552 5.2.2 mailbox full"]);
    // Alone it cannot mean that.
    assert_eq!(outcomes(&relay, &["many@c.example"]).await, ["-552 too many recipients"]);
}

#[tokio::test]
async fn more_recipients_than_one_group() {
    let (host, relay) = pair().await;
    let all = (0..230).map(|n| format!("r{n}@c.example")).collect::<Vec<_>>();
    for n in [0, 48, 49, 50, 99, 229] {
        host.answer(&all[n], &format!("550 5.1.1 {n}"));
    }
    let all = all.iter().map(String::as_str).collect::<Vec<_>>();
    let got = outcomes(&relay, &all).await;
    let refused = (0..230).filter(|n| got[*n] == format!("-550 5.1.1 {n}")).collect::<Vec<_>>();
    assert_eq!(refused, [0, 48, 49, 50, 99, 229]);
    assert_eq!(host.received()[0].recipients.len(), 224);
    // MAIL refused: the other groups are not sent.
    host.fail(Fault::Answer(Step::Mail, "550 5.7.1 not you"), 1);
    let before = host.heard().len();
    assert_eq!(outcomes(&relay, &all).await, vec!["-550 5.7.1 not you"; 230]);
    assert!(host.heard().len() < before + 60);
    assert_eq!(host.connections(), 1);
}

#[tokio::test]
async fn a_message_to_nobody_needs_no_connection() {
    let (host, relay) = pair().await;
    assert_eq!(send(&relay, &[]).await.unwrap(), []);
    assert_eq!(host.connections(), 0);
}

#[tokio::test]
async fn a_session_that_ends_before_the_dot_is_the_routes_fault() {
    for step in [Step::Mail, Step::Rcpt, Step::Data] {
        let (host, relay) = pair().await;
        host.fail(Fault::Answer(step, "421 4.3.2 shutting down"), 1);
        assert!(fault(&relay).await.ends_with(": 421 4.3.2 shutting down"), "{step:?}");
        host.fail(Fault::Cut(step), 1);
        fault(&relay).await;
        host.fail(Fault::Answer(step, "what?"), 1);
        assert!(fault(&relay).await.ends_with(": not an SMTP reply"), "{step:?}");
        host.fail(Fault::Answer(step, if step == Step::Data { "250 ok" } else { "354 ok" }), 1);
        assert!(fault(&relay).await.ends_with(": not an SMTP reply"), "{step:?}");
        assert_eq!((host.connections(), host.received().len()), (4, 0));
    }
    // The smarthost wants a password that we have not got: no recipient is to blame.
    let (host, relay) = pair().await;
    host.require("user", "password");
    assert_eq!(fault(&relay).await, "MAIL: 530 5.7.0 sign in first");
}
