-- How long, and how much of it, what was deleted of a tenant's mail can be had back. Owned by crates/mailstore, as are its defaults: a tenant without a row
-- has those.
create table retention_policies (
  tenant_id uuid primary key references tenants (id),
  recoverable_days integer not null constraint retention_policies_days check (recoverable_days between 0 and 3650),
  -- Of each mailbox; what was deleted first goes first.
  recoverable_limit_bytes bigint not null constraint retention_policies_limit_sign check (recoverable_limit_bytes >= 0),
  updated_at timestamptz not null,
  version bigint not null
);
select protect_tenant_table('retention_policies');
select journal_table('retention_policies', 'tenant');

-- What is due is looked for tenant by tenant, each by its own policy.
create index messages_discarded on messages (tenant_id, discarded_at) where state = 'recoverable';
-- What is too much of a mailbox goes in that order.
create index messages_discarded_first on messages (tenant_id, mailbox_id, discarded_at, id) where state = 'recoverable';
drop index messages_recoverable;
