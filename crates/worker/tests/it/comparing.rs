//! The comparison of counters with what they count, as a gauge shows it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use db::{Db, SystemTx};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use testkit::World;
use tokio::time::Instant;

use crate::{PATIENCE, Working};

/// What gauges without labels were set to on this test's thread, by their names.
#[derive(Debug, Default)]
struct Gauges(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Gauges {
    fn value(&self, name: &str) -> Option<f64> {
        self.0.lock().unwrap().get(name).map(|bits| f64::from_bits(bits.load(Ordering::Acquire)))
    }

    async fn are(&self, drift_bytes: f64, counters: f64) {
        let deadline = Instant::now() + PATIENCE;
        let expected = (Some(drift_bytes), Some(counters));
        loop {
            let shown = (self.value("pillarbox_quota_drift_bytes"), self.value("pillarbox_counters_off"));
            if shown == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{shown:?} and not {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.0.lock().unwrap();
        Gauge::from_arc(Arc::clone(gauges.entry(key.name().to_owned()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[expect(clippy::disallowed_methods, reason = "the test spoils counters that no lawful transaction would")]
async fn change(db: &Db, sql: &'static str) {
    let mut tx = SystemTx::begin(db).await.unwrap();
    sqlx::query(sql).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn counters_that_are_off_show_in_a_gauge_until_they_are_mended_which_nobody_does_by_himself() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let db = world.test_db.db();
    change(&db, "update mailboxes set used_bytes = used_bytes + 5").await;
    let gauges = Gauges::default();
    let _recording = metrics::set_default_local_recorder(&gauges);
    let working = Working::new(world).await;
    gauges.are(5.0, 1.0).await;
    let quota = tenancy::mailbox::get(&working.world.ctx, ada.mailbox_id).await.unwrap().quota;
    assert_eq!(quota.used_bytes, 5);
    change(&db, "update mailboxes set used_bytes = used_bytes - 5").await;
    working.world.test_db.clock().advance(mailstore::check::EVERY);
    gauges.are(0.0, 0.0).await;
    working.stop().await;
}
