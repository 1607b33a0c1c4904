//! What the provider does by itself: refunds by hand, disputes, refunds that come back; twice, late and in any order.

mod fee;

use billing::ledger::Account;
use billing::payment::{self, DisputeStatus, PaymentStatus, RefundStatus, autopay};
use billing::payment_method::{self, PutPaymentMethod};
use billing::verify::{Difference, Fault, Posted};
use chrono::TimeDelta;
use serde_json::{Value, json};
use tenancy::event::Kind;
use testkit::stripe;

use super::payment::{assert_clean, balance, euro, states};
use super::payment_charge::{Scene, told};
use super::payment_event::event;

impl Scene {
    /// The ledger, the documents and the provider agree on what has come, and what is due of the first invoice.
    async fn assert_cash(&self, cash: i64) {
        assert_eq!(balance(&self.world, Account::Cash).await, cash);
        assert_eq!(self.fake.balance(), cash);
        let paid = if cash == 2500 { "paid" } else { "final" };
        assert_eq!(states(&self.world.ctx).await[0], format!("{paid} {cash}/{}", 2500 - cash));
        assert_clean(&self.world).await;
    }
}

#[tokio::test]
async fn a_refund_by_hand_is_noted_once_and_is_due_again() {
    let scene = Scene::new().await;
    let one = scene.pay().await.unwrap();
    let refund = scene.fake.refund_by_hand("pi_1", 700);
    let charge = json!({"id": "ch_1", "payment_intent": "pi_1", "refunds": {"data": [refund]}});
    for (kind, object) in [
        ("refund.created", &refund),
        ("charge.refunded", &charge),
        ("refund.updated", &refund),
        ("refund.created", &refund),
    ] {
        scene.tell(&event("evt_1", kind, object)).await.unwrap();
    }
    let shown = payment::get(&scene.world.operator, one.id).await.unwrap();
    assert_eq!(
        (shown.refunded, shown.refunds.len(), shown.refunds[0].status),
        (euro(700), 1, RefundStatus::Succeeded)
    );
    scene.assert_cash(1800).await;
    assert_eq!(told(&scene.world, Kind::PaymentRefunded).await.len(), 1);
    // One of ours is ours, by whichever event it is told.
    let client = &scene.client;
    payment::refund(&scene.world.operator, client, one.id, Some(euro(300)), "x".into()).await.unwrap();
    scene.tell(&event("evt_2", "refund.created", &scene.fake.refunds()[1])).await.unwrap();
    scene.assert_cash(1500).await;
    // Of another program's payment, or of more than there is.
    let mut theirs = refund.clone();
    (theirs["id"], theirs["payment_intent"]) = (json!("re_9"), json!("pi_9"));
    scene.tell(&event("evt_3", "refund.created", &theirs)).await.unwrap();
    (theirs["payment_intent"], theirs["amount"]) = (json!("pi_1"), json!(1501));
    // More than is left now may be right once another has failed; more than was ever paid is not.
    let early = scene.tell(&event("evt_4", "refund.created", &theirs)).await.unwrap_err();
    assert_eq!(early.code(), "payment_under_way");
    theirs["amount"] = json!(2501);
    scene.tell(&event("evt_5", "refund.created", &theirs)).await.unwrap();
    scene.assert_cash(1500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_told_at_once_is_noted_once() {
    let scene = std::sync::Arc::new(Scene::new().await);
    scene.pay().await.unwrap();
    let refund = event("evt_1", "refund.created", &scene.fake.refund_by_hand("pi_1", 700));
    let dispute = event("evt_2", "charge.dispute.created", &scene.fake.dispute("pi_1", 800));
    let tellers = (0..12).map(|n| {
        let (scene, body) = (scene.clone(), if n % 2 == 0 { refund.clone() } else { dispute.clone() });
        tokio::spawn(async move { scene.tell(&body).await.unwrap() })
    });
    for teller in tellers.collect::<Vec<_>>() {
        teller.await.unwrap();
    }
    scene.assert_cash(1000).await;
}

#[tokio::test]
async fn what_may_be_of_a_payment_that_is_being_found_out_is_to_be_told_again() {
    let scene = Scene::new().await;
    scene.fake.fail(&[stripe::Fault::CutAfter]);
    assert_eq!(scene.pay().await.unwrap().status, PaymentStatus::Unknown);
    let refund = event("evt_1", "refund.created", &scene.fake.refund_by_hand("pi_1", 700));
    let dispute = event("evt_2", "charge.dispute.created", &scene.fake.dispute("pi_1", 800));
    for body in [&refund, &dispute] {
        assert_eq!(scene.tell(body).await.unwrap_err().code(), "payment_under_way");
    }
    assert_eq!(scene.reconciled(TimeDelta::minutes(5)).await, 1);
    for body in [&refund, &dispute] {
        scene.tell(body).await.unwrap();
    }
    scene.assert_cash(1000).await;
}

/// A dispute's events as they are told, of one about so much that ends so, or is open still.
fn events(scene: &Scene, amount: i64, end: Option<&str>) -> Vec<String> {
    let opened = scene.fake.dispute("pi_1", amount);
    let mut early = opened.clone();
    early["balance_transactions"] = json!([]);
    let mut all = vec![("created", early), ("funds_withdrawn", opened.clone())];
    if let Some(end) = end {
        let closed = scene.fake.decide(opened["id"].as_str().unwrap(), end);
        all.push(("closed", closed.clone()));
        if end == "won" {
            all.push(("funds_reinstated", closed));
        }
    }
    all.iter().map(|(kind, object)| event("evt_1", &format!("charge.dispute.{kind}"), object)).collect()
}

/// Tells all of them twice, in another order at each of four turns.
async fn tell_in_turn(scene: &Scene, mut bodies: Vec<String>, turn: usize) {
    let many = bodies.len();
    bodies.rotate_left(turn % many);
    if turn == 3 {
        bodies.reverse();
    }
    for body in bodies.iter().chain(&bodies) {
        scene.tell(body).await.unwrap();
    }
}

#[tokio::test]
async fn a_dispute_takes_and_gives_back_once_in_whatever_order_it_is_told() {
    for (end, status, cash) in [("won", DisputeStatus::Won, 2500), ("lost", DisputeStatus::Lost, 500)] {
        for turn in 0..4 {
            let scene = Scene::new().await;
            let one = scene.pay().await.unwrap();
            tell_in_turn(&scene, events(&scene, 2000, Some(end)), turn).await;
            let shown = payment::get(&scene.world.operator, one.id).await.unwrap().disputes;
            assert_eq!(
                (shown.len(), shown[0].status, shown[0].amount),
                (1, status, euro(2000)),
                "{end} {turn}"
            );
            scene.assert_cash(cash).await;
            let counted = async |kind| told(&scene.world, kind).await.len();
            assert_eq!(counted(Kind::PaymentDisputeOpened).await, 1);
            assert_eq!(counted(Kind::PaymentDisputeClosed).await, 1);
            let (taken, given) =
                (counted(Kind::PaymentDisputeWithdrawn).await, counted(Kind::PaymentDisputeReinstated).await);
            assert_eq!(taken - given, usize::from(end == "lost"), "{end} {turn}");
            if turn == 0 {
                assert_eq!(taken, 1);
            }
        }
    }
}

#[tokio::test]
async fn what_a_dispute_took_is_due_again_and_neither_paid_back_nor_charged_by_itself() {
    let scene = Scene::new().await;
    let one = scene.pay().await.unwrap();
    let method = PutPaymentMethod { customer: "cus_1".into(), method: "pm_1".into(), is_autopay: true };
    payment_method::put(&scene.world.ctx, method, None).await.unwrap();
    let opened = scene.fake.dispute("pi_1", 2000);
    scene.tell(&event("evt_1", "charge.dispute.funds_withdrawn", &opened)).await.unwrap();
    scene.assert_cash(500).await;
    let refused = payment::refund(&scene.world.operator, &scene.client, one.id, Some(euro(501)), "x".into());
    assert_eq!(refused.await.unwrap_err().code(), "refund_exceeds_payment");
    // The other invoice that is due is charged.
    assert_eq!(autopay(&scene.world.test_db.db(), &scene.client).await.unwrap().charged, 1);
    assert_eq!(states(&scene.world.ctx).await[..2], ["final 500/2000", "paid 2500/0"]);
    // Somebody may ask for it.
    assert_eq!(scene.pay().await.unwrap().amount, euro(2000));
    assert_eq!(states(&scene.world.ctx).await[0], "paid 2500/0");
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn a_refund_that_fails_after_it_had_been_made_is_posted_back_once() {
    for by_hand in [false, true] {
        let scene = Scene::new().await;
        let one = scene.pay().await.unwrap();
        if by_hand {
            let refund = scene.fake.refund_by_hand("pi_1", 700);
            scene.tell(&event("evt_1", "refund.created", &refund)).await.unwrap();
        } else {
            let back =
                payment::refund(&scene.world.operator, &scene.client, one.id, Some(euro(700)), "x".into());
            assert_eq!(back.await.unwrap().status, RefundStatus::Succeeded);
        }
        scene.assert_cash(1800).await;
        let made = scene.fake.refunds()[0].clone();
        scene.fake.settle_refund("re_1", "failed");
        let failed = scene.fake.refunds()[0].clone();
        for object in [&failed, &made, &failed] {
            scene.tell(&event("evt_2", "refund.updated", object)).await.unwrap();
        }
        let shown = payment::get(&scene.world.operator, one.id).await.unwrap();
        assert_eq!((shown.refunded, shown.refunds[0].status), (euro(0), RefundStatus::Returned));
        assert!(shown.refunds[0].returned_on.is_some());
        assert_eq!(told(&scene.world, Kind::PaymentRefundFailed).await.len(), 1);
        scene.assert_cash(2500).await;
        // It is there to be paid back again.
        let again = payment::refund(&scene.world.operator, &scene.client, one.id, None, "x".into());
        assert_eq!(again.await.unwrap().amount, euro(2500));
        scene.assert_cash(0).await;
    }
}

/// The provider refused it here, as far as we know, and has it all the same.
#[tokio::test]
async fn a_refund_that_failed_here_is_made_when_the_provider_says_so() {
    for (end, is_asked) in [("succeeded", false), ("succeeded", true), ("failed", false)] {
        let scene = Scene::new().await;
        let one = scene.pay().await.unwrap();
        scene.fake.fail(&[stripe::Fault::Refused]);
        let back = payment::refund(&scene.world.operator, &scene.client, one.id, Some(euro(700)), "x".into());
        let refund = back.await.unwrap();
        assert_eq!(refund.status, RefundStatus::Failed);
        scene.assert_cash(2500).await;
        let mut object = scene.fake.refund_by_hand("pi_1", 700);
        object["metadata"] = json!({"refund": refund.id});
        object["status"] = json!("pending");
        scene.fake.settle_refund("re_1", end);
        scene.tell(&event("evt_1", "refund.created", &object)).await.unwrap();
        let shown = payment::get(&scene.world.operator, one.id).await.unwrap();
        // What is on its way is not there to be paid back again.
        assert_eq!((shown.refunded, shown.refunds[0].status), (euro(700), RefundStatus::Pending));
        if is_asked {
            assert_eq!(scene.reconciled(TimeDelta::minutes(5)).await, 1);
        }
        object["status"] = json!(end);
        for _ in 0..2 {
            scene.tell(&event("evt_2", "refund.updated", &object)).await.unwrap();
        }
        let shown = payment::get(&scene.world.operator, one.id).await.unwrap();
        assert_eq!((shown.refunds.len(), shown.refunds[0].status.as_str()), (1, end));
        scene.assert_cash(if end == "succeeded" { 1800 } else { 2500 }).await;
        let told = async |kind| told(&scene.world, kind).await.len();
        let expected = if end == "succeeded" { (1, 1) } else { (0, 2) };
        assert_eq!((told(Kind::PaymentRefunded).await, told(Kind::PaymentRefundFailed).await), expected);
    }
}

#[tokio::test]
async fn what_a_dispute_did_cannot_be_changed() {
    let scene = Scene::new().await;
    scene.pay().await.unwrap();
    for body in events(&scene, 2000, Some("lost")) {
        scene.tell(&body).await.unwrap();
    }
    for (statement, why) in [
        ("update disputes set amount_minor = 1", "permission denied"),
        ("delete from disputes", "permission denied"),
        ("update disputes set status = 'open'", "is final"),
        ("update disputes set withdrawn_on = null, withdrawn_at = null", "is final"),
    ] {
        let refused = sqlx::query(statement).execute(scene.world.ctx.begin().await.unwrap().conn()).await;
        assert!(refused.unwrap_err().to_string().contains(why), "{statement}");
    }
}

#[tokio::test]
async fn verifying_compares_disputes_and_returned_refunds_with_the_ledger() {
    for (tampering, fault, is_dispute) in [
        ("delete from transfers where code = 'dispute'", Fault::Missing, true),
        ("update disputes set amount_minor = 1999", Fault::Differs, true),
        ("delete from disputes", Fault::Unfounded, true),
        ("delete from transfers where code = 'refund_returned'", Fault::Missing, false),
    ] {
        let scene = Scene::new().await;
        scene.pay().await.unwrap();
        let refund = scene.fake.refund_by_hand("pi_1", 300);
        scene.tell(&event("evt_1", "refund.created", &refund)).await.unwrap();
        scene.fake.settle_refund("re_1", "failed");
        scene.tell(&event("evt_2", "refund.failed", &scene.fake.refunds()[0])).await.unwrap();
        let dispute = scene.fake.dispute("pi_1", 2000);
        scene.tell(&event("evt_3", "charge.dispute.created", &dispute)).await.unwrap();
        scene.assert_cash(500).await;
        let owner = super::verify::owner(&scene.world).await;
        sqlx::raw_sql(tampering).execute(&owner).await.unwrap();
        let found = super::verify::found(&scene.world).await;
        let [
            Difference::Transfer { posted, fault: is, .. },
            Difference::Balance { .. },
            Difference::Balance { .. },
        ] = &found[..]
        else {
            panic!("{tampering}: {found:?}")
        };
        assert_eq!((*is, matches!(posted, Posted::Dispute(_))), (fault, is_dispute), "{tampering}");
    }
}
