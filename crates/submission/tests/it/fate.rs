//! What becomes of mail, by what its servers say.

use chrono::TimeDelta;
use submission::outgoing::State::{Delivered, Failed, Queued};
use submission::post::Attempted;
use submission::queue::{self, Way};
use submission::{schedule, sweep};
use testkit::smarthost::{Fault, Step};

use crate::support::{Bench, MESSAGE};

fn came_to(delivered: u64, later: u64, failed: u64, untried: u64) -> Attempted {
    Attempted { delivered, later, failed, untried }
}

#[tokio::test]
async fn goes_out_as_it_was_accepted_and_comes_in_at_home() {
    let bench = Bench::new().await;
    let cleo = bench.world.user("cleo", None).await;
    let id = bench.accept(&["Bob@b.example", "cleo@acme.example", "Dora@B.example"]).await;
    assert_eq!(bench.send_due().await, came_to(3, 0, 0, 0));
    let got = bench.smarthost.received();
    assert_eq!(got.len(), 1, "one transaction for a destination");
    assert_eq!(got[0].sender.address, "ada@acme.example");
    let to: Vec<_> = got[0].recipients.iter().map(|one| one.address.as_str()).collect();
    assert_eq!(to, ["Bob@b.example", "Dora@B.example"]);
    let at_home = bench.messages(&cleo).await;
    let out = String::from_utf8(got[0].octets.clone()).unwrap();
    assert_eq!(at_home, [format!("Return-Path: <ada@acme.example>\r\n{out}")]);
    assert!(out.starts_with("Received: by mx.test.example with ESMTPSA id req_"), "{out}");
    assert!(out.as_bytes().ends_with(MESSAGE), "{out}");
    let outgoing = bench.outgoing(id).await;
    assert!(outgoing.closed_at.is_some());
    assert_eq!(outgoing.message_id, "news@acme.example");
    assert_eq!(outgoing.recipients[0].remote.as_deref(), Some("localhost"));
    assert_eq!(
        (outgoing.recipients[1].domain.as_deref(), outgoing.recipients[1].remote.as_deref()),
        (None, None)
    );
    assert_eq!(bench.send_due().await, came_to(0, 0, 0, 0));
}

#[tokio::test]
async fn each_recipient_has_a_fate_of_their_own() {
    let bench = Bench::new().await;
    bench.smarthost.answer("busy@b.example", "450-4.2.1 busy\n450 4.2.1 really");
    bench.smarthost.answer("gone@b.example", "550 5.1.1 gone");
    let id = bench.accept(&["busy@b.example", "gone@b.example", "bob@b.example"]).await;
    assert_eq!(bench.send_due().await, came_to(1, 1, 1, 0));
    let outgoing = bench.outgoing(id).await;
    let states: Vec<_> = outgoing.recipients.iter().map(|one| one.state).collect();
    assert_eq!(states, [Queued, Failed, Delivered]);
    let reply = outgoing.recipients[0].reply.as_ref().unwrap();
    assert_eq!(
        (reply.code, reply.status.as_deref(), reply.text.as_str()),
        (450, Some("4.2.1"), "busy really")
    );
    assert_eq!(bench.send_due().await, came_to(1, 0, 0, 0), "the notification of the failure");
    // Not before its time.
    bench.advance(TimeDelta::seconds(40));
    assert_eq!(bench.send_due().await, came_to(0, 0, 0, 0));
    bench.smarthost.recover();
    bench.advance(TimeDelta::seconds(40));
    assert_eq!(bench.send_due().await, came_to(1, 0, 0, 0));
    assert_eq!(bench.states(id).await, [(Delivered, 2), (Failed, 1), (Delivered, 1)]);
    assert_eq!(bench.smarthost.received().len(), 2);
}

