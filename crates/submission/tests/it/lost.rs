//! What is queued is kept by all that looks after bodies, and goes when its mailbox does.

use chrono::TimeDelta;
use mailstore::check::{Drift, drift};
use mailstore::verify::{self, Options};
use mailstore::{compact, purge, sweep};
use submission::outgoing;
use tenancy::auth::Auth;
use tenancy::user;

use crate::support::Bench;

const REPAIRING: Options = Options { read_bytes_per_second: Some(u64::MAX), is_repairing: true };

#[tokio::test]
async fn nothing_that_looks_after_bodies_takes_it() {
    let bench = Bench::new().await;
    let db = bench.submission.db();
    let id = bench.accept(&["bob@b.example"]).await;
    let pace = compact::Pace { lag: TimeDelta::hours(1), ..compact::Pace::default() };
    for _ in 0..3 {
        sweep::run(&bench.store, db).await;
        assert_eq!(compact::run(&bench.store, db, pace).await.unwrap().failed, 0);
        let verified = verify::run(&bench.store, db, REPAIRING, |found| panic!("{found:?}")).await.unwrap();
        assert_eq!(verified.read, 1);
        assert_eq!(drift(db).await.unwrap(), Drift::default());
        bench.advance(TimeDelta::hours(20));
    }
    assert_eq!(bench.send_due().await.delivered, 1);
    assert!(bench.outgoing(id).await.closed_at.is_some());
    for _ in 0..3 {
        bench.advance(TimeDelta::hours(3));
        sweep::run(&bench.store, db).await;
    }
    let left = bench.store.blobs().list(&blob::KeyPrefix::Tenant(bench.world.tenant.id), None).await.unwrap();
    assert!(!left.keys.iter().any(|key| matches!(key, blob::BlobKey::Pack { .. })), "{:?}", left.keys);
    assert_eq!(drift(db).await.unwrap(), Drift::default());
}

#[tokio::test]
async fn goes_with_its_mailbox_and_its_tenant() {
    let bench = Bench::new().await;
    let (db, ctx) = (bench.submission.db(), &bench.world.ctx);
    bench.smarthost.answer("bob@b.example", "450 4.2.1 busy");
    bench.smarthost.answer("gone@b.example", "550 5.1.1 gone");
    let queued = bench.accept(&["bob@b.example"]).await;
    let failed = bench.accept(&["gone@b.example"]).await;
    bench.send_due().await;
    user::delete(ctx, bench.ada.id, None).await.unwrap();
    bench.advance(TimeDelta::days(32));
    let auth = Auth::new(db.clone()).await.unwrap();
    let purged =
        purge::run(&bench.store, db, &auth, purge::Terms::default(), &purge::due_tenants(db).await.unwrap())
            .await
            .unwrap();
    assert_eq!((purged.mailboxes, purged.failed), (1, 0));
    for id in [queued, failed] {
        assert!(outgoing::get(ctx, id).await.is_err());
    }
    assert_eq!(drift(db).await.unwrap(), Drift::default());

    let bench = Bench::new().await;
    let db = bench.submission.db();
    bench.accept(&["bob@b.example"]).await;
    tenancy::tenant::delete(&bench.world.ctx, None).await.unwrap();
    assert_eq!(bench.send_due().await, submission::post::Attempted::default());
    bench.advance(TimeDelta::days(32));
    let auth = Auth::new(db.clone()).await.unwrap();
    let purged =
        purge::run(&bench.store, db, &auth, purge::Terms::default(), &purge::due_tenants(db).await.unwrap())
            .await
            .unwrap();
    assert_eq!((purged.tenants, purged.failed), (1, 0));
    let rows = bench.world.test_db.rows().await;
    for table in ["outgoing_messages", "outgoing_recipients", "parcels", "blobs"] {
        assert!(rows.get(table).is_none_or(Vec::is_empty), "{table} has rows");
    }
}
