//! Requests whose client has gone, or whose answer does not come: what becomes of their work, key and memory.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use api::Limits;
use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::Method;
use blob::{BlobKey, BlobStore, KeyPage, KeyPrefix};
use mailstore::MailStore;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tenancy::Caller;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, App, MESSAGE};

const DEADLINE: Duration = Duration::from_secs(20);
/// How long something is watched that is not to happen.
const A_WHILE: Duration = Duration::from_millis(300);

/// A blob store in memory whose puts of packs wait at a gate, and may fail behind it, as reads may.
#[derive(Debug)]
struct Held {
    inner: Arc<dyn BlobStore>,
    failing: AtomicBool,
    puts: AtomicUsize,
    entered: Semaphore,
    gate: Semaphore,
    /// One permit for each put that has ended.
    left: Semaphore,
}

struct Leaving<'a>(&'a Semaphore);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

async fn wait_for(event: &Semaphore) {
    tokio::time::timeout(DEADLINE, event.acquire()).await.unwrap().unwrap().forget();
}

#[async_trait]
impl BlobStore for Held {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), blob::Error> {
        if !matches!(key, BlobKey::Pack { .. }) {
            return self.inner.put(key, bytes).await;
        }
        self.puts.fetch_add(1, Ordering::SeqCst);
        let _leaving = Leaving(&self.left);
        self.entered.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        if self.failing.load(Ordering::SeqCst) {
            return Err(blob::Error::Unavailable(blob::Cause::new("putting", "away")));
        }
        self.inner.put(key, bytes).await
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, blob::Error> {
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, blob::Error> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(blob::Error::Unavailable(blob::Cause::new("reading", "away")));
        }
        self.inner.get_range(key, range).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), blob::Error> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, blob::Error> {
        self.inner.list(prefix, after).await
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), blob::Error> {
        self.inner.erase(key).await
    }

    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), blob::Error> {
        self.inner.erase_all(prefix).await
    }
}

struct Fixture {
    app: App,
    blobs: Arc<Held>,
    token: String,
    messages: String,
}

impl Fixture {
    async fn new(limits: Limits) -> Self {
        let app = App::with_limits(limits).await;
        let blobs = Arc::new(Held {
            inner: blob::open(&"memory:".parse().unwrap()).await.unwrap(),
            failing: AtomicBool::new(false),
            puts: AtomicUsize::new(0),
            entered: Semaphore::new(0),
            gate: Semaphore::new(0),
            left: Semaphore::new(0),
        });
        let store = MailStore::new(app.db.db(), blobs.clone(), testkit::kek::encryption());
        let app = app.with_store(store);
        let (_, token) = app.reseller("North").await;
        let tenant = app.tenant(&token, "one.example", json!({})).await;
        let (_, mailbox) = app.user(&token, &tenant, json!({"address": "ada@one.example"})).await;
        app.open_for_support(&token, &mailbox).await;
        Self { app, blobs, token, messages: format!("{mailbox}/messages") }
    }

    async fn put(&self, key: &str) -> Answer {
        let call = self.app.call(Method::POST, &self.messages).token(&self.token);
        call.header("idempotency-key", key).bytes("message/rfc822", MESSAGE).send().await
    }

    /// Asks until the first request with the key is no longer under way.
    async fn put_until_settled(&self, key: &str) -> Answer {
        let asking = async {
            loop {
                let answer = self.put(key).await;
                if answer.status.as_u16() != 409 {
                    return answer;
                }
            }
        };
        tokio::time::timeout(DEADLINE, asking).await.unwrap()
    }

    /// Puts a message and goes away when its body is on its way.
    async fn put_and_leave(&self, key: &str) {
        tokio::select! {
            answer = self.put(key) => panic!("{answer:?}"),
            () = wait_for(&self.blobs.entered) => {}
        }
    }

    async fn stored(&self) -> Vec<Value> {
        let listed = self.app.get(&self.token, &self.messages).await.expect(200);
        listed["data"].as_array().unwrap().clone()
    }

