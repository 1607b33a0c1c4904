//! The comparison of counters finds what is off.

use db::SystemTx;
use mailstore::check::{self, Drift};

use crate::support::{Bench, HELLO};

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test spoils counters that no lawful transaction would")]
async fn each_kind_of_counter_that_is_off_shows() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, HELLO).await;
    let db = bench.world.test_db.db();
    for (spoil, mend, expected) in [
        (
            "update mailboxes set used_bytes = used_bytes + 1",
            "update mailboxes set used_bytes = used_bytes - 1",
            Drift { mailboxes: 1, ..Drift::default() },
        ),
        (
            "update mailboxes set recoverable_bytes = recoverable_bytes + 1",
            "update mailboxes set recoverable_bytes = recoverable_bytes - 1",
            Drift { mailboxes: 1, ..Drift::default() },
        ),
        (
            "update folders set message_count = message_count + 1 where role = 'sent'",
            "update folders set message_count = message_count - 1 where role = 'sent'",
            Drift { folders: 1, ..Drift::default() },
        ),
        (
            "update folders set uid_next = uid_next - 1 where role = 'inbox'",
            "update folders set uid_next = uid_next + 1 where role = 'inbox'",
            Drift { folders: 1, ..Drift::default() },
        ),
        (
            "update resellers set tenants_used = tenants_used + 1",
            "update resellers set tenants_used = tenants_used - 1",
            Drift { levels: 1, ..Drift::default() },
        ),
        (
            "update tenants set storage_limit_bytes = 1000000",
            "update tenants set storage_limit_bytes = null",
            Drift { levels: 1, ..Drift::default() },
        ),
        (
            "update tenants set seats_used = seats_used + 1",
            "update tenants set seats_used = seats_used - 1",
            // The tenant's, and the reseller's that is the sum of them.
            Drift { levels: 2, ..Drift::default() },
        ),
        (
            "update blobs set message_count = message_count + 1",
            "update blobs set message_count = message_count - 1",
            Drift { bodies: 1, ..Drift::default() },
        ),
        (
            "update pack_shares set live_bytes = live_bytes + 1",
            "update pack_shares set live_bytes = live_bytes - 1",
            Drift { packs: 1, ..Drift::default() },
        ),
        (
            "update packs set state = 'gone' where state = 'live'",
            "update packs set state = 'live' where state = 'gone'",
            Drift { packs: 1, ..Drift::default() },
        ),
    ] {
        for (sql, expected) in [(spoil, expected), (mend, Drift::default())] {
            let mut tx = SystemTx::begin(&db).await.unwrap();
            sqlx::query(sql).execute(tx.conn()).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(check::drift(&db).await.unwrap(), expected, "{sql}");
        }
    }
}
