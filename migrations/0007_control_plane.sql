-- Suspension of tenants, domains that are proven, and credentials. Owned by crates/tenancy.

alter table tenants
  add column suspended_capabilities text[] not null default '{}';
grant update (status, suspended_capabilities) on tenants to pillarbox_tenant;

alter table domains
  -- What the owner publishes to prove that the name is theirs. The default is for a server of the version before.
  add column verification_token text not null default replace(gen_random_uuid()::text, '-', ''),
  add column verified_at timestamptz,
  add column version bigint not null default 1;
update domains set verified_at = created_at where status = 'active';

alter table users
  add column given_name text,
  add column family_name text,
  -- Counts the times that all of the user's sessions were ended; a token carries the count it was issued at.
  add column session_epoch integer not null default 0;
create unique index users_external_id_once on users (tenant_id, external_id) where external_id is not null and status <> 'deleted';

-- Credentials: keys bound to networks, rotating signing keys, refresh tokens, app passwords, sign-in attempts, support.
alter table api_keys
  add column networks cidr[] not null default '{}',
  add column description text,
  add column last_used_at timestamptz,
  add column last_used_from inet;

alter table signing_keys
  -- Signs from then on, until another does; one made ahead of its time is known everywhere before it is needed.
  add column active_from timestamptz;
update signing_keys set active_from = created_at;
alter table signing_keys alter column active_from set not null;
grant delete on signing_keys to pillarbox_system;

-- Refresh tokens of people (RFC 6749 §6): each is good once, and using one twice ends its whole family.
create table refresh_tokens (
  tenant_id uuid not null,
  id uuid not null,
  family_id uuid not null,
  user_id uuid not null,
  secret_hash bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  revoked_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create index refresh_tokens_family on refresh_tokens (tenant_id, family_id);
create index refresh_tokens_user on refresh_tokens (tenant_id, user_id);
create index refresh_tokens_age on refresh_tokens (expires_at);
select protect_tenant_table('refresh_tokens');

create table app_passwords (
  tenant_id uuid not null,
  id uuid not null,
  user_id uuid not null,
  name text not null,
  protocols text[] not null constraint app_passwords_protocols check (protocols <@ '{imap,pop3,send,sync}' and protocols <> '{}'),
  -- Generated with 128 bits and more, so a fast hash keeps it.
  secret_hash bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  last_used_at timestamptz,
  primary key (tenant_id, id),
  constraint app_passwords_user foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create index app_passwords_user on app_passwords (tenant_id, user_id, id);
select protect_tenant_table('app_passwords');

-- Failed sign-ins, by who was tried and from where. Looked up before any tenant is known.
create table sign_in_failures (
  -- A digest of the name as it was given (empty: of the network as a whole), and the network's prefix (empty: of the account as a whole).
  account bytea not null,
  network text not null,
  failures integer not null,
  window_started_at timestamptz not null,
  blocked_until timestamptz,
  primary key (account, network)
);
create index sign_in_failures_age on sign_in_failures (window_started_at);
-- Networks from which an account was signed into: others' failures do not lock those out.
create table sign_in_networks (
  account bytea not null,
  network text not null,
  last_success_at timestamptz not null,
  primary key (account, network)
);
create index sign_in_networks_age on sign_in_networks (last_success_at);
alter table sign_in_failures enable row level security;
alter table sign_in_failures force row level security;
create policy system on sign_in_failures to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
alter table sign_in_networks enable row level security;
alter table sign_in_networks force row level security;
create policy system on sign_in_networks to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update, delete on sign_in_failures, sign_in_networks to pillarbox_system;
