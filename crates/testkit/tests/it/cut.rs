use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use testkit::{Cut, Side, TestDb};

/// As when a process rolls back on one connection, which nobody waits for, and goes on on another.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_past_the_statement_whose_answer_is_awaited_before_the_cut() {
    let db = TestDb::new().await;
    let mut direct = PgConnection::connect(&db.url()).await.unwrap();
    sqlx::query("create table asked ()").execute(&mut direct).await.unwrap();
    let cut = Cut::new(&db.url(), Side::After).await;
    let mut slow = PgConnection::connect(cut.url()).await.unwrap();
    let mut other = PgConnection::connect(cut.url()).await.unwrap();
    cut.arm(1);
    let sleeping = tokio::spawn(async move { sqlx::raw_sql("select pg_sleep(2)").execute(&mut slow).await });
    let is_asleep = "select exists (select from pg_stat_activity where state = 'active' and query = 'select pg_sleep(2)')";
    while !sqlx::query_scalar::<_, bool>(is_asleep).fetch_one(&mut direct).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let more = sqlx::raw_sql("insert into asked default values").execute(&mut other).await;
    assert!(more.is_err() && sleeping.await.unwrap().is_err(), "both were cut off");
    cut.happened().await;
    let asked = sqlx::query_scalar::<_, i64>("select count(*) from asked");
    assert_eq!(asked.fetch_one(&mut direct).await.unwrap(), 0);
}
