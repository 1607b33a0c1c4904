-- Trials, deleted tenants, and what is left of those that were destroyed. Owned by crates/tenancy.

alter table tenants
  add column trial_ends_at timestamptz,
  -- With status 'deleted'. One that is destroyed keeps that status, so that whoever leaves the deleted out leaves it out.
  add column deleted_at timestamptz,
  add column purged_at timestamptz,
  -- What there was to destroy when that began.
  add column destroying jsonb;
create index tenants_trial on tenants (trial_ends_at) where trial_ends_at is not null;
create index tenants_purge on tenants (deleted_at) where status = 'deleted' and purged_at is null;
create index mailboxes_purge on mailboxes (tenant_id) where status = 'deleted';
grant update (trial_ends_at) on tenants to pillarbox_tenant;

-- What was destroyed, and when: signed, and kept for good.
create table destruction_records (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  jws text not null,
  created_at timestamptz not null,
  primary key (tenant_id, id)
);
select protect_tenant_table('destruction_records');
revoke insert, update, delete on destruction_records from pillarbox_tenant;
revoke update, delete on destruction_records from pillarbox_system;
-- A destroyed tenant's endpoints go with it.
grant delete on webhook_endpoints, webhook_deliveries to pillarbox_system;