#[tokio::test]
async fn is_given_up_after_five_days() {
    let bench = Bench::new().await;
    bench.smarthost.answer("bob@b.example", "451 4.3.0 not today");
    let id = bench.accept(&["bob@b.example"]).await;
    let start = bench.world.ctx.env().now();
    let mut attempts = 0;
    while bench.states(id).await[0].0 == Queued {
        let due = bench.outgoing(id).await.recipients[0].next_attempt_at.unwrap();
        bench.world.test_db.clock().set(due);
        if bench.send_due().await.delivered == 0 {
            attempts += 1;
        }
        assert!(attempts < 50, "for ever");
    }
    assert!((30..45).contains(&attempts), "{attempts} attempts");
    let outgoing = bench.outgoing(id).await;
    assert_eq!(outgoing.closed_at.unwrap() - start, schedule::GIVE_UP_AFTER);
    assert_eq!(outgoing.recipients[0].reply.as_ref().unwrap().status.as_deref(), Some("5.4.7"));
    bench.send_due().await;
    let told = bench.messages(&bench.ada).await;
    let subjects: Vec<_> =
        told.iter().filter_map(|text| text.lines().find(|line| line.starts_with("Subject:"))).collect();
    assert_eq!(subjects.len(), 2, "that it takes long, and that it was given up: {subjects:?}");
}

#[tokio::test]
async fn a_way_out_that_is_closed_is_nobody_s_fault() {
    let bench = Bench::new().await;
    let cleo = bench.world.user("cleo", None).await;
    bench.smarthost.fail(Fault::Answer(Step::Ehlo, "554 5.7.1 who are you"), 3);
    let id = bench.accept(&["bob@b.example", "cleo@acme.example"]).await;
    assert_eq!(bench.send_due().await, came_to(1, 0, 0, 1));
    assert_eq!(bench.states(id).await, [(Queued, 0), (Delivered, 1)]);
    // Mail at home goes on, and what is new waits with the rest, without a word to the smarthost.
    let second = bench.accept(&["bob@b.example", "cleo@acme.example"]).await;
    assert_eq!(bench.send_due().await, came_to(1, 0, 0, 1));
    assert_eq!(bench.states(second).await, [(Queued, 0), (Delivered, 1)]);
    assert_eq!((bench.messages(&cleo).await.len(), bench.smarthost.connections()), (2, 1));
    for connections in 2..=3 {
        bench.advance(TimeDelta::minutes(3));
        assert_eq!(bench.send_due().await, came_to(0, 0, 0, 2));
        assert_eq!(bench.smarthost.connections(), connections, "one asks for all");
    }
    bench.advance(TimeDelta::minutes(5));
    assert_eq!(bench.send_due().await, came_to(2, 0, 0, 0));
    assert_eq!(bench.smarthost.received().len(), 2);
}

#[tokio::test]
async fn a_way_out_that_stays_closed_is_told_of() {
    let bench = Bench::new().await;
    bench.smarthost.fail(Fault::Cut(Step::Connect), 10_000);
    let id = bench.accept(&["bob@b.example"]).await;
    let mut told = Vec::new();
    while bench.states(id).await[0].0 == Queued {
        let due = bench.outgoing(id).await.recipients[0].next_attempt_at.unwrap();
        bench.world.test_db.clock().set(due + TimeDelta::hours(1));
        bench.send_due().await;
        bench.send_due().await;
        told.push(bench.messages(&bench.ada).await.len());
        assert!(told.len() < 2000, "for ever");
    }
    bench.send_due().await;
    assert_eq!(bench.states(id).await, [(Failed, 0)]);
    let texts = bench.messages(&bench.ada).await;
    assert_eq!(texts.len(), 2, "that it takes long, and that it was given up");
    assert!(
        texts.iter().any(|text| text.contains("Action: delayed\r\n") && text.contains("Status: 4.4.1\r\n"))
    );
    assert!(
        texts.iter().any(|text| text.contains("Action: failed\r\n") && text.contains("Status: 5.4.7\r\n"))
    );
}

#[tokio::test]
async fn a_message_that_the_smarthost_does_not_bear_keeps_no_other_back() {
    let bench = Bench::new().await;
    bench.smarthost.fail(Fault::Cut(Step::Data), 1);
    let first = bench.accept(&["bob@b.example"]).await;
    assert_eq!(bench.send_due().await, came_to(0, 1, 0, 0));
    let second = bench.accept(&["dora@d.example"]).await;
    assert_eq!(bench.send_due().await, came_to(1, 0, 0, 0));
    assert_eq!(
        (bench.states(first).await, bench.states(second).await),
        (vec![(Queued, 1)], vec![(Delivered, 1)])
    );
}

