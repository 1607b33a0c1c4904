//! A database of an earlier version, with rows in it, becomes one of this version.

use std::path::Path;
use std::time::Duration;

use kernel::{TenantId, UserId};
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use tenancy::mailbox::{self, MailboxChange};
use tenancy::{domain, quota};
use testkit::{TestDb, world};

/// The last step before rows were filled in by a step.
const EARLIER: i64 = 6;

/// As the version of then left them, in the role that its statements ran as.
const ROWS: &str = "
    begin;
    set local role pillarbox_system;
    insert into resellers (id, path, name, created_at) values
      ('01900000-0000-7000-8000-000000000001', '{01900000-0000-7000-8000-000000000001}', 'Hosting', now());
    insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000001',
       '{01900000-0000-7000-8000-000000000001}', 'Acme', 'DE', 'EUR', 'UTC', now());
    insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, status, created_at) values
      ('01900000-0000-7000-8000-000000000007', '01900000-0000-7000-8000-000000000001',
       '{01900000-0000-7000-8000-000000000001}', 'Gone', 'DE', 'EUR', 'UTC', 'deleted', now());
    insert into resellers (id, path, name, created_at) values
      ('01900000-0000-7000-8000-000000000009', '{01900000-0000-7000-8000-000000000009}', 'Former', now());
    insert into events (id, tenant_id, kind, subject, data, principal, role, request_id, at) values
      ('01900000-0000-7000-8000-000000000005', '01900000-0000-7000-8000-000000000002', 'tenant.transferred', 'ten_01900000000070008000000000000002',
       '{\"from\": \"rsl_01900000000070008000000000000009\", \"to\": \"rsl_01900000000070008000000000000001\"}', 'server', 'operator',
       '01900000-0000-7000-8000-000000000006', now() + interval '1 hour');
    insert into domains (tenant_id, id, name, status, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003', 'acme.example', 'active', now());
    insert into domain_names (name, tenant_id, domain_id) values
      ('acme.example', '01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003');
    insert into signing_keys (id, private_pkcs8, public_key, created_at) values
      ('01900000-0000-7000-8000-000000000004', 'private', 'public', now());
    commit";

#[tokio::test]
async fn what_was_there_is_filled_in_and_row_level_security_is_forced_again() {
    let test_db = TestDb::new().await;
    let mut conn = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    let empty = "drop schema public cascade; create schema public; grant usage on schema public to public";
    sqlx::raw_sql(empty).execute(&mut conn).await.unwrap();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let mut earlier = Migrator::new(Path::new(directory)).await.unwrap();
    earlier.migrations.to_mut().retain(|migration| migration.version <= EARLIER);
    earlier.run(&mut conn).await.unwrap();
    sqlx::raw_sql(ROWS).execute(&mut conn).await.unwrap();

    let db = test_db.db();
    db.migrate().await.unwrap();
    assert_eq!(quota::drift(&db).await.unwrap(), 0);
    let operator = world::operator(&test_db);
    let ctx = operator.enter("ten_01900000000070008000000000000002".parse().unwrap()).await.unwrap();
    let tenant = tenancy::tenant::get(&ctx).await.unwrap();
    assert_eq!(tenant.domains_used, 1);
    let id = "dom_01900000000070008000000000000003".parse().unwrap();
    assert!(domain::get(&ctx, id).await.unwrap().verified_at.is_some());
    domain::delete(&ctx, id, None).await.unwrap();
    // Where each was made and where it went, by its trail, and that the deleted one is nobody's.
    sqlx::raw_sql("set role pillarbox_system").execute(&mut conn).await.unwrap();
    let placed: Vec<String> = sqlx::query_scalar(
        "select coalesce(right(reseller_id::text, 1), 'nowhere') from tenant_placements order by tenant_id, ordinal",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(placed, ["9", "1", "1", "nowhere"]);
    let standings: Vec<String> = sqlx::query_scalar(
        "select right(tenant_id::text, 1) || ' ' || standing from tenant_standings order by 1",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(standings, ["7 deleted"]);
    sqlx::raw_sql("reset role").execute(&mut conn).await.unwrap();
    let unforced: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relrowsecurity and not relforcerowsecurity",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(unforced, Vec::<String>::new());
    let seen: i64 = sqlx::query_scalar("select count(*) from tenants").fetch_one(&mut conn).await.unwrap();
    assert_eq!(seen, 0, "the login role sees rows without having taken a role");
}

/// Two resellers, one below the other, each with a tenant, the upper one's deleted, and mailboxes of all kinds in them.
const SHARED: &str = "
    begin;
    set local role pillarbox_system;
    insert into resellers (id, parent_id, path, name, tenants_used, created_at) values
      ('01900000-0000-7000-8000-000000000001', null, '{01900000-0000-7000-8000-000000000001}', 'Hosting', 1, now()),
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000001',
       '{01900000-0000-7000-8000-000000000001,01900000-0000-7000-8000-000000000002}', 'Below', 1, now());
    insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, status, deleted_at, created_at) values
      ('01900000-0000-7000-8000-000000000003', '01900000-0000-7000-8000-000000000002',
       '{01900000-0000-7000-8000-000000000001,01900000-0000-7000-8000-000000000002}', 'Acme', 'DE', 'EUR', 'UTC', 'active', null, now()),
      ('01900000-0000-7000-8000-000000000004', '01900000-0000-7000-8000-000000000001',
       '{01900000-0000-7000-8000-000000000001}', 'Gone', 'DE', 'EUR', 'UTC', 'deleted', now(), now());
    insert into mailboxes (tenant_id, id, created_at, kind, status, display_name)
      select ('01900000-0000-7000-8000-00000000000' || tenant)::uuid, ('01900000-0000-7000-8000-00000000001' || number)::uuid, now(), kind,
        status, kind
      from (values (3, 1, 'shared', 'active'), (3, 2, 'room', 'active'), (3, 3, 'equipment', 'active'), (3, 4, 'archive', 'active'),
        (3, 5, 'shared', 'deleted'), (4, 6, 'shared', 'active'), (4, 7, 'room', 'active')) as made (tenant, number, kind, status);
    commit";

const COUNTED: &str = "select right(id::text, 1) || ' ' || shared_mailboxes_used from resellers
     union select right(id::text, 1) || ' ' || shared_mailboxes_used from tenants order by 1";

#[tokio::test]
async fn shared_mailboxes_that_were_there_are_counted_at_every_level() {
    // Which has the roles made.
    drop(TestDb::new().await);
    let test_db = TestDb::blank().await;
    let mut conn = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let mut earlier = Migrator::new(Path::new(directory)).await.unwrap();
    earlier.migrations.to_mut().retain(|migration| migration.version < 82);
    earlier.run(&mut conn).await.unwrap();
    sqlx::raw_sql(SHARED).execute(&mut conn).await.unwrap();
    let db = test_db.db();
    db.migrate().await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut conn).await.unwrap();
    let counted: Vec<String> = sqlx::query_scalar(COUNTED).fetch_all(&mut conn).await.unwrap();
    // What the deleted tenant has counts above it once it is restored.
    assert_eq!(counted, ["1 3", "2 3", "3 3", "4 2"]);
    assert_eq!(quota::drift(&db).await.unwrap(), 0);
    // What a server that counts none leaves is put right by what the operator's manual says.
    let off = "update tenants set shared_mailboxes_used = 9; update resellers set shared_mailboxes_used = 0; reset role";
    sqlx::raw_sql(off).execute(&mut conn).await.unwrap();
    let manual = include_str!("../../../../docs/operating.md");
    let statements = manual.split("```sql\n").filter_map(|rest| rest.split("```").next());
    let mut recounts = statements.filter(|sql| sql.contains("update tenants set shared_mailboxes_used"));
    let recount = sqlx::AssertSqlSafe(recounts.next().unwrap().to_owned());
    sqlx::raw_sql(recount).execute(&mut conn).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut conn).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, String>(COUNTED).fetch_all(&mut conn).await.unwrap(), counted);
}

