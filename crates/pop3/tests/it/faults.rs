//! What clients see when something below fails.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use blob::{BlobKey, BlobStore, Cause, Error, KeyPage, KeyPrefix};
use bytes::Bytes;
use mailstore::maildrop;
use mailstore::message;

use crate::support::{Server, quick};

/// A blob store whose reads fail on demand: 0 not, 1 as unavailable, 2 as broken.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn BlobStore>,
    fault: AtomicU8,
}

#[async_trait]
impl BlobStore for Faulty {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), Error> {
        self.inner.put(key, bytes).await
    }
    async fn get(&self, key: &BlobKey) -> Result<Bytes, Error> {
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, Error> {
        match self.fault.load(Ordering::SeqCst) {
            0 => self.inner.get_range(key, range).await,
            1 => Err(Error::Unavailable(Cause::new("reading", "a secret of the innards"))),
            _ => Err(Error::Internal(Cause::new("reading", "a secret of the innards"))),
        }
    }
    async fn delete(&self, key: &BlobKey) -> Result<(), Error> {
        self.inner.delete(key).await
    }
    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, Error> {
        self.inner.list(prefix, after).await
    }
    async fn erase(&self, key: &BlobKey) -> Result<(), Error> {
        self.inner.erase(key).await
    }
    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), Error> {
        self.inner.erase_all(prefix).await
    }
}

#[tokio::test]
async fn a_failing_blob_store_fails_the_command_and_not_the_session() {
    let inner = blob::open(&"memory:".parse().unwrap()).await.unwrap();
    let faulty = Arc::new(Faulty { inner, fault: AtomicU8::new(0) });
    let server = Server::with(quick(), faulty.clone()).await;
    let user = server.user_with("ada", &[b"a\r\n"]).await;
    let mut client = server.login(&user).await;
    for (fault, code) in [(1, "SYS/TEMP"), (2, "SYS/PERM")] {
        faulty.fault.store(fault, Ordering::SeqCst);
        for command in ["RETR 1", "TOP 1 0"] {
            let reply = client.command(command).await.unwrap();
            assert_eq!((reply.ok, reply.code()), (false, code), "{command}");
            assert!(!reply.text.contains("secret"), "{}", reply.text);
            assert_eq!(reply.text.contains("req_"), fault == 2, "{}", reply.text);
        }
    }
    faulty.fault.store(0, Ordering::SeqCst);
    assert_eq!(client.retr(1).await.unwrap(), b"a\r\n");
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_message_deleted_by_other_means_is_no_longer_there() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[b"a\r\n", b"b\r\n"]).await;
    let opened = maildrop::open(&server.store, &server.world.login(&user).await).await.unwrap();
    let message_id = opened.entries()[0].message_id;
    opened.close(&[]).await.unwrap();

    let mut client = server.login(&user).await;
    message::discard(&server.store, &server.world.ctx, user.mailbox_id, message_id).await.unwrap();
    assert!(!client.command("RETR 1").await.unwrap().ok);
    assert_eq!(client.retr(2).await.unwrap(), b"b\r\n");
    client.dele(1).await.unwrap();
    client.dele(2).await.unwrap();
    client.quit().await.unwrap();
    assert_eq!(server.login(&user).await.stat().await.unwrap(), (0, 0));
}

#[tokio::test]
async fn what_pop3_deletes_can_be_recovered() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[b"a\r\n"]).await;
    let mut client = server.login(&user).await;
    let before = client.uidl().await.unwrap();
    client.dele(1).await.unwrap();
    client.quit().await.unwrap();
    let deleted = only_deleted(&server, &user).await;
    message::recover(&server.store, &server.world.ctx, user.mailbox_id, deleted).await.unwrap();
    let mut client = server.login(&user).await;
    assert_eq!(client.uidl().await.unwrap(), before, "it comes back as it was");
    assert_eq!(client.retr(1).await.unwrap(), b"a\r\n");
}

async fn only_deleted(server: &Server, user: &tenancy::user::User) -> kernel::MessageId {
    let mut tx = server.world.ctx.begin().await.unwrap();
    let id = sqlx::query_scalar(
        "select id from messages where tenant_id = $1 and mailbox_id = $2 and state = 'recoverable'",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.mailbox_id.uuid())
    .fetch_one(tx.conn())
    .await
    .unwrap();
    kernel::MessageId::from_uuid(id)
}
