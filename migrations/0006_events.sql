-- What happened: written in the transaction of the change itself, chained into trails afterwards. Owned by crates/tenancy.

create table events (
  id uuid primary key,
  -- Whose trail it is on: a tenant's, a reseller's, or with neither the operator's.
  reseller_id uuid references resellers (id),
  tenant_id uuid references tenants (id),
  trail uuid not null generated always as (coalesce(tenant_id, reseller_id, '00000000-0000-0000-0000-000000000000'::uuid)) stored,
  kind text not null,
  -- The wire id of what it is about.
  subject text not null,
  data jsonb not null,
  -- Who did it, how they may, and from where.
  principal text not null,
  role text not null,
  network inet,
  request_id uuid not null,
  at timestamptz not null,
  -- In the order of writing: what came of something comes after it. Transactions that roll back leave gaps.
  ordinal bigint not null generated always as identity,
  -- Given after the commit, so that writers wait for nobody: the order of the feed, and the chain of the trail.
  position bigint,
  previous_hash bytea,
  hash bytea,
  constraint events_one_trail check (reseller_id is null or tenant_id is null),
  constraint events_chained_whole check ((position is null) = (hash is null) and (position is null) = (previous_hash is null))
);
create index events_unchained on events (ordinal) where position is null;
create unique index events_position on events (position);
create index events_trail on events (trail, position);
alter table events enable row level security;
alter table events force row level security;
create policy tenant on events to pillarbox_tenant using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()));
create policy system on events to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
-- Appended, and chained once. Nobody may change what was said, or take it back.
grant select, insert on events to pillarbox_tenant;
grant select, insert, update (position, previous_hash, hash) on events to pillarbox_system;

-- Which resellers read an event: those above its trail when it was chained. A feed costs its page.
create table event_readers (
  reseller_id uuid not null references resellers (id),
  position bigint not null,
  primary key (reseller_id, position)
);
alter table event_readers enable row level security;
alter table event_readers force row level security;
create policy system on event_readers to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert on event_readers to pillarbox_system;
