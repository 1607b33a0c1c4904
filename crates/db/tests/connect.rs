//! What a connection is refused for, before anything is done with it.
#![cfg(test)]

use db::{Db, Error};
use kernel::Env;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

fn options() -> PgConnectOptions {
    let url = std::env::var("PILLARBOX_TEST_DATABASE_URL")
        .expect("run `make test`, which names a Postgres for tests");
    url.parse().unwrap()
}

async fn connect(options: PgConnectOptions) -> Result<Db, Error> {
    Db::connect(options.to_url_lossy().as_str(), Env::system()).await
}

#[tokio::test]
async fn a_role_that_no_policy_binds_is_refused() {
    let refused = connect(options().username("postgres")).await;
    assert!(matches!(refused, Err(Error::AboveTheRules)), "{refused:?}");
    connect(options()).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_as_such() {
    let refused = connect(options().socket("/nowhere")).await;
    let Err(Error::Unavailable(cause)) = refused else { panic!("{refused:?}") };
    assert!(matches!(cause, sqlx::Error::Io(_)), "{cause:?}");
}

#[tokio::test]
async fn a_database_that_keeps_no_unicode_is_refused() {
    let mut maintenance: PgConnection = options().connect().await.unwrap();
    let name = format!("pillarbox_t_ascii_{}", std::process::id());
    let create = format!("create database {name} encoding 'SQL_ASCII' locale 'C' template template0");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut maintenance).await.unwrap();
    let refused = connect(options().database(&name)).await;
    let drop = format!("drop database {name} with (force)");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut maintenance).await.unwrap();
    maintenance.close().await.unwrap();
    let Err(Error::NotUtf8(encoding)) = refused else { panic!("{refused:?}") };
    assert_eq!(encoding, "SQL_ASCII");
}