    async fn run_sql(&self, statements: &'static str) {
        let mut connection = sqlx::PgConnection::connect(&self.app.db.url()).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Over a socket: puts a message, goes away when its body is on its way, and tells the server to stop.
    async fn put_leave_and_stop(&self, key: &str) -> tokio::task::JoinHandle<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(api::serve(listener, self.app.api.clone(), shutdown.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: {key}\r\ncontent-type: message/rfc822\r\ncontent-length: {}\r\n\r\n{MESSAGE}",
            self.messages,
            self.token,
            MESSAGE.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        wait_for(&self.blobs.entered).await;
        drop(stream);
        shutdown.cancel();
        server
    }
}

#[tokio::test]
async fn work_is_finished_though_its_client_has_gone() {
    let here = Fixture::new(Limits::default()).await;
    here.put_and_leave("a").await;
    here.put("a").await.expect_problem(409, "idempotency_key_in_use");
    here.blobs.gate.add_permits(1);
    let answer = here.put_until_settled("a").await;
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(here.stored().await, [answer.expect(201)]);
}

#[tokio::test]
async fn work_past_its_time_is_dropped_and_its_key_stays_claimed() {
    let here = Fixture::new(Limits { request_timeout: Duration::from_secs(2), ..Limits::default() }).await;
    here.put("a").await.expect_problem(408, "request_timeout");
    // Its upload goes on, and nothing comes of it.
    here.blobs.gate.add_permits(10);
    wait_for(&here.blobs.left).await;
    assert_eq!(here.stored().await, [] as [Value; 0]);
    here.put("a").await.expect_problem(409, "idempotency_key_in_use");
    here.app.db.clock().advance(chrono::TimeDelta::minutes(12));
    here.put("a").await.expect_problem(409, "idempotency_key_unresolved");
    here.put("b").await.expect(201);
    assert_eq!(here.stored().await.len(), 1);
}

#[tokio::test]
async fn a_key_is_in_use_for_as_long_as_a_request_may_take() {
    let here = Fixture::new(Limits { request_timeout: Duration::MAX, ..Limits::default() }).await;
    here.put_and_leave("a").await;
    here.app.db.clock().advance(chrono::TimeDelta::from_std(Limits::default().request_timeout).unwrap());
    here.put("a").await.expect_problem(409, "idempotency_key_in_use");
}

#[tokio::test]
async fn what_cannot_be_done_now_gives_the_key_back() {
    let here = Fixture::new(Limits::default()).await;
    here.blobs.gate.add_permits(2);
    here.blobs.failing.store(true, Ordering::SeqCst);
    let answer = here.put("a").await;
    answer.expect_problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("5"));
    here.blobs.failing.store(false, Ordering::SeqCst);
    let answer = here.put("a").await;
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(here.stored().await, [answer.expect(201)]);
}

#[tokio::test]
async fn what_was_done_is_answered_though_its_message_cannot_be_read_now() {
    let mut here = Fixture::new(Limits::default()).await;
    here.blobs.gate.add_permits(1);
    let message = here.put("a").await.expect(201);
    assert!(message["subject"].is_string());
    // As after a recovery, in a process that has read nothing yet.
    here.run_sql("set role pillarbox_system; delete from message_outlines").await;
    let store = MailStore::new(here.app.db.db(), here.blobs.clone(), testkit::kek::encryption());
    here.app = here.app.with_store(store.with_cache(0));
    here.blobs.failing.store(true, Ordering::SeqCst);

    let path = format!("{}/{}", here.messages, message["id"].as_str().unwrap());
    here.app.get(&here.token, &path).await.expect_problem(503, "unavailable");
    let seen = json!({"flags": {"seen": true}});
    let marked = here.app.patch(&here.token, &path, seen).await.expect(200);
    assert_eq!((&marked["flags"]["seen"], &marked["subject"]), (&json!(true), &json!(null)));
    // Ids are in the order of the clock.
    here.app.db.clock().advance(chrono::TimeDelta::milliseconds(1));
    let copy = here.app.post(&here.token, &format!("{path}/copy"), json!({})).await.expect(201);
    assert_eq!(copy["subject"], json!(null));

    here.blobs.failing.store(false, Ordering::SeqCst);
    let stored = here.stored().await;
    assert_eq!(stored.len(), 2);
    for (one, id) in stored.iter().zip([&message["id"], &copy["id"]]) {
        assert_eq!((&one["id"], &one["subject"]), (id, &message["subject"]));
        assert_eq!(one["flags"]["seen"], true);
    }
}

#[tokio::test]
async fn a_key_is_given_back_once_the_database_has_room_again() {
    let here = Fixture::new(Limits::default()).await;
    here.blobs.failing.store(true, Ordering::SeqCst);
    let first = here.put("a");
    let all_connections = async {
        wait_for(&here.blobs.entered).await;
        let db = here.app.db.db();
        let tenant = here.messages.split('/').nth(3).unwrap().parse().unwrap();
        let ctx = Caller::local_operator(db.clone(), db.env().new_id()).enter(tenant).await.unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(tx)) = tokio::time::timeout(A_WHILE, ctx.begin()).await {
            held.push(tx);
        }
        here.blobs.gate.add_permits(2);
        held
    };
    let (first, held) = futures::join!(first, all_connections);
    first.expect_problem(503, "unavailable");
    drop(held);
    here.blobs.failing.store(false, Ordering::SeqCst);
    let answer = here.put_until_settled("a").await;
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(here.stored().await, [answer.expect(201)]);
}

