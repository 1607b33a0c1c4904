//! What the server sends to Postgres for a request, as scripts of pgbench: the same statements in the same
//! transactions as the same roles. They are copies; the functions they are copied from are named.
//!
//! Reads are there twice: bare, as the server sends them by a session that was bound to their tenant before (`db::Db::read_tenant`), and in a
//! transaction that takes role and tenant, as everybody does who has no such sessions.
//!
//! Where the server binds a parameter, a script names a variable, or makes the value in the statement: pgbench has
//! neither uuids nor times nor nulls to bind. Ids are in the order of time, as the server's are.

/// `auth::bearer_towards` for an API key, then `Caller::enter`, before the own transaction of an operation that changes something.
pub(super) fn writing(own: &str) -> String {
    format!("{}{ENTER}{own}", look_up("null"))
}

/// The same for one that only reads: where the tenant is comes along with the key.
pub(super) fn reading(query: &str) -> String {
    format!("{}{}", look_up(":tenant_id"), in_transaction(query))
}

/// One that only reads, in a transaction of its own.
pub(super) fn in_transaction(query: &str) -> String {
    format!("{BEGIN}{USERS}{query}rollback;\n")
}

/// The same alone, on a connection that takes role and tenant once.
pub(super) fn bare(query: &str) -> String {
    format!(
        "\\if :is_ready = 0
select set_config('role', 'pillarbox_tenant', false), set_config('app.tenant_id', :tenant_id::text, false);
\\set is_ready 1
\\endif
{USERS}{query}"
    )
}

/// `auth::store::keys_with_places` by a `db::SystemRead`, whose role the session has, for one request.
fn look_up(tenant_id: &str) -> String {
    format!(
        "select q.place, k.id, k.role, k.reseller_id, k.tenant_id, k.actions, k.expires_at, k.networks, k.description,
  k.last_used_at, k.last_used_from, k.revoked_at, k.created_at, k.secret_hash,
  t.reseller_id, t.reseller_path, t.time_zone, t.test_clock, t.suspended_capabilities, t.status = 'deleted'
from unnest(array[:key_id::uuid], array[{tenant_id}::uuid]) with ordinality q (key_id, tenant_id, place)
join api_keys k on k.id = q.key_id
left join tenants t on t.id = q.tenant_id;\n"
    )
}

/// `user::create` of one, `user::create_batch` of more.
pub(super) fn create_users(count: u32) -> String {
    let mut script = format!("\\set first :n + 1\n{BEGIN}");
    for _ in 0..count {
        script.push_str(INSERT_USER);
    }
    script.push_str(TAKE_SEATS);
    script.push_str("commit;\n");
    script
}

/// One user, after [`USERS`]; `user::get` asks for all whom requests want at that moment.
pub(super) const GET_USER: &str =
    "where u.tenant_id = :tenant_id and u.id = :user_id group by u.tenant_id, u.id, m.id;\n";

/// `user::list`, after [`USERS`].
pub(super) const LIST_USERS: &str =
    "where u.tenant_id = :tenant_id and u.id > :after and (u.status = 'deleted') = :deleted
          and (nullif(:none::text, 'none') is null or u.external_id = nullif(:none::text, 'none'))
          and (nullif(:none::text, 'none') is null or exists (
            select from addresses o join domains n on n.tenant_id = o.tenant_id and n.id = o.domain_id
            where o.tenant_id = m.tenant_id and o.mailbox_id = m.id
              and o.local_part = nullif(:none::text, 'none') and n.name = nullif(:none::text, 'none')))
        group by u.tenant_id, u.id, m.id order by u.id limit :fetch;\n";

/// `db::Db::begin_tenant`.
const BEGIN: &str = "begin;
select set_config('role', 'pillarbox_tenant', true), set_config('app.tenant_id', :tenant_id::text, true);
";

/// `tenant::store::places` by the same.
const ENTER: &str = "select reseller_id, reseller_path, time_zone, test_clock, suspended_capabilities, status = 'deleted',
  d.readable, d.writable
  from tenants t
  cross join lateral (
    select coalesce(array_agg(md.mailbox_id) filter (where not 'full_access' = any (md.rights)), '{}') as readable,
      coalesce(array_agg(md.mailbox_id) filter (where 'full_access' = any (md.rights)), '{}') as writable
    from mailbox_delegates md where md.tenant_id = t.id and md.user_id = null and md.rights && '{read,full_access}') d
  where id = :tenant_id;
";

