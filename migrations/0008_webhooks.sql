-- Webhooks: endpoints and what is on its way to them. Owned by crates/tenancy.

-- Where events are sent to, by whose events: a tenant's, those of a reseller and all below it, or all.
create table webhook_endpoints (
  id uuid primary key,
  reseller_id uuid references resellers (id),
  tenant_id uuid references tenants (id),
  url text not null,
  description text,
  -- Only of these kinds; empty: of all.
  kinds text[] not null,
  -- They sign, so they have to be kept as they are. The previous one signs beside the present one for a while.
  secret text not null,
  previous_secret text,
  previous_secret_until timestamptz,
  status text not null default 'enabled' constraint webhook_endpoints_status check (status in ('enabled', 'disabled', 'deleted')),
  disabled_reason text,
  -- Since when nothing has been delivered, while something failed.
  failing_since timestamptz,
  version bigint not null default 1,
  created_at timestamptz not null,
  constraint webhook_endpoints_one_owner check (reseller_id is null or tenant_id is null)
);
create index webhook_endpoints_tenant on webhook_endpoints (tenant_id, id);
create index webhook_endpoints_reseller on webhook_endpoints (reseller_id, id);
alter table webhook_endpoints enable row level security;
alter table webhook_endpoints force row level security;
create policy system on webhook_endpoints to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update on webhook_endpoints to pillarbox_system;

-- One event on its way to one endpoint.
create table webhook_deliveries (
  id uuid primary key,
  endpoint_id uuid not null references webhook_endpoints (id),
  event_id uuid not null references events (id),
  status text not null default 'pending' constraint webhook_deliveries_status check (status in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  leased_until timestamptz,
  -- What the last attempt came to.
  attempted_at timestamptz,
  response_status integer,
  response_excerpt text,
  error text,
  duration_ms integer,
  created_at timestamptz not null,
  constraint webhook_deliveries_due check ((status = 'pending') = (next_attempt_at is not null))
);
create index webhook_deliveries_due on webhook_deliveries (endpoint_id, next_attempt_at) where status = 'pending';
create index webhook_deliveries_leased on webhook_deliveries (endpoint_id, leased_until) where leased_until is not null;
create index webhook_deliveries_endpoint on webhook_deliveries (endpoint_id, id);
alter table webhook_deliveries enable row level security;
alter table webhook_deliveries force row level security;
create policy system on webhook_deliveries to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update, delete on webhook_deliveries to pillarbox_system;