/// Of those who use both tables, some do in the one order and some in the other.
#[tokio::test]
async fn a_step_that_takes_two_tables_makes_nobody_give_up_who_has_one_and_wants_the_other() {
    // Which has the roles made.
    drop(TestDb::new().await);
    for (has, wants) in
        [("webhook_deliveries", "webhook_endpoints"), ("webhook_endpoints", "webhook_deliveries")]
    {
        let test_db = TestDb::blank().await;
        let mut at_work = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let mut earlier = Migrator::new(Path::new(directory)).await.unwrap();
        earlier.migrations.to_mut().retain(|migration| migration.version < 72);
        earlier.run(&mut at_work).await.unwrap();
        // So that what is waited for below is the step, and not one table to be bound before it.
        let unbind = "do $$ declare bound regclass; begin
               for bound in select oid from pg_class where relforcerowsecurity loop
                 execute format('alter table %s no force row level security', bound);
               end loop;
             end $$";
        sqlx::raw_sql(unbind).execute(&mut at_work).await.unwrap();
        let lock = |table: &str| format!("lock table {table} in row exclusive mode");
        sqlx::raw_sql("begin").execute(&mut at_work).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(lock(has))).execute(&mut at_work).await.unwrap();
        let db = test_db.db();
        let migrating = tokio::spawn(async move { db.migrate().await });
        let waits = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
        // By a connection of its own: a transaction goes on to see who waits as it was at its first look.
        let mut onlooker = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
        let waiting = async {
            while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut onlooker).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(lock(wants))).execute(&mut at_work).await.unwrap();
        sqlx::raw_sql("commit").execute(&mut at_work).await.unwrap();
        migrating.await.unwrap().unwrap();
    }
}

