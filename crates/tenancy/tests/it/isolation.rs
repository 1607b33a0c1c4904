//! No tenant sees another: in the types, and in the database beneath them.

use db::SystemTx;
use kernel::{MailboxId, TenantId, UserId};
use sqlx::Row as _;
use tenancy::{Action, Error, Role};
use testkit::{TestDb, World, world};

use crate::neighbour;

/// Tables with a `tenant_id` whose primary key cannot lead with it, each with its reason.
const KEYS_NOT_LED_BY_TENANT: &[&str] = &[
    // Finds the tenant of a domain's name.
    "domain_names",
    // Finds the scope of a credential.
    "api_keys",
    // Of one tenant or of many.
    "billing_runs",
    // A reseller's documents and what they were made from, over all its tenants.
    "wholesale_boundary_tenants",
    "wholesale_invoice_lines",
    // Of one tenant or of nobody in particular.
    "packs",
    // Of all tables, in the order of their changes.
    "journal",
    // On the trail of a tenant, or of somebody above.
    "events",
    // Of a tenant, of a reseller or of the operator.
    "webhook_endpoints",
    // On its way to an endpoint, of whomever that is: some of it says a tenant's message.
    "webhook_deliveries",
];

#[tokio::test]
async fn another_tenant_s_ids_do_not_exist() {
    let world = World::new().await;
    let user = world.user("ada", None).await;
    let ctx = neighbour(&world).await;
    assert!(matches!(tenancy::user::get(&ctx, user.id).await, Err(Error::NotFound)));
    assert!(matches!(tenancy::user::delete(&ctx, user.id, None).await, Err(Error::NotFound)));
    assert!(matches!(tenancy::mailbox::get(&ctx, user.mailbox_id).await, Err(Error::NotFound)));
    assert!(matches!(
        tenancy::mailbox::set_quota(&ctx, user.mailbox_id, None, Default::default()).await,
        Err(Error::NotFound)
    ));
    assert_eq!(
        tenancy::mailbox::get(&world.ctx, user.mailbox_id).await.unwrap().quota.bounds.quota_bytes,
        None
    );
}

