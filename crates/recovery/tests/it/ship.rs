//! The journal on its way into the bucket.

use blob::{BlobKey, KeyPrefix};
use recovery::{Journal, base, ship};
use sqlx::Connection as _;

use crate::support::Bench;

#[tokio::test]
async fn every_table_is_written_down_or_the_journal_s_own() {
    let bench = Bench::new().await;
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let count = "select relname::text, count(tgname) from pg_class left join pg_trigger on tgrelid = pg_class.oid and tgname like 'journal%'
       where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace group by 1 having count(tgname) <> 3 order by 1";
    let bare: Vec<(String, i64)> = sqlx::query_as(count).fetch_all(&mut connection).await.unwrap();
    // The journal's own, the index for searching, which is made anew of messages, and counts of what was sent, which begin anew.
    let own = [
        "journal",
        "journal_bases",
        "journal_head",
        "mailbox_sending",
        "message_grams",
        "message_outlines",
        "message_texts",
        "reseller_sending",
        "search_queue",
        "tenant_sending",
    ];
    let own = own.map(|table| (table.to_owned(), 0));
    assert_eq!(bare, own, "a table is written down by `select journal_table(…)` in its migration");
}

#[tokio::test]
async fn one_process_has_the_turn_and_another_takes_it_over() {
    let bench = Bench::new().await;
    let other = Journal::new(&bench.world.test_db.db(), &bench.store);
    bench.mailbox("ada").await;
    assert!(bench.ship().await.records > 0);
    bench.mailbox("bob").await;
    assert_eq!(ship::ship(&other).await.unwrap(), ship::Shipped::default());
    assert!(ship::lag(&bench.world.test_db.db()).await.unwrap() > chrono::TimeDelta::zero());
    // The first one stops, and puts the last of it on its way out.
    let stop = async {
        while ship::lag(&bench.world.test_db.db()).await.unwrap() > chrono::TimeDelta::zero() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        bench.mailbox("dora").await;
    };
    recovery::run(&bench.journal, stop).await;
    assert_eq!(ship::lag(&bench.world.test_db.db()).await.unwrap(), chrono::TimeDelta::zero());
    bench.mailbox("carol").await;
    assert!(ship::ship(&other).await.unwrap().records > 0);
}

#[tokio::test]
async fn one_that_is_stopped_in_its_first_moments_puts_all_there_is() {
    let bench = Bench::new().await;
    bench.mailbox("ada").await;
    recovery::run(&bench.journal, std::future::ready(())).await;
    assert_eq!(ship::lag(&bench.world.test_db.db()).await.unwrap(), chrono::TimeDelta::zero());
    assert!(!bench.objects(KeyPrefix::Journal).await.is_empty());
}

#[tokio::test]
async fn what_the_bucket_did_not_take_is_put_again() {
    let bench = Bench::new().await;
    bench.mailbox("ada").await;
    let before = bench.objects(KeyPrefix::Journal).await.len();
    let waiting = ship::lag(&bench.world.test_db.db()).await.unwrap();
    assert!(waiting > chrono::TimeDelta::zero());
    let shipped = bench.ship().await;
    assert_eq!(bench.objects(KeyPrefix::Journal).await.len(), before + 1);
    assert!(shipped.records > 0);
    assert!(base::take_if_due(&bench.journal).await.unwrap().is_none(), "one a day");
    assert_eq!(base::let_go(&bench.journal).await.unwrap(), 0);
    assert!(bench.objects(KeyPrefix::Journal).await.iter().all(|key| matches!(key, BlobKey::Segment(_))));
}
