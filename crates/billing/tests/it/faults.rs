//! A run that is killed at any statement, on either side of it, and run again: the documents of one clean run (I3).

use billing::rating::RemovalPolicy;
use billing::verify::verify;
use db::Db;
use tenancy::{Ctx, user};
use testkit::{Cut, Side, World};

use super::{all_shown, at, book, date, run, seat, subscribed_tenant, world_on};

/// Two tenants that have something to bill on two boundaries, one of them a credit note.
async fn story() -> (World, [Ctx; 2]) {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    let grows = subscribed_tenant(&world, &book, "Grows", 2).await;
    let shrinks = subscribed_tenant(&world, &book, "Shrinks", 1).await;
    super::put(
        &shrinks,
        super::PutSubscription { seats_committed: Some(0), ..super::terms(&book, "year") },
        None,
    )
    .await
    .unwrap();
    at(&world, "2026-01-10T10:00");
    seat(&grows, "late").await;
    let users =
        user::list(&shrinks, &Default::default(), kernel::PageRequest::new(None, None)).await.unwrap();
    user::delete(&shrinks, users.items[0].id, None).await.unwrap();
    at(&world, "2026-02-01T10:00");
    (world, [grows, shrinks])
}

async fn documents(ctxs: &[Ctx; 2]) -> Vec<Vec<String>> {
    let mut documents = Vec::new();
    for ctx in ctxs {
        documents.push(all_shown(ctx).await);
    }
    documents
}

/// How many kills it took until a run came to its end.
async fn killed_everywhere(side: Side, expected: &[Vec<String>]) -> u64 {
    let (world, ctxs) = story().await;
    let mut kills = 0;
    loop {
        let cut = Cut::new(&world.test_db.url(), side).await;
        let db = Db::connect(cut.url(), world.test_db.db().env().clone()).await.unwrap();
        cut.arm(kills + 1);
        let is_over = tokio::select! {
            biased;
            () = cut.happened() => false,
            done = billing::run::run(&db, date("2026-02-01"), None) => done.is_ok(),
        };
        let found =
            verify(&world.operator, None, |finding| panic!("after {kills}: {finding}")).await.unwrap();
        assert_eq!(found.differences, 0);
        for (made, expected) in documents(&ctxs).await.iter().zip(expected) {
            assert!(made.is_empty() || made == expected, "all of an account's documents or none: {made:#?}");
        }
        if is_over {
            break;
        }
        kills += 1;
    }
    assert_eq!(documents(&ctxs).await, expected);
    let again = run(&world, "2026-02-01").await;
    assert_eq!((again.invoices, again.credit_notes), (0, 0));
    kills
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_statement_makes_the_documents_of_a_clean_one() {
    let (clean, ctxs) = story().await;
    run(&clean, "2026-02-01").await;
    let expected = documents(&ctxs).await;
    assert!(expected[1].iter().any(|document| document.starts_with("credit_note")), "{expected:#?}");
    for side in [Side::Before, Side::After] {
        let kills = killed_everywhere(side, &expected).await;
        // Fewer statements than that cannot have made these documents: the proxy would not have been in the way.
        assert!(kills > 60, "{kills} kills");
    }
}