#[tokio::test]
async fn a_body_that_cannot_be_read_waits_and_keeps_no_other_back() {
    let bench = Bench::new().await;
    let cleo = bench.world.user("cleo", None).await;
    let lost = bench.accept(&["cleo@acme.example"]).await;
    let page = bench.store.blobs().list(&blob::KeyPrefix::Tenant(bench.world.tenant.id), None).await.unwrap();
    let pack = page.keys.into_iter().find(|key| matches!(key, blob::BlobKey::Pack { .. })).unwrap();
    bench.store.blobs().delete(&pack).await.unwrap();
    for _ in 0..3 {
        assert_eq!(bench.send_due().await, came_to(0, 0, 0, 1));
        bench.advance(TimeDelta::minutes(1));
    }
    bench.accept(&["cleo@acme.example"]).await;
    assert_eq!(bench.send_due().await, came_to(1, 0, 0, 1));
    assert_eq!((bench.states(lost).await, bench.messages(&cleo).await.len()), (vec![(Queued, 0)], 1));
}

#[tokio::test]
async fn a_mailbox_that_is_named_twice_has_it_once() {
    let bench = Bench::new().await;
    let (world, cleo) = (&bench.world, bench.world.user("cleo", None).await);
    let target = tenancy::address::Target::Mailbox(cleo.mailbox_id);
    tenancy::address::create(&world.ctx, "queen@acme.example", target).await.unwrap();
    let members = vec![
        tenancy::group::Member::Mailbox(cleo.mailbox_id),
        tenancy::group::Member::Mailbox(bench.ada.mailbox_id),
    ];
    let group = tenancy::group::NewGroup {
        display_name: "All".into(),
        address: Some("all@acme.example".into()),
        members,
        ..Default::default()
    };
    tenancy::group::create(&world.ctx, group).await.unwrap();
    let id = bench
        .accept(&["cleo@acme.example", "queen@acme.example", "Cleo@acme.example", "all@acme.example"])
        .await;
    assert_eq!(bench.send_due().await, came_to(4, 0, 0, 0));
    assert_eq!(bench.states(id).await, [(Delivered, 1); 4]);
    assert_eq!((bench.messages(&cleo).await.len(), bench.messages(&bench.ada).await.len()), (1, 1));
}

#[tokio::test]
async fn what_broke_after_the_dot_may_come_twice_and_is_not_lost() {
    let bench = Bench::new().await;
    bench.smarthost.fail(Fault::Cut(Step::Dot), 1);
    let id = bench.accept(&["bob@b.example"]).await;
    assert_eq!(bench.send_due().await, came_to(0, 1, 0, 0));
    bench.advance(TimeDelta::minutes(2));
    assert_eq!(bench.send_due().await, came_to(1, 0, 0, 0));
    assert_eq!(bench.states(id).await, [(Delivered, 2)]);
    let got = bench.smarthost.received();
    assert_eq!(got[0].octets, got[1].octets, "by the same bytes");
}

#[tokio::test]
async fn whoever_does_not_come_back_leaves_it_to_the_next() {
    let bench = Bench::new().await;
    let cleo = bench.world.user("cleo", None).await;
    let id = bench.accept(&["cleo@acme.example", "bob@b.example"]).await;
    let db = bench.submission.db();
    for (way, lease) in [(Way::Home, queue::LEASE_AT_HOME), (Way::Out, queue::LEASE)] {
        assert_eq!(queue::claim(db, 64, way).await.unwrap().len(), 1);
        assert!(queue::claim(db, 64, way).await.unwrap().is_empty(), "leased");
        bench.advance(lease - TimeDelta::seconds(1));
        assert!(queue::claim(db, 64, way).await.unwrap().is_empty(), "leased");
        bench.advance(TimeDelta::seconds(1));
        for claim in queue::claim(db, 64, way).await.unwrap() {
            bench.submission.attempt(claim).await;
        }
    }
    assert_eq!(bench.states(id).await, [(Delivered, 2), (Delivered, 2)]);
    assert_eq!(bench.messages(&cleo).await.len(), 1);
}

