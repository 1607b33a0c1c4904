use sqlx::{Connection, PgConnection};
use testkit::TestDb;

async fn exists(url: &str) -> bool {
    PgConnection::connect(url).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_migrated_separate_and_gone_afterwards() {
    let dbs = futures::future::join_all((0..6).map(|_| tokio::spawn(TestDb::new()))).await;
    let urls = dbs.into_iter().map(|db| {
        let db = db.unwrap();
        (db.url(), db)
    });
    let (urls, dbs): (Vec<_>, Vec<_>) = urls.unzip();
    for (url, db) in urls.iter().zip(&dbs) {
        let mut conn = PgConnection::connect(url).await.unwrap();
        let superuser =
            sqlx::query_scalar::<_, bool>("select rolsuper from pg_roles where rolname = current_user");
        assert!(!superuser.fetch_one(&mut conn).await.unwrap(), "a superuser bypasses row-level security");
        let others =
            sqlx::query_scalar::<_, i64>("select count(*) from pg_tables where tablename = 'only_here'");
        assert_eq!(others.fetch_one(&mut conn).await.unwrap(), 0, "a table of another test's database");
        sqlx::query("create table only_here ()").execute(&mut conn).await.unwrap();
        db.db().ping().await.unwrap();
        db.db().migrate().await.unwrap();
    }
    drop(dbs);
    for url in &urls {
        assert!(!exists(url).await, "{url} is left behind");
    }
}
