//! Sessions that only read, which go from one tenant to the next.

use std::collections::BTreeSet;
use std::time::Duration;

use kernel::UserId;
use tenancy::user::User;
use tenancy::{Ctx, TenantTx};
use testkit::{World, world};

use crate::neighbour;

/// How many of them a server has at most.
const SESSIONS: usize = 12;

/// Two tenants, with a user each.
struct Two {
    world: World,
    other: Ctx,
    ada: User,
    eve: User,
}

impl Two {
    async fn new() -> Self {
        let world = World::new().await;
        let other = neighbour(&world).await;
        world::domain(&other, "neighbour.example").await;
        let ada = world.user("ada", None).await;
        let eve = world::user(&other, "eve@neighbour.example", None).await;
        Self { world, other, ada, eve }
    }

    /// A session of one of the two in turn, and whom it is to see.
    fn turn(&self, n: usize) -> (&Ctx, UserId) {
        if n.is_multiple_of(2) { (&self.world.ctx, self.ada.id) } else { (&self.other, self.eve.id) }
    }
}

/// What row-level security alone leaves, and which process of Postgres tells it.
async fn look(ctx: &Ctx) -> (Vec<UserId>, i32) {
    let mut read = ctx.read().await.unwrap();
    let seen = sqlx::query_scalar("select id from users").fetch_all(read.conn()).await.unwrap();
    let process = sqlx::query_scalar("select pg_backend_pid()").fetch_one(read.conn()).await.unwrap();
    (seen.into_iter().map(UserId::from_uuid).collect(), process)
}

/// A statement that takes so many seconds.
async fn sleep(ctx: &Ctx, seconds: f64) {
    let mut read = ctx.read().await.unwrap();
    sqlx::query("select pg_sleep($1)").bind(seconds).execute(read.conn()).await.unwrap();
}

/// Until so many sleep.
async fn give_up(two: &Two, sleeping: impl Future, count: usize) {
    let until = async {
        while asleep(two).await < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = sleeping => panic!("it has slept"),
        () = until => {}
    }
}

async fn asleep(two: &Two) -> usize {
    // One for each look: in a transaction they would all see the same.
    let mut tx = as_login_role(&two.world.ctx).await;
    let count = "select count(*) from pg_stat_activity
        where datname = current_database() and state = 'active' and query = 'select pg_sleep($1)'";
    let count: i64 = sqlx::query_scalar(count).fetch_one(tx.conn()).await.unwrap();
    usize::try_from(count).unwrap()
}

/// Which may look at and end the processes of all.
async fn as_login_role(ctx: &Ctx) -> TenantTx {
    let mut tx = ctx.begin().await.unwrap();
    sqlx::query("reset role").execute(tx.conn()).await.unwrap();
    tx
}

async fn yields(times: u32) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn it_sees_its_own_tenant_whoever_had_it_before() {
    let two = Two::new().await;
    let mut given_up = 0;
    for times in (0..8).cycle().take(400) {
        // All of them are bound to the one, so that it is also the binding to the other that is given up.
        futures::future::join_all((0..SESSIONS).map(|_| look(&two.world.ctx))).await;
        // As for a caller who does not wait any longer.
        tokio::select! {
            biased;
            (seen, _) = look(&two.other) => assert_eq!(seen, [two.eve.id]),
            () = yields(times) => given_up += 1,
        }
        // More than there are sessions, so that each is handed on.
        let looks = (0..SESSIONS + 4).map(|n| look(two.turn(n).0));
        for (n, (seen, _)) in futures::future::join_all(looks).await.into_iter().enumerate() {
            assert_eq!(seen, [two.turn(n).1], "after {times}");
        }
    }
    assert!(given_up > 10, "{given_up}");
}

#[tokio::test]
async fn it_goes_from_tenant_to_tenant_and_back() {
    let two = Two::new().await;
    let (_, first) = look(&two.world.ctx).await;
    for n in [0, 1, 1, 0, 1, 0, 0] {
        let (ctx, whom) = two.turn(n);
        assert_eq!(look(ctx).await, (vec![whom], first));
    }
    // Each has one now, and keeps it.
    let (mine, theirs) = (two.world.ctx.read().await.unwrap(), two.other.read().await.unwrap());
    drop((mine, theirs));
    let (of_mine, of_theirs) = (look(&two.world.ctx).await.1, look(&two.other).await.1);
    assert_ne!(of_mine, of_theirs);
    for n in [0, 1, 1, 0, 1, 0, 0] {
        let (ctx, whom) = two.turn(n);
        assert_eq!(look(ctx).await, (vec![whom], if n == 0 { of_mine } else { of_theirs }));
    }
}

