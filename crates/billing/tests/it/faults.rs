//! A run that is killed at any statement, on either side of it, and run again: the documents of one clean run (I3).

use std::num::NonZeroU32;

use billing::rating::RemovalPolicy;
use billing::run::run_by;
use billing::verify::verify;
use db::Db;
use tenancy::mailbox::Kind;
use tenancy::reseller::Reseller;
use tenancy::{Ctx, storage_sample, tenant, user};
use testkit::{Cut, Side, World, world};

use super::items::{make, stores_in};
use super::properties::rough::set_one_by_one;
use super::wholesale::items::book_of_all;
use super::wholesale::{agree, agreed, all_lines, documents, tenant_of};
use super::{all_shown, at, book, date, run, seat, subscribed_tenant, world_on};

/// Two accounts that have something to bill on two boundaries, one of them a credit note.
struct Story {
    world: World,
    tenants: Vec<Ctx>,
    resellers: Vec<Reseller>,
}

impl Story {
    /// The accounts are tenants.
    async fn retail() -> Self {
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
        Self { world, tenants: vec![grows, shrinks], resellers: Vec::new() }
    }

    /// The accounts are resellers, the first with two tenants and seats that it only committed to, the second with one that goes; they
    /// buy all items.
    async fn wholesale() -> Self {
        let world = world_on("2026-01-01").await;
        let book = book_of_all(&world).await;
        let south = world::reseller(&world.operator, "South").await;
        agree(&world, &world.reseller, agreed(&book, 5)).await;
        agree(&world, &south, agreed(&book, 0)).await;
        let grows = tenant_of(&world, &world.reseller, "Grows", 2).await;
        tenant_of(&world, &world.reseller, "Stays", 1).await;
        let goes = tenant_of(&world, &south, "Goes", 3).await;
        at(&world, "2026-01-10T10:00");
        seat(&grows, "late").await;
        make(&grows, Kind::Shared, "info").await.unwrap();
        stores_in(&grows, 93 << 30).await;
        storage_sample::record(&world.test_db.db()).await.unwrap();
        tenant::delete(&goes, None).await.unwrap();
        at(&world, "2026-02-01T10:00");
        let resellers = vec![world.reseller.clone(), south];
        Self { world, tenants: Vec::new(), resellers }
    }

    /// Those of each account.
    async fn documents(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for ctx in &self.tenants {
            all.push(all_shown(ctx).await);
        }
        for reseller in &self.resellers {
            let lines = all_lines(&self.world, reseller).await;
            let found = documents(&self.world, reseller).await;
            let shown = lines.iter().zip(&found).map(|((name, lines), document)| {
                let corrected = document.corrects.len();
                format!("{name} {} corrects {corrected}, {}: {lines:?}", document.number, document.total)
            });
            all.push(shown.collect());
        }
        all
    }
}

/// How many kills it took until each transaction of documents was there: a run is killed one statement later each time, and from its first one on
/// again after an account was.
async fn killed_everywhere(
    side: Side,
    story: Story,
    accounts: NonZeroU32,
    expected: &[Vec<String>],
) -> Vec<u64> {
    let world = &story.world;
    let (mut kills, mut nth, mut billed) = (vec![0], 0, 0);
    loop {
        nth += 1;
        let cut = Cut::new(&world.test_db.url(), side).await;
        let db = Db::connect(cut.url(), world.test_db.db().env().clone()).await.unwrap();
        cut.arm(nth);
        let is_over = tokio::select! {
            biased;
            () = cut.happened() => false,
            done = run_by(&db, date("2026-02-01"), None, accounts) => done.is_ok(),
        };
        let found =
            verify(&world.operator, None, |finding| panic!("after {kills:?}: {finding}")).await.unwrap();
        assert_eq!(found.differences, 0);
        let made = story.documents().await;
        for (made, expected) in made.iter().zip(expected) {
            assert!(made.is_empty() || made == expected, "all of an account's documents or none: {made:#?}");
        }
        if is_over {
            break;
        }
        *kills.last_mut().unwrap() = nth;
        let now = made.iter().filter(|made| !made.is_empty()).count();
        if now > billed {
            (billed, nth) = (now, 0);
            kills.push(0);
        }
    }
    assert_eq!(story.documents().await, expected);
    let again = run(world, "2026-02-01").await;
    assert_eq!((again.invoices, again.credit_notes), (0, 0));
    assert_eq!((again.wholesale_invoices, again.wholesale_credit_notes), (0, 0));
    kills
}

/// As of a clean run, whichever statement a run is killed at, and on whichever side of it. It bills the accounts in so many
/// transactions, of at most so many.
async fn are_those_of_a_clean_run(transactions: usize, accounts: u32, story: impl AsyncFn() -> Story) {
    let accounts = NonZeroU32::new(accounts).unwrap();
    let clean = story().await;
    run(&clean.world, "2026-02-01").await;
    let expected = clean.documents().await;
    assert!(expected[1].iter().any(|document| document.starts_with("credit_note")), "{expected:#?}");
    for side in [Side::Before, Side::After] {
        let kills = killed_everywhere(side, story().await, accounts, &expected).await;
        // Fewer statements than that cannot have made an account's documents: the proxy would not have been in the way. After
        // all accounts nothing is left but to find that nothing is due.
        let (until_done, _) = kills.split_at(transactions);
        assert!(kills.len() == transactions + 1 && until_done.iter().all(|kills| *kills > 30), "{kills:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_statement_makes_the_documents_of_a_clean_one() {
    are_those_of_a_clean_run(1, 500, Story::retail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_is_killed_between_two_batches() {
    are_those_of_a_clean_run(2, 1, Story::retail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_bills_one_by_one_because_all_at_once_failed() {
    let story = async || {
        let story = Story::retail().await;
        set_one_by_one(&story.world, true).await;
        story
    };
    are_those_of_a_clean_run(2, 500, story).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_bills_resellers() {
    are_those_of_a_clean_run(2, 500, Story::wholesale).await;
}