#[tokio::test]
async fn a_message_that_is_stored_is_not_asked_for_again() {
    let here = Fixture::new(Limits::default()).await;
    here.blobs.gate.add_permits(2);
    // Messages can be put into the table, but not looked at for the time being.
    here.run_sql(
        "create function away() returns boolean language plpgsql
           as $$ begin raise 'away' using errcode = 'cannot_connect_now'; end $$;
         create policy away on messages as restrictive for select to pillarbox_tenant using (away())",
    )
    .await;
    here.put("a").await.expect_problem(500, "internal");
    here.run_sql("drop policy away on messages").await;
    here.put("a").await.expect_problem(409, "idempotency_key_in_use");
    assert_eq!(here.stored().await.len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_make_room_for_another() {
    let here = Fixture::new(Limits { message_uploads: 1, ..Limits::default() }).await;
    here.put_and_leave("a").await;
    let second = here.put("b");
    let mut second = std::pin::pin!(second);
    assert!(tokio::time::timeout(A_WHILE, second.as_mut()).await.is_err());
    assert_eq!(here.blobs.puts.load(Ordering::SeqCst), 1);
    here.blobs.gate.add_permits(2);
    tokio::time::timeout(DEADLINE, second).await.unwrap().expect(201);
    assert_eq!(here.stored().await.len(), 2);
}

#[tokio::test]
async fn a_shutdown_waits_for_work_whose_client_has_gone() {
    let here = Fixture::new(Limits::default()).await;
    let mut server = here.put_leave_and_stop("a").await;
    assert!(tokio::time::timeout(A_WHILE, &mut server).await.is_err());
    here.blobs.gate.add_permits(1);
    tokio::time::timeout(DEADLINE, server).await.unwrap().unwrap();
    let answer = here.put("a").await;
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(here.stored().await, [answer.expect(201)]);
}

#[tokio::test]
async fn a_shutdown_cuts_work_that_does_not_end() {
    let here = Fixture::new(Limits { shutdown_grace: A_WHILE, ..Limits::default() }).await;
    let server = here.put_leave_and_stop("a").await;
    tokio::time::timeout(DEADLINE, server).await.unwrap().unwrap();
    here.blobs.gate.add_permits(1);
    wait_for(&here.blobs.left).await;
    assert_eq!(here.stored().await, [] as [Value; 0]);
    here.put("a").await.expect_problem(409, "idempotency_key_in_use");
}
