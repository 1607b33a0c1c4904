//! One session at a time, and nothing is deleted by a session that did not say QUIT.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mailstore::maildrop;
use pop3::Limits;
use testkit::world::PASSWORD;

use crate::support::{Server, plain, poll, quick};

const MESSAGE: &[u8] = b"Subject: a\r\n\r\nb\r\n";

#[tokio::test]
async fn a_second_session_is_told_that_the_first_is_there() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[MESSAGE]).await;
    let other = server.user_with("bob", &[]).await;
    let first = server.login(&user).await;
    let mut second = server.connect().await;
    assert!(second.command(&format!("USER {}", user.address)).await.unwrap().ok);
    let reply = second.command(&format!("PASS {PASSWORD}")).await.unwrap();
    assert_eq!((reply.ok, reply.code()), (false, "IN-USE"));
    let by_auth = second.auth_plain(&user.address, PASSWORD).await.unwrap();
    assert_eq!((by_auth.ok, by_auth.code()), (false, "IN-USE"));
    server.login(&other).await.quit().await.unwrap();
    first.quit().await.unwrap();
    let reply = second.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await.unwrap();
    assert!(reply.ok, "the connection may go on to log in: {}", reply.text);
    second.quit().await.unwrap();
}

#[tokio::test]
async fn a_dropped_connection_deletes_nothing_and_frees_the_maildrop() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[MESSAGE, MESSAGE]).await;
    let mut client = server.login(&user).await;
    client.dele(1).await.unwrap();
    drop(client);
    let mut client = server.login_when_free(&user).await;
    assert_eq!(client.stat().await.unwrap().0, 2);
    client.quit().await.unwrap();
}

#[tokio::test]
async fn autologout_deletes_nothing_and_says_nothing() {
    let server = Server::with_limits(Limits { command_timeout: Duration::from_millis(500), ..quick() }).await;
    let user = server.user_with("ada", &[MESSAGE]).await;
    let mut raw = server.raw().await;
    assert!(
        raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await.starts_with("+OK")
    );
    assert!(raw.command("DELE 1").await.starts_with("+OK"));
    // RFC 1939 §3: the server closes without removing messages or sending a response. Bytes without a line's end
    // are no command and do not keep a session alive.
    raw.send("NOO").await;
    assert_eq!(raw.rest().await, b"");
    assert_eq!(server.login_when_free(&user).await.stat().await.unwrap().0, 1);
}

#[tokio::test]
async fn a_session_that_lost_its_lease_cannot_delete() {
    let server = Server::with_limits(Limits { lease_renewal: Duration::from_secs(3600), ..quick() }).await;
    let user = server.user_with("ada", &[MESSAGE, MESSAGE]).await;
    let mut first = server.login(&user).await;
    first.dele(1).await.unwrap();
    server.world.test_db.clock().advance(maildrop::LEASE + TimeDelta::seconds(1));
    let mut second = server.login(&user).await;
    let reply = first.command("QUIT").await.unwrap();
    assert_eq!((reply.ok, reply.code()), (false, "SYS/TEMP"));
    assert_eq!(second.stat().await.unwrap().0, 2);
    second.quit().await.unwrap();
    assert_eq!(server.login(&user).await.stat().await.unwrap().0, 2, "nothing was deleted");
}

#[tokio::test]
async fn a_lost_lease_ends_the_session() {
    let server = Server::with_limits(Limits { lease_renewal: Duration::from_millis(200), ..quick() }).await;
    let user = server.user_with("ada", &[MESSAGE]).await;
    let mut client = server.login(&user).await;
    client.dele(1).await.unwrap();
    // The session renews all the time: the lease has to be caught between two renewals.
    let thief = poll("the lease has run out", async || {
        server.world.test_db.clock().advance(maildrop::LEASE + TimeDelta::seconds(1));
        maildrop::open(&server.store, &server.world.login(&user).await).await.ok()
    })
    .await;
    let reply = poll("the loss is noticed", async || {
        let reply = client.command("NOOP").await.unwrap();
        (!reply.ok).then_some(reply)
    })
    .await;
    assert_eq!(reply.code(), "SYS/TEMP");
    assert!(client.command("QUIT").await.is_err(), "the connection is closed");
    assert_eq!(thief.entries().len(), 1);
    thief.close(&[]).await.unwrap();
    assert_eq!(server.login(&user).await.stat().await.unwrap().0, 1);
}

#[tokio::test]
async fn an_idle_session_keeps_its_lease() {
    let server = Server::with_limits(Limits { lease_renewal: Duration::from_millis(20), ..quick() }).await;
    let user = server.user_with("ada", &[MESSAGE]).await;
    let client = server.login(&user).await;
    let clock = server.world.test_db.clock();
    for _ in 0..3 {
        clock.advance(maildrop::LEASE - TimeDelta::seconds(1));
        let now = server.world.ctx.env().now();
        poll("the lease is renewed", async || {
            (lease_ends(&server, &user).await == now + maildrop::LEASE).then_some(())
        })
        .await;
    }
    let mut second = server.connect().await;
    assert_eq!(second.auth_plain(&user.address, PASSWORD).await.unwrap().code(), "IN-USE");
    client.quit().await.unwrap();
}

async fn lease_ends(server: &Server, user: &tenancy::user::User) -> DateTime<Utc> {
    let mut tx = server.world.ctx.begin().await.unwrap();
    sqlx::query_scalar("select expires_at from mailbox_leases where tenant_id = $1 and mailbox_id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(user.mailbox_id.uuid())
        .fetch_one(tx.conn())
        .await
        .unwrap()
}

#[tokio::test]
async fn shutdown_deletes_nothing_and_ends_the_listeners() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[MESSAGE]).await;
    let mut raw = server.raw().await;
    assert!(
        raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await.starts_with("+OK")
    );
    assert!(raw.command("DELE 1").await.starts_with("+OK"));
    server.shutdown.cancel();
    assert!(raw.rest().await.starts_with(b"-ERR [SYS/TEMP] "));
    for listener in server.listeners {
        tokio::time::timeout(crate::support::PATIENCE, listener).await.expect("the listener ends").unwrap();
    }
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
    let maildrop = maildrop::open(&server.store, &server.world.login(&user).await).await.unwrap();
    assert_eq!(maildrop.entries().len(), 1, "still there, and not locked");
}
