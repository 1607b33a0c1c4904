-- Work of several steps that a caller can look at. Owned by crates/tenancy.

create table operations (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  kind text not null,
  -- The wire id of what it is done to.
  subject text not null,
  status text not null constraint operations_status check (status in ('queued', 'running', 'succeeded', 'failed')),
  -- In the order in which they are done: name, and what came of it.
  steps jsonb not null,
  done integer not null,
  total integer not null,
  created_at timestamptz not null,
  finished_at timestamptz,
  primary key (tenant_id, id),
  constraint operations_progress check (done between 0 and total)
);
-- An operation is asked for by its id alone.
create unique index operations_id on operations (id);
select protect_tenant_table('operations');
