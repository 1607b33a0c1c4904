-- Exports for accounting. Owned by crates/billing.

-- An issuer's documents and transfers in the order in which they are exported, so that a page begins where the last one ended.
create index invoices_export on invoices (issuer_id, issued_on, id);
drop index invoices_issuer_day;
create index transfers_export on transfers (issuer_id, effective_on, reference, code);
drop index transfers_issuer;

-- How many bytes a tenant has stored, sampled when it changed: what is missing between two samples is what the first said.
-- Appended, never changed. Owned by crates/tenancy.
create table storage_samples (
  tenant_id uuid not null,
  at timestamptz not null,
  used_bytes bigint not null constraint storage_samples_used_bytes_sign check (used_bytes >= 0),
  constraint storage_samples_once primary key (tenant_id, at)
);
select protect_tenant_table('storage_samples');
revoke insert, update, delete on storage_samples from pillarbox_tenant;
revoke update, delete on storage_samples from pillarbox_system;