/// Addresses of the version before, whose local parts were kept as they were written.
const SPELLINGS: &str = r"
    begin;
    set local role pillarbox_system;
    insert into resellers (id, path, name, created_at) values
      ('01900000-0000-7000-8000-000000000001', '{01900000-0000-7000-8000-000000000001}', 'Hosting', now());
    insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000001',
       '{01900000-0000-7000-8000-000000000001}', 'Acme', 'DE', 'EUR', 'UTC', now());
    insert into domains (tenant_id, id, name, status, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003', 'acme.example', 'active', now());
    insert into mailboxes (tenant_id, id, kind, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000011', 'shared', now()),
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000012', 'shared', now());
    insert into addresses (tenant_id, domain_id, id, local_part, mailbox_id, is_primary, released_at)
      select '01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003',
        ('01900000-0000-7000-8000-00000000002' || id)::uuid, local_part,
        ('01900000-0000-7000-8000-0000000000' || mailbox)::uuid, false, case when is_released then now() end
      from (values
        (1, 11, U&'ju\0308rgen', false),
        (2, 11, U&'caf\00e9', false), (3, 12, U&'cafe\0301', false),
        (4, 11, U&'nin\0303o', true), (5, 12, U&'ni\00f1o', false),
        (6, 11, U&'a\030a\0323', false), (7, 11, U&'a\0323\030a', true),
        (8, 11, 'ada', false)) as one (id, mailbox, local_part, is_released);
    insert into mailboxes (tenant_id, id, kind, display_name, created_at)
      select '01900000-0000-7000-8000-000000000002', ('01900000-0000-7000-8000-0000000000' || mailbox)::uuid, 'shared', 'Shared', now()
      from (values (13), (14), (15)) as one (mailbox);
    insert into groups (tenant_id, id, display_name, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000041', 'Group', now());
    insert into addresses (tenant_id, domain_id, id, local_part, mailbox_id, group_id, is_primary)
      select '01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003',
        ('01900000-0000-7000-8000-0000000000' || id)::uuid, local_part,
        ('01900000-0000-7000-8000-0000000000' || mailbox)::uuid, ('01900000-0000-7000-8000-0000000000' || member_group)::uuid, is_primary
      from (values
        (31, 13, null, U&'zo\00eb', false), (32, 13, null, U&'zoe\0308', true),
        (33, null, 41, U&'e\0302\0323', false), (34, null, 41, U&'e\0323\0302', true),
        (35, 14, null, U&'b\037e', true), (36, 14, null, repeat(U&'\0958', 11), false),
        (37, 15, null, 'one', true), (38, 15, null, 'two', true)) as one (id, mailbox, member_group, local_part, is_primary);
    commit";

#[tokio::test]
async fn addresses_are_composed_and_no_two_become_one() {
    // Which has the roles made.
    drop(TestDb::new().await);
    let test_db = TestDb::blank().await;
    let mut conn = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let mut earlier = Migrator::new(Path::new(directory)).await.unwrap();
    earlier.migrations.to_mut().retain(|migration| migration.version < 76);
    earlier.run(&mut conn).await.unwrap();
    sqlx::raw_sql(SPELLINGS).execute(&mut conn).await.unwrap();
    test_db.db().migrate().await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut conn).await.unwrap();
    let kept: Vec<String> = sqlx::query_scalar(
        "select local_part || case when is_primary then ' primary' else '' end from addresses order by id",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let too_long = "\u{958}".repeat(11);
    let expected = [
        "j\u{fc}rgen",
        // Somebody has that one already.
        "caf\u{e9}",
        "cafe\u{301}",
        // What was let go of is in nobody's way.
        "ni\u{f1}o",
        "ni\u{f1}o",
        // What one mailbox has and had stays two.
        "\u{1ea1}\u{30a}",
        "a\u{323}\u{30a}",
        "ada",
        // What one mailbox or group has in two spellings becomes one.
        "zo\u{eb} primary",
        "\u{1ec7} primary",
        // Which would be none.
        "b\u{37e} primary",
        &too_long,
        "one primary",
        "two",
    ];
    assert_eq!(kept, expected);
    let second = "update addresses set is_primary = true where local_part = 'two'";
    let refused = sqlx::raw_sql(second).execute(&mut conn).await.unwrap_err();
    assert_eq!(
        refused.as_database_error().and_then(|error| error.constraint()),
        Some("addresses_one_primary")
    );
    // What could not be composed can be changed all the same.
    let operator = world::operator(&test_db);
    let ctx = operator.enter("ten_01900000000070008000000000000002".parse().unwrap()).await.unwrap();
    let change = MailboxChange { address: Some("bob@acme.example".to_owned()), ..MailboxChange::default() };
    let id = "mbx_01900000000070008000000000000014".parse().unwrap();
    let mailbox = mailbox::update(&ctx, id, None, change).await.unwrap();
    assert_eq!(mailbox.primary_address, "bob@acme.example");
    assert_eq!(mailbox.aliases, ["b\u{37e}@acme.example".to_owned(), format!("{too_long}@acme.example")]);
    let change = MailboxChange { aliases: Some(Vec::new()), ..MailboxChange::default() };
    assert_eq!(mailbox::update(&ctx, id, None, change).await.unwrap().aliases, Vec::<String>::new());
}

/// Of one whose sessions were ended before.
#[tokio::test]
async fn a_session_that_was_there_goes_on_and_an_ended_one_does_not() {
    // Which has the roles made.
    drop(TestDb::new().await);
    let test_db = TestDb::blank().await;
    let mut conn = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let mut earlier = Migrator::new(Path::new(directory)).await.unwrap();
    earlier.migrations.to_mut().retain(|migration| migration.version < 74);
    earlier.run(&mut conn).await.unwrap();
    let rows = "
        begin;
        set local role pillarbox_system;
        insert into resellers (id, path, name, created_at) values
          ('01900000-0000-7000-8000-000000000001', '{01900000-0000-7000-8000-000000000001}', 'Hosting', now());
        insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, created_at) values
          ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000001',
           '{01900000-0000-7000-8000-000000000001}', 'Acme', 'DE', 'EUR', 'UTC', now());
        insert into users (tenant_id, id, display_name, role, status, session_epoch, created_at) values
          ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003', 'Ada', 'user', 'active', 3, now());
        insert into refresh_tokens (tenant_id, id, family_id, user_id, secret_hash, created_at, expires_at, revoked_at)
          select '01900000-0000-7000-8000-000000000002', id, id, '01900000-0000-7000-8000-000000000003', 'hash', now(), now(), revoked_at
          from (values ('01900000-0000-7000-8000-000000000004'::uuid, null), ('01900000-0000-7000-8000-000000000005', now()))
            given (id, revoked_at);
        commit";
    sqlx::raw_sql(rows).execute(&mut conn).await.unwrap();
    test_db.db().migrate().await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut conn).await.unwrap();
    let epochs: Vec<i32> = sqlx::query_scalar("select session_epoch from refresh_tokens order by id")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(epochs, [3, 0]);
}