#[tokio::test]
async fn a_statement_that_was_given_up_holds_up_nobody() {
    let two = Two::new().await;
    let all_but_one = futures::future::join_all((1..SESSIONS).map(|n| sleep(two.turn(n).0, 20.0)));
    give_up(&two, all_but_one, SESSIONS - 1).await;
    let looking = async {
        for n in 0..20 {
            let (ctx, whom) = two.turn(n);
            assert_eq!(look(ctx).await.0, [whom]);
        }
    };
    tokio::time::timeout(Duration::from_secs(8), looking).await.expect("one is left");
    // With that one too, whoever comes waits until a statement is over, and opens no other.
    give_up(&two, sleep(&two.other, 1.0), SESSIONS).await;
    assert_eq!(look(&two.world.ctx).await.0, [two.ada.id]);
    assert_eq!(asleep(&two).await, SESSIONS - 1);
}

#[tokio::test]
async fn one_whose_process_is_gone_is_replaced() {
    let two = Two::new().await;
    let together = (0..5).map(|n| look(two.turn(n).0));
    // One that has answered may be had by the next.
    let before: BTreeSet<i32> =
        futures::future::join_all(together).await.into_iter().map(|(_, pid)| pid).collect();
    let before = Vec::from_iter(before);
    let mut tx = as_login_role(&two.world.ctx).await;
    let ended: Vec<bool> =
        sqlx::query_scalar("select pg_terminate_backend(pid, 5000) from unnest($1::int[]) pid")
            .bind(&before)
            .fetch_all(tx.conn())
            .await
            .unwrap();
    assert!(ended.iter().all(|ended| *ended), "{ended:?}");
    // Longer than one is taken to be alive without being asked.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for n in 0..10 {
        let (ctx, whom) = two.turn(n);
        let (seen, process) = look(ctx).await;
        assert_eq!(seen, [whom]);
        assert!(!before.contains(&process));
    }
}

#[tokio::test]
async fn one_that_ended_a_moment_ago_costs_an_error_and_no_more() {
    let two = Two::new().await;
    let (_, process) = look(&two.world.ctx).await;
    let mut tx = as_login_role(&two.world.ctx).await;
    look(&two.world.ctx).await;
    let ended = sqlx::query_scalar("select pg_terminate_backend($1, 5000)").bind(process);
    assert!(ended.fetch_one(tx.conn()).await.unwrap_or(false));
    let mut read = two.world.ctx.read().await.unwrap();
    // It was taken to be alive, unless this machine was slow.
    let answer = sqlx::query("select id from users").fetch_all(read.conn()).await;
    drop(read);
    let (seen, next) = look(&two.world.ctx).await;
    assert_eq!(seen, [two.ada.id], "{answer:?}");
    assert_ne!(next, process);
}

#[tokio::test]
async fn a_transaction_that_is_left_open_ends_with_its_session() {
    let two = Two::new().await;
    let mut read = two.world.ctx.read().await.unwrap();
    let process: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(read.conn()).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "what somebody might do by mistake")]
    std::mem::forget(sqlx::Connection::begin(read.conn()).await.unwrap());
    drop(read);
    let (seen, next) = look(&two.world.ctx).await;
    assert_eq!(seen, [two.ada.id]);
    assert_ne!(next, process);
}

#[tokio::test]
async fn none_is_taken_after_they_were_closed() {
    let two = Two::new().await;
    let db = two.world.test_db.db();
    let mut held = two.other.read().await.unwrap();
    look(&two.world.ctx).await;
    let closing = tokio::spawn(async move { db.close().await });
    yields(10).await;
    // Whoever has one has it until it is given back.
    assert_eq!(sqlx::query_scalar("select 1").fetch_one(held.conn()).await.ok(), Some(1));
    assert!(!closing.is_finished());
    // Nor has one who came meanwhile.
    let mut late = Box::pin(two.world.ctx.read());
    assert!(futures::poll!(&mut late).is_pending());
    drop(held);
    closing.await.unwrap();
    assert!(late.await.is_err());
    let refused = two.world.ctx.read().await.unwrap_err();
    assert!(matches!(refused, db::Error::Unavailable(sqlx::Error::PoolClosed)), "{refused:?}");
    assert_eq!(two.world.test_db.db().connections(), (0, 0));
}

#[test]
fn one_may_be_dropped_when_its_runtime_is_gone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (two, read, busy) = runtime.block_on(async {
        let two = Two::new().await;
        let (read, mut busy) = (two.world.ctx.read().await.unwrap(), two.other.read().await.unwrap());
        let sleep = sqlx::query("select pg_sleep(60)").execute(busy.conn());
        tokio::time::timeout(Duration::from_millis(100), sleep).await.unwrap_err();
        (two, read, busy)
    });
    drop(runtime);
    drop((read, busy, two));
}

#[tokio::test]
async fn it_does_nothing_else() {
    let world = World::new().await;
    let mut read = world.ctx.read().await.unwrap();
    for statement in
        ["update users set display_name = ''", "select from users for update", "delete from users"]
    {
        let refusal = sqlx::query(statement).execute(read.conn()).await.unwrap_err().to_string();
        assert!(refusal.contains("read-only transaction"), "{statement}: {refusal}");
    }
}
