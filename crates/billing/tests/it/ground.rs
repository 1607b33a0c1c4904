//! Properties of what is stored: each case has a reseller and a tenant of its own in a database that many cases share, since a
//! database of its own would cost more than the case.

use std::cell::RefCell;

use db::SystemTx;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use testkit::{TestDb, World};
use tokio::runtime::Runtime;

/// How many cases share a database. What one left makes the next a little slower.
const SHARED_BY: u32 = 250;

struct Ground {
    /// Dropped before the runtime that its connections belong to. `None` before the first case and after one that failed, which
    /// may have left anything.
    database: RefCell<Option<TestDb>>,
    runtime: Runtime,
}

/// Plays random cases, `by_default` of them unless `PROPTEST_CASES` says how many. One that fails is made smaller, and its seed
/// is printed, as that of [`proptest!`] is.
pub(crate) fn check<S: Strategy>(
    name: &'static str,
    by_default: u32,
    cases: &S,
    play: impl AsyncFn(World, S::Value),
) {
    check_shared_by(SHARED_BY, (name, by_default), cases, play);
}

/// As [`check`], of cases so many of which share a database: few, where each looks at all that others left.
pub(crate) fn check_shared_by<S: Strategy>(
    shared_by: u32,
    (name, by_default): (&'static str, u32),
    cases: &S,
    play: impl AsyncFn(World, S::Value),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ground = Ground { database: RefCell::new(None), runtime };
    let count = RefCell::new(0_u32);
    let config = ProptestConfig {
        test_name: Some(name),
        source_file: Some(file!()),
        // Each try is dear, and a smaller case is only a convenience.
        max_shrink_iters: 100,
        ..ProptestConfig::with_cases(testkit::cases(by_default))
    };
    let mut runner = TestRunner::new(config);
    let checked = runner.run(cases, |case| {
        let nth = count.replace_with(|nth| *nth + 1);
        let used = ground.database.take().filter(|_| !nth.is_multiple_of(shared_by));
        let database = ground.runtime.block_on(async {
            let database = match used {
                Some(database) => database,
                None => TestDb::new().await,
            };
            let world = World::within(database.clone(), &format!("case{nth}.example")).await;
            play(world, case).await;
            retire(database).await
        });
        ground.database.replace(Some(database));
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}\n{runner}");
    }
}

/// Nobody who is here now is billed any more.
#[expect(clippy::disallowed_methods, reason = "a test reaches behind the domain")]
async fn retire(database: TestDb) -> TestDb {
    let mut tx = SystemTx::begin(&database.db()).await.unwrap();
    for statement in [
        "update tenants set purged_at = now() where purged_at is null",
        "update wholesale_agreements set next_invoice_on = '9999-12-31' where next_invoice_on < '9999-12-31'",
    ] {
        sqlx::query(statement).execute(tx.conn()).await.unwrap();
    }
    tx.commit().await.unwrap();
    database
}
