-- Credit notes refer to the invoices that billed what they take back; of before that, to the newest. Owned by crates/billing.
alter table credit_note_references add column by_lines boolean not null default false;
alter table credit_note_references alter column by_lines set default true;
alter table wholesale_credit_note_references add column by_lines boolean not null default false;
alter table wholesale_credit_note_references alter column by_lines set default true;
