//! Connections that carry several messages.

use std::time::Duration;
use testkit::smarthost::{Fault, Step};

use relay::Deadlines;

use crate::support::{Mode, fault, outcomes, pair, patience, relay, smarthost, until};

const QUEUED: [&str; 1] = ["+250 2.0.0 queued"];

#[tokio::test]
async fn one_connection_carries_one_message_after_the_other() {
    for mode in [Mode::Plain, Mode::Upgrade, Mode::Implicit] {
        let (host, roots) = smarthost(mode).await;
        let relay = relay(&host.url(""), roots);
        for _ in 0..5 {
            assert_eq!(outcomes(&relay.clone(), &["b@c.example"]).await, QUEUED);
        }
        assert_eq!((host.connections(), host.received().len()), (1, 5));
        assert_eq!(host.heard().iter().filter(|line| *line == "RSET").count(), 4);
    }
}

#[tokio::test]
async fn a_connection_ends_after_a_hundred_messages() {
    let (host, relay) = pair().await;
    for _ in 0..101 {
        assert_eq!(outcomes(&relay, &["b@c.example"]).await, QUEUED);
    }
    assert_eq!(host.connections(), 2);
    until("the first ends", || host.open() == 1).await;
    assert_eq!(host.heard().iter().filter(|line| *line == "QUIT").count(), 1);
}

#[tokio::test]
async fn a_connection_without_work_ends() {
    let (host, relay) = pair().await;
    let relay = relay
        .with_deadlines(Deadlines { idle: Duration::from_millis(50), ..patience(Duration::from_secs(20)) });
    for connections in 1..=2 {
        outcomes(&relay, &["b@c.example"]).await;
        assert_eq!(host.connections(), connections);
        until("it ends", || host.open() == 0).await;
        assert_eq!(host.heard().last().unwrap(), "QUIT");
    }
}

#[tokio::test]
async fn at_most_twenty_are_kept() {
    let (host, relay) = pair().await;
    let mut tasks = tokio::task::JoinSet::new();
    // Each has its connection open when all the others have.
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(25));
    for _ in 0..25 {
        let (relay, barrier) = (relay.clone(), barrier.clone());
        tasks.spawn(async move {
            barrier.wait().await;
            outcomes(&relay, &["b@c.example"]).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), QUEUED);
    }
    assert_eq!(host.received().len(), 25);
    until("the others end", || host.open() <= 20).await;
    assert_eq!(host.open(), host.connections().min(20));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_without_a_word() {
    for trouble in [
        Fault::Cut(Step::Rset),
        Fault::Answer(Step::Rset, "421 4.4.2 idle for too long"),
        Fault::Answer(Step::Rset, "500 5.5.1 what?"),
        Fault::Cut(Step::Mail),
        Fault::Answer(Step::Mail, "421 4.4.2 idle for too long"),
    ] {
        for pipelining in [true, false] {
            let (host, relay) = pair().await;
            if !pipelining {
                host.offer(&[]);
            }
            assert_eq!(outcomes(&relay, &["b@c.example"]).await, QUEUED);
            host.fail(trouble.clone(), 1);
            assert_eq!(outcomes(&relay, &["b@c.example"]).await, QUEUED, "{trouble:?}");
            assert_eq!((host.connections(), host.received().len()), (2, 2));
        }
    }
}

#[tokio::test]
async fn what_ends_a_kept_connection_later_is_no_silent_matter() {
    for step in [Step::Rcpt, Step::Data] {
        let (host, relay) = pair().await;
        host.offer(&[]);
        assert_eq!(outcomes(&relay, &["b@c.example"]).await, QUEUED);
        host.fail(Fault::Cut(step), 1);
        fault(&relay).await;
        assert_eq!((host.connections(), host.received().len()), (1, 1));
    }
    // Twice closed is news of the smarthost.
    let (host, relay) = pair().await;
    assert_eq!(outcomes(&relay, &["b@c.example"]).await, QUEUED);
    host.fail(Fault::Cut(Step::Mail), 2);
    assert!(fault(&relay).await.starts_with("MAIL: "));
    assert_eq!(host.connections(), 2);
}
