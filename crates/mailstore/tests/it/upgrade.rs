//! A database of an earlier version, with mail in it, becomes one of this version.

use std::collections::BTreeSet;
use std::path::Path;

use mailstore::change;
use mailstore::check::{Drift, drift};
use mailstore::folder;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use testkit::{TestDb, world};

/// The last step before folders were a tree.
const BEFORE_FOLDERS: i64 = 41;
/// The last step before what a message says left its row.
const BEFORE_OUTLINES: i64 = 53;

/// As the version of then left them, in the role that its statements ran as.
const ROWS: &str = "
    begin;
    set local role pillarbox_system;
    insert into resellers (id, path, name, tenants_used, created_at) values
      ('01900000-0000-7000-8000-000000000001', '{01900000-0000-7000-8000-000000000001}', 'Hosting', 1, now());
    insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000001',
       '{01900000-0000-7000-8000-000000000001}', 'Acme', 'DE', 'EUR', 'UTC', now());
    insert into mailboxes (tenant_id, id, created_at, kind, display_name, modseq, used_bytes) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003', now(), 'shared', 'Info', 2, 5);
    insert into folders (tenant_id, mailbox_id, id, name, role, uid_validity, uid_next, message_count, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003', '01900000-0000-7000-8000-000000000004',
       'Inbox', 'inbox', 7, 2, 1, now()),
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003', '01900000-0000-7000-8000-000000000005',
       'Trash', 'trash', 7, 1, 0, now());
    insert into packs (id, state, entry_bytes, created_at) values ('01900000-0000-7000-8000-000000000006', 'live', 9, now());
    insert into pack_shares (tenant_id, pack_id, live_bytes) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000006', 9);
    insert into blobs (tenant_id, id, size_bytes, sha256, message_count, created_at, pack_id, pack_is_own, pack_index, pack_offset, stored_bytes,
                       key_generation) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000007', 5, '', 1, now(), '01900000-0000-7000-8000-000000000006',
       false, 0, 0, 9, 1);
    insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes, wire_size_bytes, internal_date, parsed) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003', '01900000-0000-7000-8000-000000000008',
       '01900000-0000-7000-8000-000000000004', 1, 'u', 2, '01900000-0000-7000-8000-000000000007', 5, 5, now(), '{}');
    commit";

/// Whether row-level security binds the tables' owner too.
async fn force(conn: &mut PgConnection, forced: bool) {
    let tables: Vec<String> =
        sqlx::query_scalar("select oid::regclass::text from pg_class where relrowsecurity")
            .fetch_all(&mut *conn)
            .await
            .unwrap();
    let force = if forced { "force" } else { "no force" };
    for table in tables {
        let alter = format!("alter table {table} {force} row level security");
        sqlx::query(AssertSqlSafe(alter)).execute(&mut *conn).await.unwrap();
    }
}

/// Makes a database of earlier versions, with the rows that each left, one of this version.
async fn upgrade(test_db: &TestDb, left: &[(i64, &'static str)]) {
    let mut conn = PgConnection::connect(&test_db.url()).await.unwrap();
    let empty = "drop schema public cascade; create schema public; grant usage on schema public to public";
    sqlx::raw_sql(empty).execute(&mut conn).await.unwrap();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    for (version, rows) in left {
        let mut earlier = Migrator::new(Path::new(directory)).await.unwrap();
        earlier.migrations.to_mut().retain(|migration| migration.version <= *version);
        earlier.set_ignore_missing(true);
        // As `Db::migrate` does, which knows all steps.
        force(&mut conn, false).await;
        earlier.run(&mut conn).await.unwrap();
        force(&mut conn, true).await;
        sqlx::raw_sql(*rows).execute(&mut conn).await.unwrap();
    }
    test_db.db().migrate().await.unwrap();
}

#[tokio::test]
async fn folders_get_their_counters_and_validities_and_the_log_begins_with_what_is_there() {
    let test_db = TestDb::new().await;
    upgrade(&test_db, &[(BEFORE_FOLDERS, ROWS)]).await;
    let db = test_db.db();
    assert_eq!(drift(&db).await.unwrap(), Drift::default());
    let operator = world::operator(&test_db);
    let ctx = operator.enter("ten_01900000000070008000000000000002".parse().unwrap()).await.unwrap();
    let mailbox = "mbx_01900000000070008000000000000003".parse().unwrap();
    let folders = folder::list(&ctx, mailbox).await.unwrap();
    let inbox = &folders[0];
    assert_eq!(
        (inbox.uid_validity, inbox.unseen_count, inbox.size_bytes, inbox.highest_modseq),
        (7, 1, 5, 2)
    );
    let validities: BTreeSet<u32> = folders.iter().map(|folder| folder.uid_validity).collect();
    assert_eq!(validities.len(), folders.len());
    assert!(change::since(&ctx, mailbox, Some(1)).await.is_err(), "what was before is in no log");
    assert!(change::since(&ctx, mailbox, Some(2)).await.unwrap().changes.is_empty());
}

#[tokio::test]
async fn what_messages_say_lies_beside_their_structures() {
    let test_db = TestDb::new().await;
    // A structure of the message that is there, none of another, and one of a body that no message has any more.
    let rows = "
        begin;
        set local role pillarbox_system;
        insert into blobs (tenant_id, id, size_bytes, sha256, message_count, created_at, pack_id, pack_is_own, pack_index, pack_offset,
                           stored_bytes, key_generation)
          select tenant_id, new.id, size_bytes, sha256, new.count, created_at, pack_id, pack_is_own, new.place, 9 * new.place, 9, 1
          from blobs, (values ('01900000-0000-7000-8000-000000000009'::uuid, 0, 1), ('01900000-0000-7000-8000-00000000000a', 1, 2)) as new (id, count, place);
        insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes, wire_size_bytes, internal_date, parsed)
          select tenant_id, mailbox_id, '01900000-0000-7000-8000-00000000000b', folder_id, 2, 'v', 2, '01900000-0000-7000-8000-00000000000a',
                 size_bytes, wire_size_bytes, internal_date, '{}' from messages;
        update messages set parsed = jsonb_build_object('subject', 'as it was read of ' || uid);
        insert into message_structures (tenant_id, blob_id, version, structure)
          select tenant_id, id, 1, '{\"b\": {}}' from blobs where id <> '01900000-0000-7000-8000-00000000000a';
        commit";
    upgrade(&test_db, &[(BEFORE_FOLDERS, ROWS), (BEFORE_OUTLINES, rows)]).await;
    let mut conn = PgConnection::connect(&test_db.url()).await.unwrap();
    sqlx::raw_sql("begin; set local role pillarbox_system").execute(&mut conn).await.unwrap();
    let kept: Vec<(i16, Option<String>, String)> = sqlx::query_as(
        "select version, structure, parsed ->> 'subject' from message_outlines order by blob_id",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let said = |uid| format!("as it was read of {uid}");
    assert_eq!(kept, [(1, Some("{\"b\": {}}".to_owned()), said(1)), (1, None, said(2))]);
}
