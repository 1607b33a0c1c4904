-- Credit notes refer to the invoices that billed what they take back; those of servers from before that, which may still run beside, to the
-- newest. Owned by crates/billing.
alter table credit_note_references add column by_lines boolean not null default false;
alter table wholesale_credit_note_references add column by_lines boolean not null default false;
-- What else was billed of a cycle of which something is taken back.
create index wholesale_invoice_lines_cycle on wholesale_invoice_lines (reseller_id, item, lower(cycle));