#[tokio::test]
async fn a_mailbox_that_has_it_does_not_get_it_again() {
    let bench = Bench::new().await;
    let cleo = bench.world.user("cleo", None).await;
    // Bob's server keeps the message open, and with it its body.
    bench.smarthost.answer("bob@b.example", "450 4.2.1 busy");
    let id = bench.accept(&["cleo@acme.example", "bob@b.example"]).await;
    assert_eq!(bench.send_due().await, came_to(1, 1, 0, 0));
    // As if the process had been killed before it was noted.
    bench
        .execute("update outgoing_recipients set state = 'queued', next_attempt_at = '-infinity' where destination = ''")
        .await;
    assert_eq!(bench.send_due().await, came_to(1, 0, 0, 0));
    assert_eq!(bench.states(id).await[0], (Delivered, 2));
    assert_eq!(bench.messages(&cleo).await.len(), 1);
}

#[tokio::test]
async fn what_a_lease_was_lost_of_is_not_noted() {
    let bench = Bench::new().await;
    let id = bench.accept(&["bob@b.example"]).await;
    let late = queue::claim(bench.submission.db(), 64, Way::Out).await.unwrap().remove(0);
    bench.advance(queue::LEASE);
    let next = queue::claim(bench.submission.db(), 64, Way::Out).await.unwrap().remove(0);
    bench.smarthost.answer("bob@b.example", "550 5.1.1 gone");
    bench.submission.attempt(late).await;
    assert_eq!(bench.states(id).await[0].1, 2);
    bench.smarthost.recover();
    bench.submission.attempt(next).await;
    assert_eq!(bench.states(id).await, [(Delivered, 2)]);
    assert_eq!(bench.send_due().await, came_to(0, 0, 0, 0), "nobody was told of what was not noted");
}

#[tokio::test]
async fn few_are_under_way_to_one_destination_and_others_do_not_wait_for_it() {
    let bench = Bench::new().await;
    for n in 0..30 {
        bench.accept(&[&format!("bob{n}@b.example")]).await;
    }
    bench.accept(&["dora@d.example"]).await;
    let db = bench.submission.db();
    let claimers = (0..4).map(|_| queue::claim(db, 16, Way::Out));
    let claims: Vec<_> =
        futures::future::join_all(claimers).await.into_iter().flat_map(|claims| claims.unwrap()).collect();
    let to_b = claims.iter().filter(|claim| claim.destination == "b.example").count();
    assert_eq!((to_b, claims.len()), (20, 21));
    let ids: std::collections::BTreeSet<_> = claims.iter().map(|claim| claim.id).collect();
    assert_eq!(ids.len(), 21, "nobody has what another has");
}

#[tokio::test]
async fn what_has_left_is_forgotten_in_the_end() {
    let bench = Bench::new().await;
    bench.smarthost.answer("gone@b.example", "550 5.1.1 gone");
    let failed = bench.accept(&["gone@b.example"]).await;
    let delivered = bench.accept(&["bob@b.example"]).await;
    bench.send_due().await;
    bench.send_due().await;
    let db = bench.submission.db();
    assert_eq!(sweep::run(db).await.unwrap(), sweep::Swept::default());
    bench.advance(sweep::BODIES_FOR + TimeDelta::seconds(1));
    assert_eq!(sweep::run(db).await.unwrap(), sweep::Swept { bodies: 1, ..Default::default() });
    bench.advance(sweep::ROWS_FOR - sweep::BODIES_FOR);
    assert_eq!(sweep::run(db).await.unwrap(), sweep::Swept { messages: 3, ..Default::default() });
    for id in [failed, delivered] {
        assert!(submission::outgoing::get(&bench.world.ctx, id).await.is_err());
    }
    for _ in 0..3 {
        bench.advance(TimeDelta::hours(3));
        mailstore::sweep::run(&bench.store, db).await;
    }
    let drift = mailstore::check::drift(db).await.unwrap();
    assert_eq!(drift, mailstore::check::Drift::default());
}
