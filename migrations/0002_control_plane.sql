-- Resellers, tenants, domains, users, mailboxes and who may call. Owned by crates/tenancy.

create table resellers (
  id uuid primary key,
  parent_id uuid references resellers (id),
  -- This reseller and those above it, the topmost first.
  path uuid[] not null,
  name text not null constraint resellers_name_length check (char_length(name) between 1 and 200),
  status text not null default 'active' constraint resellers_status check (status in ('active', 'suspended', 'deleted')),
  seats_limit integer constraint resellers_seats_limit_sign check (seats_limit >= 0),
  seats_used integer not null default 0 constraint resellers_seats_used_sign check (seats_used >= 0),
  version bigint not null default 1,
  created_at timestamptz not null
);
create index resellers_parent on resellers (parent_id);
grant select, insert, update, delete on resellers to pillarbox_system;

create table tenants (
  id uuid primary key,
  reseller_id uuid not null references resellers (id),
  reseller_path uuid[] not null,
  name text not null constraint tenants_name_length check (char_length(name) between 1 and 200),
  country text not null constraint tenants_country_form check (country ~ '^[A-Z]{2}$'),
  currency text not null constraint tenants_currency_form check (currency ~ '^[A-Z]{3}$'),
  time_zone text not null,
  status text not null default 'active' constraint tenants_status check (status in ('trial', 'active', 'suspended', 'deleted')),
  seats_limit integer constraint tenants_seats_limit_sign check (seats_limit >= 0),
  seats_used integer not null default 0 constraint tenants_seats_used_sign check (seats_used >= 0),
  -- A sandbox tenant's own time; null for those who live in real time.
  test_clock timestamptz,
  version bigint not null default 1,
  created_at timestamptz not null
);
create index tenants_reseller on tenants (reseller_id, id);
alter table tenants enable row level security;
alter table tenants force row level security;
create policy tenant on tenants to pillarbox_tenant using (id = (select current_tenant())) with check (id = (select current_tenant()));
create policy system on tenants to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
-- Not reseller_id and reseller_path: other policies trust them.
grant select, update (name, seats_limit, seats_used, test_clock, version) on tenants to pillarbox_tenant;
grant select, insert, update, delete on tenants to pillarbox_system;

-- A tenant's transaction counts its seats at every level above it and sees nothing else of a reseller.
alter table resellers enable row level security;
alter table resellers force row level security;
create policy tenant on resellers to pillarbox_tenant
  using (id = any (array(select unnest(reseller_path) from tenants where tenants.id = (select current_tenant()))));
create policy system on resellers to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select (id, seats_limit, seats_used), update (seats_used) on resellers to pillarbox_tenant;

-- Appended in the transaction that takes or frees a seat; billing rates it.
create table seat_changes (
  tenant_id uuid not null references tenants (id),
  -- The order of changes at one instant, which a test clock makes of a whole day.
  position bigint generated always as identity,
  at timestamptz not null,
  delta integer not null constraint seat_changes_delta check (delta in (-1, 1)),
  user_id uuid not null,
  primary key (tenant_id, position)
);
select protect_tenant_table('seat_changes');
revoke update, delete on seat_changes from pillarbox_tenant;

create table domains (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  name text not null,
  status text not null constraint domains_status check (status in ('pending', 'active')),
  created_at timestamptz not null,
  primary key (tenant_id, id),
  constraint domains_name_once unique (tenant_id, name)
);
select protect_tenant_table('domains');

-- The way from a domain's name to its tenant: one tenant a name. Its key cannot lead with the tenant it finds.
create table domain_names (
  name text not null constraint domain_names_once primary key,
  tenant_id uuid not null,
  domain_id uuid not null,
  foreign key (tenant_id, domain_id) references domains (tenant_id, id) on delete cascade
);
select protect_tenant_table('domain_names');

create table users (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  display_name text not null,
  role text not null constraint users_role check (role in ('tenant_admin', 'tenant_billing', 'helpdesk', 'user')),
  status text not null default 'active' constraint users_status check (status in ('active', 'suspended', 'deleted')),
  suspended_capabilities text[] not null default '{}',
  external_id text,
  password_hash text,
  version bigint not null default 1,
  created_at timestamptz not null,
  deleted_at timestamptz,
  primary key (tenant_id, id)
);
select protect_tenant_table('users');

create table mailboxes (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  user_id uuid,
  kind text not null constraint mailboxes_kind check (kind in ('personal', 'shared', 'room', 'equipment', 'archive')),
  status text not null default 'active' constraint mailboxes_status check (status in ('active', 'deleted')),
  quota_bytes bigint constraint mailboxes_quota_sign check (quota_bytes >= 0),
  used_bytes bigint not null default 0 constraint mailboxes_used_sign check (used_bytes >= 0),
  recoverable_bytes bigint not null default 0 constraint mailboxes_recoverable_sign check (recoverable_bytes >= 0),
  -- One counter a mailbox; every change of a message takes the next (RFC 7162).
  modseq bigint not null default 1,
  version bigint not null default 1,
  created_at timestamptz not null,
  primary key (tenant_id, id),
  constraint mailboxes_user_once unique (tenant_id, user_id),
  foreign key (tenant_id, user_id) references users (tenant_id, id)
);
select protect_tenant_table('mailboxes');

create table addresses (
  tenant_id uuid not null,
  domain_id uuid not null,
  local_part text not null,
  mailbox_id uuid not null,
  is_primary boolean not null,
  -- Set when the mailbox was deleted: it keeps the name it had, and another may take it.
  released_at timestamptz,
  constraint addresses_once_a_mailbox primary key (tenant_id, mailbox_id, domain_id, local_part),
  constraint addresses_domain foreign key (tenant_id, domain_id) references domains (tenant_id, id),
  foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id)
);
create unique index addresses_once on addresses (tenant_id, domain_id, local_part) where released_at is null;
select protect_tenant_table('addresses');

-- Who may call. Looked up before any tenant is known, so only the system role reads these.
create table api_keys (
  id uuid constraint api_keys_once primary key,
  role text not null,
  scope text not null constraint api_keys_scope check (
    (scope = 'operator' and reseller_id is null and tenant_id is null)
    or (scope = 'reseller' and reseller_id is not null and tenant_id is null)
    or (scope = 'tenant' and reseller_id is null and tenant_id is not null)),
  reseller_id uuid references resellers (id),
  tenant_id uuid references tenants (id),
  actions text[] not null,
  secret_hash bytea not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null
);
create index api_keys_reseller on api_keys (reseller_id, id);
create index api_keys_tenant on api_keys (tenant_id, id);
alter table api_keys enable row level security;
alter table api_keys force row level security;
create policy system on api_keys to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update, delete on api_keys to pillarbox_system;

create table signing_keys (
  id uuid primary key,
  private_pkcs8 bytea not null,
  public_key bytea not null,
  created_at timestamptz not null
);
alter table signing_keys enable row level security;
alter table signing_keys force row level security;
create policy system on signing_keys to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert on signing_keys to pillarbox_system;

-- What a POST with an Idempotency-Key answered, for 24 hours.
create table idempotency_keys (
  principal text not null,
  key text not null,
  request_hash bytea not null,
  -- Null while the first request is under way.
  response_status integer,
  response_body bytea,
  response_content_type text,
  created_at timestamptz not null,
  primary key (principal, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);
alter table idempotency_keys enable row level security;
alter table idempotency_keys force row level security;
create policy system on idempotency_keys to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update, delete on idempotency_keys to pillarbox_system;
