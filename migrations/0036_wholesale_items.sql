-- Wholesale of what is sold beside seats. Owned by crates/billing.

-- What was known of these logs when a boundary was billed: nothing before, when only seats were sold. Of samples, the position of the last.
alter table wholesale_boundary_tenants
  add column mailbox_changes_known bigint not null default 0,
  add column storage_sample_known bigint;
alter table wholesale_boundary_tenants alter column mailbox_changes_known drop default;

alter table wholesale_invoice_lines
  drop constraint wholesale_invoice_lines_kind,
  add constraint wholesale_invoice_lines_kind check (kind in ('recurring', 'usage', 'proration', 'credit'));
