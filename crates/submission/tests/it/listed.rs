//! What is still to be sent is found at once, however much has left.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use db::Db;
use kernel::{Env, PageRequest};
use sqlx::{Connection as _, PgConnection};
use submission::outgoing::{self, Filter, State};
use tenancy::Caller;

use crate::support::Bench;

const LEFT: i64 = 5_000;

/// How many rows of the queue's messages were read since the beginning, as far as connections that are closed tell.
async fn rows_read(bench: &Bench) -> i64 {
    let mut connection = PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let read = "select (select seq_tup_read from pg_stat_user_tables where relname = 'outgoing_messages')
                  + (select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relname = 'outgoing_messages')";
    sqlx::query_scalar(read).fetch_one(&mut connection).await.unwrap()
}

/// Also by a plan that was made for any filter.
#[tokio::test]
async fn by_an_index_of_its_own_also_by_a_plan_for_all_filters() {
    let bench = Bench::new().await;
    bench.execute(
        "insert into outgoing_messages (tenant_id, id, mailbox_id, sender, message_id, size_bytes, is_8bit, is_utf8, request_id, created_at, give_up_at, closed_at)
         select tenant_id, gen_random_uuid(), id, 'a@b.example', '', 1, false, false, gen_random_uuid(), now(), now(), now()
         from mailboxes, generate_series(1, 5000);
         insert into outgoing_recipients (tenant_id, outgoing_id, ordinal, address, destination, state)
         select tenant_id, id, 0, 'c@d.example', 'd.example', 'delivered' from outgoing_messages",
    )
    .await;
    let id = bench.accept(&["bob@b.example"]).await;
    let mut connection = PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let generic = "analyze outgoing_messages; analyze outgoing_recipients;
                   do $$ begin execute format('alter database %I set plan_cache_mode = force_generic_plan', current_database()); end $$";
    sqlx::raw_sql(generic).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(bench.count("select count(*) from outgoing_messages").await, LEFT + 1);

    let queued = Filter { state: Some(State::Queued), ..Filter::default() };
    let delivered = Filter { state: Some(State::Delivered), ..Filter::default() };
    for (filter, is_of_all, found) in [(&queued, false, 1), (&queued, true, 1), (&delivered, false, 200)] {
        let db = Db::connect(&bench.world.test_db.url(), Env::system()).await.unwrap();
        let operator = Caller::local_operator(db.clone(), bench.world.request_id());
        let before = rows_read(&bench).await;
        let page = PageRequest::new(Some(200), None);
        let listed = if is_of_all {
            outgoing::list_all(&operator, filter.clone(), page).await
        } else {
            let ctx = operator.enter(bench.world.tenant.id).await.unwrap();
            outgoing::list(&ctx, filter.clone(), page).await
        };
        let listed = listed.unwrap().items;
        db.close().await;
        let read = rows_read(&bench).await - before;
        assert_eq!(listed.len(), found);
        assert!(found > 1 || listed[0].id == id);
        assert!(read > 0 && (read < 100) == (found == 1), "{read} rows are read to find {found} of {LEFT}");
    }
}