/// `user::store::insert` and `add_address`, `event::store::insert`. The digit after the prefix keeps the ids of the
/// tables apart.
const INSERT_USER: &str = r#"\set n :n + 1
\set serial :n * 64 + :client_id
insert into users (tenant_id, id, display_name, role, status, external_id, password_hash, created_at, given_name, family_name)
  values (:tenant_id, (:prefix::text || '1' || lpad(to_hex(:serial::bigint), 15, '0'))::uuid,
    'u' || :prefix::text || lpad(to_hex(:serial::bigint), 16, '0') || '@bench.example', 'user', 'active', null, null, now(), null, null);
insert into mailboxes (tenant_id, id, user_id, kind, quota_bytes, created_at)
  values (:tenant_id, (:prefix::text || '2' || lpad(to_hex(:serial::bigint), 15, '0'))::uuid,
    (:prefix::text || '1' || lpad(to_hex(:serial::bigint), 15, '0'))::uuid, 'personal', null, now());
insert into addresses (tenant_id, domain_id, local_part, mailbox_id, is_primary)
  select tenant_id, id, 'u' || :prefix::text || lpad(to_hex(:serial::bigint), 16, '0'),
    (:prefix::text || '2' || lpad(to_hex(:serial::bigint), 15, '0'))::uuid, true
  from domains where tenant_id = :tenant_id and name = 'bench.example' and status = 'active';
insert into events (id, reseller_id, tenant_id, kind, subject, data, principal, role, network, request_id, at)
  values ((:prefix::text || '3' || lpad(to_hex(:serial::bigint), 15, '0'))::uuid, null, :tenant_id, 'user.created',
    'usr_' || :prefix::text || '1' || lpad(to_hex(:serial::bigint), 15, '0'),
    ('{"address": "u' || :prefix::text || lpad(to_hex(:serial::bigint), 16, '0') || '@bench.example", "aliases": [], "display_name": "u'
      || :prefix::text || lpad(to_hex(:serial::bigint), 16, '0') || '@bench.example", "role": "user", "mailbox_id": "mbx_'
      || :prefix::text || '2' || lpad(to_hex(:serial::bigint), 15, '0') || '", "external_id": null}')::jsonb,
    'key_' || :prefix::text || '0000000000000000', 'reseller_admin', '127.0.0.1',
    (:prefix::text || '4' || lpad(to_hex(:serial::bigint), 15, '0'))::uuid, now());
"#;

/// `caps::count`, `seats::store::append` and `mailbox::store::is_overallocated`.
const TAKE_SEATS: &str = "update tenants set seats_used = seats_used + :seats, domains_used = domains_used + 0, shared_mailboxes_used = shared_mailboxes_used + 0
  where id = :tenant_id and (:seats <= 0 or seats_limit is null or seats_used + :seats <= seats_limit)
    and (0 <= 0 or domains_limit is null or domains_used + 0 <= domains_limit)
    and (0 <= 0 or shared_mailboxes_limit is null or shared_mailboxes_used + 0 <= shared_mailboxes_limit)
  returning reseller_path;
select id, tenants_limit, tenants_used, domains_limit, domains_used, seats_limit, seats_used, shared_mailboxes_limit, shared_mailboxes_used
  from resellers where id = any (:reseller_path) order by id for no key update;
update resellers set seats_used = seats_used + :seats, domains_used = domains_used + 0, shared_mailboxes_used = shared_mailboxes_used + 0,
    tenants_used = tenants_used + 0
  where id = any (:reseller_path);
insert into seat_changes (tenant_id, at, delta, user_id)
  select :tenant_id::uuid,
    greatest(now(), (select at from seat_changes where tenant_id = :tenant_id order by position desc limit 1)), 1, u.id
  from unnest(array(
    select (:prefix::text || '1' || lpad(to_hex(n * 64 + :client_id), 15, '0'))::uuid from generate_series(:first::bigint, :n::bigint) n
  )) with ordinality u (id, place) order by u.place;
select storage_limit_bytes from tenants
  where id = :tenant_id and storage_limit_bytes is not null and not allow_overallocation for no key update;
";

/// The columns and joins that `user::store::find` and `list` share.
const USERS: &str = "select u.id, u.display_name, u.role, u.status, u.suspended_capabilities, u.external_id, u.created_at,
  u.given_name, u.family_name, u.deleted_at, u.version, m.id as mailbox_id,
  coalesce(max(a.local_part || '@' || d.name) filter (where a.is_primary), '') as address,
  coalesce(array_agg(a.local_part || '@' || d.name order by d.name, a.local_part) filter (where not a.is_primary), '{}') as aliases
from users u
join mailboxes m on m.tenant_id = u.tenant_id and m.user_id = u.id
join addresses a on a.tenant_id = m.tenant_id and a.mailbox_id = m.id
join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
";