/// Of one who signed in by two addresses of theirs, and one whose address somebody else has now.
const NETWORKS: &str = "
    begin;
    set local role pillarbox_system;
    insert into resellers (id, path, name, created_at) values
      ('01900000-0000-7000-8000-000000000001', '{01900000-0000-7000-8000-000000000001}', 'Hosting', now());
    insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000001',
       '{01900000-0000-7000-8000-000000000001}', 'Acme', 'DE', 'EUR', 'UTC', now());
    insert into domains (tenant_id, id, name, status, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003', 'acme.example', 'active', now());
    insert into users (tenant_id, id, display_name, role, status, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-00000000000a', 'Ada', 'user', 'active', now()),
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-00000000000b', 'Bob', 'user', 'active', now());
    insert into mailboxes (tenant_id, id, user_id, kind, created_at) values
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000011', '01900000-0000-7000-8000-00000000000a', 'personal', now()),
      ('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000012', '01900000-0000-7000-8000-00000000000b', 'personal', now());
    insert into addresses (tenant_id, domain_id, id, local_part, mailbox_id, is_primary, released_at)
      select '01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-000000000003',
        ('01900000-0000-7000-8000-00000000002' || id)::uuid, local_part,
        ('01900000-0000-7000-8000-0000000000' || mailbox)::uuid, is_primary, case when is_released then now() end
      from (values (1, 11, 'ada', true, false), (2, 11, 'countess', false, false), (3, 12, 'bob', true, false), (4, 12, 'sales', false, true))
        as one (id, mailbox, local_part, is_primary, is_released);
    insert into sign_in_networks (account, network, last_success_at)
      select sha256(convert_to(address, 'UTF8')), network, '2026-01-30 12:00Z'::timestamptz - days * interval '1 day'
      from (values ('ada@acme.example', '192.0.2.0/24', 40), ('countess@acme.example', '192.0.2.0/24', 2),
        ('countess@acme.example', '198.51.100.0/24', 3), ('sales@acme.example', '203.0.113.0/24', 1), ('x@else.example', '203.0.113.0/24', 1))
        as one (address, network, days);
    commit";

#[tokio::test]
async fn networks_that_were_known_stay_so() {
    // Which has the roles made.
    drop(TestDb::new().await);
    let test_db = TestDb::blank().await;
    let mut conn = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let mut earlier = Migrator::new(Path::new(directory)).await.unwrap();
    earlier.migrations.to_mut().retain(|migration| migration.version < 74);
    earlier.run(&mut conn).await.unwrap();
    sqlx::raw_sql(NETWORKS).execute(&mut conn).await.unwrap();
    test_db.db().migrate().await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut conn).await.unwrap();
    let known = async |conn: &mut sqlx::PgConnection, user: &str| -> Vec<String> {
        let tenant: TenantId = "ten_01900000000070008000000000000002".parse().unwrap();
        let user: UserId = user.parse().unwrap();
        // As the throttle names an account.
        sqlx::query_scalar(
            "select network || ' ' || to_char(last_success_at at time zone 'UTC', 'DD') from sign_in_networks
             where account = sha256(convert_to($1, 'UTF8')) order by 1",
        )
        .bind(format!("{tenant}/{user}"))
        .fetch_all(conn)
        .await
        .unwrap()
    };
    let ada = known(&mut conn, "usr_0190000000007000800000000000000a").await;
    assert_eq!(ada, ["192.0.2.0/24 28", "198.51.100.0/24 27"]);
    assert_eq!(known(&mut conn, "usr_0190000000007000800000000000000b").await, Vec::<String>::new());
}

/// Before any step is made, which would fail at some line of its own.
#[tokio::test]
async fn a_role_that_lacks_what_the_schema_takes_is_told_what() {
    // Which has the roles made.
    drop(TestDb::new().await);
    let test_db = TestDb::blank().await;
    let mut conn = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    let url = test_db.url();
    let mark = if url.contains('?') { '&' } else { '?' };
    for (role, grant, lacks) in [
        ("pillarbox_t_bare", "", "may not make the roles pillarbox_tenant and pillarbox_system"),
        (
            "pillarbox_t_stranger",
            "grant pillarbox_tenant, pillarbox_system to pillarbox_t_stranger;",
            "does not own its database",
        ),
    ] {
        let roles = format!(
            "do $$ begin
               begin create role {role} nologin; exception when duplicate_object then null; end;
               {grant}
               execute format('grant {role} to %I', current_user);
             end $$"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(roles)).execute(&mut conn).await.unwrap();
        let as_role = format!("{url}{mark}options=-c%20role%3D{role}");
        let db = db::Db::connect(&as_role, kernel::Env::system()).await.unwrap();
        let refused = kernel::error::chain(&db.migrate().await.unwrap_err());
        assert!(refused.contains(lacks) && refused.contains("docs/operating.md"), "{refused}");
    }
    test_db.db().migrate().await.unwrap();
    let as_role = format!("{url}{mark}options=-c%20role%3Dpillarbox_t_stranger");
    let db = db::Db::connect(&as_role, kernel::Env::system()).await.unwrap();
    let refused = kernel::error::chain(&db.migrate().await.unwrap_err());
    assert!(refused.contains("does not own the tables"), "{refused}");
}

/// As `docs/operating.md` says that an installation may have it.
#[tokio::test]
async fn whoever_may_make_no_roles_and_has_been_granted_them_migrates() {
    // Which has the roles made.
    drop(TestDb::new().await);
    let test_db = TestDb::blank().await;
    let mut conn = sqlx::PgConnection::connect(&test_db.url()).await.unwrap();
    let roles = "do $$ begin
           begin create role pillarbox_t_granted nologin; exception when duplicate_object then null; end;
           grant pillarbox_tenant, pillarbox_system to pillarbox_t_granted;
           execute format('grant pillarbox_t_granted to %I', current_user);
           execute format('alter database %I owner to pillarbox_t_granted', current_database());
         end $$";
    sqlx::raw_sql(roles).execute(&mut conn).await.unwrap();
    let url = test_db.url();
    let mark = if url.contains('?') { '&' } else { '?' };
    let granted = format!("{url}{mark}options=-c%20role%3Dpillarbox_t_granted");
    let db = db::Db::connect(&granted, kernel::Env::system()).await.unwrap();
    db.migrate().await.unwrap();
    assert_eq!(quota::drift(&db).await.unwrap(), 0);
    // The first step as it was before counts as this one; any other does not.
    for (checksum, is_known) in [
        (
            "1f7450e63ebf3b5dd10cf66055ce3b52bb3d3917bc6353bd08bd74bf5089fa63e155f6a44538d707e24199c9d2023501",
            true,
        ),
        ("00", false),
    ] {
        let sql = "update _sqlx_migrations set checksum = decode($1, 'hex') where version = 1";
        let as_owner = "set role pillarbox_t_granted";
        sqlx::raw_sql(as_owner).execute(&mut conn).await.unwrap();
        sqlx::query(sql).bind(checksum).execute(&mut conn).await.unwrap();
        assert_eq!(db.migrate().await.is_ok(), is_known, "{checksum}");
    }
}
