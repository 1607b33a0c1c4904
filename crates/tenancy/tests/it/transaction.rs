//! Transactions in sessions that go from one to the next.

use std::time::Duration;

use tenancy::{Ctx, TenantTx};
use testkit::World;

/// Which process of Postgres has it, and under which name the tenant goes there.
async fn look(tx: &mut TenantTx) -> (i32, String) {
    sqlx::query_as("select pg_backend_pid(), name from tenants").fetch_one(tx.conn()).await.unwrap()
}

async fn rename(tx: &mut TenantTx) {
    let renamed = sqlx::query("update tenants set name = 'Renamed'").execute(tx.conn()).await.unwrap();
    assert_eq!(renamed.rows_affected(), 1);
}

/// Until a session is idle again after one that was not ended.
async fn next(ctx: &Ctx, process: i32) -> TenantTx {
    let reused = async {
        let mut others = Vec::new();
        loop {
            let mut tx = ctx.begin().await.unwrap();
            if look(&mut tx).await.0 == process {
                return tx;
            }
            // It stays open meanwhile, so that the next one is another's.
            others.push(tx);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reused).await.unwrap()
}

#[tokio::test]
async fn what_was_at_work_last_goes_on() {
    let world = World::new().await;
    let (mut first, mut second) = (world.ctx.begin().await.unwrap(), world.ctx.begin().await.unwrap());
    let (process, other) = (look(&mut first).await.0, look(&mut second).await.0);
    assert_ne!(process, other);
    second.commit().await.unwrap();
    first.commit().await.unwrap();
    for _ in 0..5 {
        let mut tx = world.ctx.begin().await.unwrap();
        assert_eq!(look(&mut tx).await.0, process);
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn one_that_nobody_ends_is_rolled_back_before_its_session_goes_on() {
    let world = World::new().await;
    let mut tx = world.ctx.begin().await.unwrap();
    let (process, name) = look(&mut tx).await;
    rename(&mut tx).await;
    drop(tx);
    let mut tx = next(&world.ctx, process).await;
    assert_eq!(look(&mut tx).await, (process, name));
}

#[tokio::test]
async fn one_that_is_given_up_in_a_statement_waits_for_it_and_is_rolled_back() {
    let world = World::new().await;
    let mut tx = world.ctx.begin().await.unwrap();
    let (process, name) = look(&mut tx).await;
    rename(&mut tx).await;
    let slept = sqlx::query("select pg_sleep(0.3)").execute(tx.conn());
    let given_up = tokio::time::timeout(Duration::from_millis(50), slept).await;
    assert!(given_up.is_err());
    drop(tx);
    let mut tx = next(&world.ctx, process).await;
    assert_eq!(look(&mut tx).await, (process, name));
}

#[tokio::test]
async fn one_that_is_given_up_while_it_begins_leaves_nothing_behind() {
    let world = World::new().await;
    let mut asking = world.ctx.read().await.unwrap();
    for yields in (0..6).cycle().take(60) {
        tokio::select! {
            biased;
            begun = world.ctx.begin() => drop(begun.unwrap()),
            () = async { for _ in 0..yields { tokio::task::yield_now().await } } => {}
        }
        // Not in a transaction that began before: Postgres would only warn.
        let before: String =
            sqlx::query_scalar("select clock_timestamp()::text").fetch_one(asking.conn()).await.unwrap();
        let mut tx = world.ctx.begin().await.unwrap();
        let fresh = sqlx::query_scalar("select now() >= $1::timestamptz").bind(before);
        assert!(fresh.fetch_one(tx.conn()).await.unwrap_or(false), "after {yields}");
        assert_eq!(look(&mut tx).await.1, world.tenant.name);
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn one_whose_process_has_ended_fails_and_the_next_does_not() {
    let world = World::new().await;
    let mut tx = world.ctx.begin().await.unwrap();
    let (process, _) = look(&mut tx).await;
    let mut other = world.ctx.begin().await.unwrap();
    sqlx::query("reset role").execute(other.conn()).await.unwrap();
    let ended = sqlx::query_scalar("select pg_terminate_backend($1, 5000)").bind(process);
    assert!(ended.fetch_one(other.conn()).await.unwrap_or(false));
    drop(other);
    assert!(tx.commit().await.is_err());
    for _ in 0..5 {
        let mut tx = world.ctx.begin().await.unwrap();
        assert_ne!(look(&mut tx).await.0, process);
        tx.commit().await.unwrap();
    }
}