#[tokio::test]
async fn a_credential_enters_its_own_part_of_the_tree_only() {
    let world = World::new().await;
    let auth = tenancy::auth::Auth::new(world.test_db.db()).await.unwrap();
    let foreign = world::reseller(&world.operator, "Foreign").await;
    let key = |reseller_id| {
        let world = &world;
        let auth = &auth;
        async move {
            let ctx = world.operator.enter_reseller(reseller_id).await.unwrap();
            let new = tenancy::api_key::NewApiKey::full(Role::ResellerAdmin);
            let (_, secret) = tenancy::api_key::create_for_reseller(&ctx, new).await.unwrap();
            auth.bearer(secrecy::ExposeSecret::expose_secret(&secret), world.origin()).await.unwrap()
        }
    };
    let (own, foreign) = (key(world.reseller.id).await, key(foreign.id).await);
    assert_eq!(own.enter(world.tenant.id).await.unwrap().tenant_id(), world.tenant.id);
    assert!(matches!(foreign.enter(world.tenant.id).await, Err(Error::NotFound)));
    assert!(matches!(foreign.enter_reseller(world.reseller.id).await, Err(Error::NotFound)));
    let unknown = TenantId::from_uuid(uuid::Uuid::from_u128(1));
    assert!(matches!(own.enter(unknown).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn a_person_sees_their_own_mailbox_alone() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let login = world.login(&ada).await;
    let page = kernel::PageRequest::new(None, None);
    let seen = tenancy::mailbox::list(&login.ctx, Default::default(), page).await.unwrap().items;
    assert_eq!(seen.iter().map(|mailbox| mailbox.id).collect::<Vec<MailboxId>>(), [ada.mailbox_id]);
    assert!(matches!(tenancy::mailbox::get(&login.ctx, bob.mailbox_id).await, Err(Error::NotFound)));
    assert!(matches!(tenancy::user::get(&login.ctx, bob.id).await, Err(Error::Forbidden(_))));
}

#[tokio::test]
async fn a_person_has_their_own_mailbox_whatever_their_role() {
    let world = World::new().await;
    let bob = world.user("bob", None).await;
    for role in [Role::User, Role::Helpdesk, Role::TenantBilling, Role::TenantAdmin] {
        let mut new = world::new_user(&format!("{role}@acme.example"), None);
        new.role = role;
        let person = tenancy::user::create(&world.ctx, new).await.unwrap();
        let ctx = world.login(&person).await.ctx;
        for action in [Action::MessageRead, Action::MessageWrite, Action::MessageDelete, Action::MailboxRead]
        {
            assert!(ctx.require_mailbox(action, person.mailbox_id).is_ok(), "{role} {action}");
        }
        assert!(ctx.require_mailbox(Action::MessageDeliver, person.mailbox_id).is_err());
        let reads_others = ctx.require_mailbox(Action::MessageRead, bob.mailbox_id).is_ok();
        assert_eq!(reads_others, role == Role::TenantAdmin, "{role}");
    }
}

/// The second belt as reviewers read it: which rows each role sees of every table, and what it may do to them.
#[tokio::test]
async fn the_policies_and_grants_are_the_golden_ones() {
    let world = World::new().await;
    let pool = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    let policies: Vec<String> = sqlx::query_scalar(
        "select format('%s to %s%s: %s%s', tablename, array_to_string(roles, ','), case cmd when 'ALL' then '' else ' for ' || lower(cmd) end, qual,
           case when with_check is distinct from qual then ' but writes ' || coalesce(with_check, 'as it reads') else '' end)
         from pg_policies where schemaname = 'public' order by tablename, roles, policyname",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    insta::assert_snapshot!("policies", policies.join("\n"));
    let grants: Vec<String> = sqlx::query_scalar(
        "select format('%s %s: %s', table_name, grantee, string_agg(lower(privilege_type) || columns, ', ' order by privilege_type))
         from (select table_name, grantee, privilege_type, '' as columns from information_schema.role_table_grants
               union all
               select c.table_name, c.grantee, c.privilege_type, format(' (%s)', string_agg(c.column_name, ', ' order by c.column_name))
               from information_schema.role_column_grants c
               where not exists (select from information_schema.role_table_grants t
                 where (t.table_name, t.grantee, t.privilege_type) = (c.table_name, c.grantee, c.privilege_type))
               group by 1, 2, 3) as given
         where grantee like 'pillarbox\\_%' group by table_name, grantee order by table_name, grantee",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    insta::assert_snapshot!("grants", grants.join("\n"));
}

#[tokio::test]
async fn the_application_s_role_reads_nothing_without_a_tenant() {
    let world = World::new().await;
    let pool = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    let tables = tenant_tables(&pool).await;
    let somebody = TenantId::from_uuid(uuid::Uuid::from_u128(7));
    fill(&pool, &tables, somebody).await;
    for table in tables {
        let count = format!("select count(*) from {table} where tenant_id = '{}'", somebody.uuid());
        let as_login: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(count.clone())).fetch_one(&pool).await.unwrap();
        assert_eq!(as_login, 0, "{table} as the login role");
        for tenant in [String::new(), world.tenant.id.uuid().to_string()] {
            #[expect(clippy::disallowed_methods, reason = "the test looks from below")]
            let mut tx = pool.begin().await.unwrap();
            let take =
                "select set_config('role', 'pillarbox_tenant', true), set_config('app.tenant_id', $1, true)";
            sqlx::query(take).bind(&tenant).execute(&mut *tx).await.unwrap();
            let seen = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count.clone()));
            match seen.fetch_one(&mut *tx).await {
                Ok(seen) => assert_eq!(seen, 0, "{table} as the tenant role for {tenant:?}"),
                // One that the role may not read at all: insufficient_privilege.
                Err(error) => {
                    let code = error.as_database_error().and_then(|error| error.code());
                    assert_eq!(code.as_deref(), Some("42501"), "{table}: {error}");
                }
            }
        }
    }
}

/// Puts a row of a tenant's into each table, with as little in it as it takes. What rows have to do with each other is not what this is about, so the
/// rules for that are dropped.
async fn fill(pool: &sqlx::PgPool, tables: &[String], tenant_id: TenantId) {
    let run = async |sql: String| {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(pool).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    let rules: Vec<String> = sqlx::query_scalar(
        "select format('alter table %s drop constraint %I', conrelid::regclass, conname) from pg_constraint
         where contype in ('f', 'c') and conrelid::regclass::text = any ($1)",
    )
    .bind(tables)
    .fetch_all(pool)
    .await
    .unwrap();
    for rule in rules {
        run(rule).await;
    }
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select c.relname::text, format('insert into %I (%s) values (%s)', c.relname, string_agg(quote_ident(a.attname), ', '),
           string_agg(format('%L::%s', case
             when a.attname = 'tenant_id' then $2
             when t.typname = 'uuid' then gen_random_uuid()::text
             when t.typname in ('json', 'jsonb') then '{}'
             when t.typname = 'bytea' then ''
             else case t.typcategory when 'A' then '{}' when 'B' then 'false' when 'D' then '2026-01-01' when 'I' then '127.0.0.1'
               when 'N' then '1' when 'R' then 'empty' else 'x' end
           end, format_type(a.atttypid, a.atttypmod)), ', '))
         from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
         where c.relnamespace = 'public'::regnamespace and c.relname = any ($1) and a.attnum > 0 and not a.attisdropped
           and a.attgenerated = '' and a.attidentity = '' and (a.attname = 'tenant_id' or (a.attnotnull and not a.atthasdef))
         group by c.relname",
    )
    .bind(tables)
    .bind(tenant_id.uuid().to_string())
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(rows.len(), tables.len());
    for (table, insert) in rows {
        run(format!("alter table {table} disable trigger user, no force row level security")).await;
        run(insert).await;
        let kept = format!("select count(*) from {table} where tenant_id = '{}'", tenant_id.uuid());
        let kept: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(kept)).fetch_one(pool).await.unwrap();
        assert_eq!(kept, 1, "{table} is empty anyway");
        run(format!("alter table {table} force row level security")).await;
    }
}

#[tokio::test]
async fn a_connection_used_again_has_forgotten_its_tenant() {
    let world = World::new().await;
    let user = world.user("ada", None).await;
    // One connection, so that the second transaction is on the first's.
    let pool =
        sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&world.test_db.url()).await.unwrap();
    let users_seen = |tenant: Option<String>| {
        let pool = pool.clone();
        async move {
            #[expect(clippy::disallowed_methods, reason = "the test looks from below")]
            let mut tx = pool.begin().await.unwrap();
            sqlx::query("select set_config('role', 'pillarbox_tenant', true)")
                .execute(&mut *tx)
                .await
                .unwrap();
            if let Some(tenant) = tenant {
                let set = sqlx::query("select set_config('app.tenant_id', $1, true)").bind(tenant);
                set.execute(&mut *tx).await.unwrap();
            }
            let ids: Vec<uuid::Uuid> =
                sqlx::query_scalar("select id from users").fetch_all(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
            ids.into_iter().map(UserId::from_uuid).collect::<Vec<_>>()
        }
    };
    assert_eq!(users_seen(Some(world.tenant.id.uuid().to_string())).await, [user.id]);
    assert_eq!(users_seen(None).await, []);
}

#[tokio::test]
async fn a_tenant_s_transaction_cannot_write_for_another() {
    let world = World::new().await;
    let other = neighbour(&world).await;
    let mut tx = world.ctx.begin().await.unwrap();
    let written = sqlx::query("insert into domains (tenant_id, id, name, status, verification_token, created_at) values ($1, $2, 'x.example', 'active', 'x', now())")
        .bind(other.tenant_id().uuid())
        .bind(uuid::Uuid::from_u128(1))
        .execute(tx.conn())
        .await;
    let refusal = written.unwrap_err().to_string();
    assert!(refusal.contains("row-level security"), "{refusal}");
}

#[tokio::test]
async fn every_tenant_table_is_protected_and_keyed_by_tenant() {
    let world = World::new().await;
    let pool = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    let tables = tenant_tables(&pool).await;
    assert!(tables.len() > 10, "{tables:?}");
    let rows = sqlx::query(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity as forced,
           (select a.attname from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
            where i.indrelid = c.oid and i.indisprimary) as leads
         from pg_class c where c.relkind in ('r', 'p') and c.relname = any ($1)",
    )
    .bind(&tables)
    .fetch_all(&pool)
    .await
    .unwrap();
    for row in rows {
        let table: String = row.get("relname");
        assert!(row.get::<bool, _>("forced"), "{table} has no forced row-level security");
        let leads: Option<String> = row.get("leads");
        let excepted = KEYS_NOT_LED_BY_TENANT.contains(&table.as_str());
        assert_eq!(leads.as_deref() == Some("tenant_id"), !excepted, "{table} is keyed by {leads:?}");
    }
}

async fn tenant_tables(pool: &sqlx::PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select c.table_name::text from information_schema.columns c
         join information_schema.tables t using (table_schema, table_name)
         where c.table_schema = 'public' and c.column_name = 'tenant_id' and t.table_type = 'BASE TABLE' order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "transactions are what this is about")]
async fn a_transaction_that_was_given_up_leaves_nothing_to_the_next() {
    let test_db = TestDb::new().await;
    let db = test_db.db();
    let yields = async |times: u32| {
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    };
    let mut given_up = 0;
    for times in (0..8).cycle().take(400) {
        // As for a caller who does not wait any longer.
        tokio::select! {
            biased;
            begun = SystemTx::snapshot(&db) => drop(begun.unwrap()),
            () = yields(times) => given_up += 1,
        }
        let mut next = SystemTx::begin(&db).await.unwrap();
        let isolation = sqlx::query_scalar("select current_setting('transaction_isolation')");
        let isolation: String = isolation.fetch_one(next.conn()).await.unwrap();
        assert_eq!(isolation, "read committed", "after {times}");
    }
    assert!(given_up > 10, "{given_up}");
}
