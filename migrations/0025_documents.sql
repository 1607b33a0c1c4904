-- Drafts and voids, and the look of documents. Owned by crates/billing.

-- The picture in the head of an issuer's documents. Beside the profile, of which documents keep copies.
alter table issuer_profiles add column logo bytea
  constraint issuer_profiles_logo_size check (octet_length(logo) <= 32768);

-- A boundary may be billed again: when what it was billed by is a draft that was discarded, or was voided.
alter table billed_boundaries
  add column revision integer not null default 1 constraint billed_boundaries_revision_sign check (revision > 0),
  drop constraint billed_boundaries_once,
  add constraint billed_boundaries_once primary key (tenant_id, boundary, revision);
alter table billed_boundaries alter column revision drop default;

-- The boundary that a document is of, and which time it was billed; null in a credit note that voids an invoice, which has a reason
-- instead. A draft has no number, and is issued on the day on which it is to become final.
alter table invoices
  add column boundary date,
  add column revision integer,
  add column reason text;
update invoices set boundary = issued_on, revision = 1;
alter table invoices
  alter column number drop not null,
  alter column finalized_at drop not null,
  alter column status drop default,
  drop constraint invoices_status,
  drop constraint invoices_boundary_once,
  add constraint invoices_status check (status in ('draft', 'final')),
  add constraint invoices_numbered check ((status = 'final') = (number is not null) and (status = 'final') = (finalized_at is not null)),
  add constraint invoices_boundary_once unique (tenant_id, boundary, revision),
  add constraint invoices_founded check (num_nulls(boundary, revision) = case when reason is null then 0 else 2 end);
create index invoices_drafts on invoices (tenant_id, issued_on) where status = 'draft';

-- A draft becomes final, once; nothing else of a document ever changes.
grant update (status, number, issued_on, due_on, finalized_at) on invoices to pillarbox_tenant;
create function refuse_change_of_final() returns trigger language plpgsql as $$
begin
  raise exception 'what is final does not change' using errcode = 'restrict_violation', constraint = 'final_is_final';
end $$;
create trigger invoices_final before update on invoices for each row when (old.status <> 'draft') execute function refuse_change_of_final();

-- A draft of a former issuer's is numbered in its series.
drop policy tenant on number_series;
create policy tenant on number_series to pillarbox_tenant
  using (issuer_id = (select reseller_id from tenants where tenants.id = (select current_tenant()))
    or issuer_id in (select issuer_id from invoices where tenant_id = (select current_tenant()) and status = 'draft'))
  with check (issuer_id = (select reseller_id from tenants where tenants.id = (select current_tenant()))
    or issuer_id in (select issuer_id from invoices where tenant_id = (select current_tenant()) and status = 'draft'));

-- Documents that count as billed no more: drafts that were discarded; invoices that were voided, with what credited them. After which
-- billing of the tenant that was, so that what was billed later can be computed again.
create table unbilled_documents (
  tenant_id uuid not null,
  invoice_id uuid not null,
  after_boundary date not null,
  after_revision integer not null,
  unbilled_at timestamptz not null,
  constraint unbilled_documents_once primary key (tenant_id, invoice_id),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id),
  foreign key (tenant_id, after_boundary, after_revision) references billed_boundaries (tenant_id, boundary, revision)
);
select protect_tenant_table('unbilled_documents');
revoke update, delete on unbilled_documents from pillarbox_tenant, pillarbox_system;
revoke insert on unbilled_documents from pillarbox_system;

-- The last boundary is to be billed again by the next run.
alter table subscriptions add column bills_again boolean not null default false;

-- An item is on one document that counts as billed; what takes one back names it, too. The subscription's row is locked meanwhile.
drop index invoice_lines_one_off_once;
create index invoice_lines_one_off on invoice_lines (tenant_id, one_off_item_id) where one_off_item_id is not null;
create function refuse_second_billing() returns trigger language plpgsql as $$
begin
  if exists (select from invoice_lines l where l.tenant_id = new.tenant_id and l.one_off_item_id = new.one_off_item_id and l.quantity > 0
      and not exists (select from unbilled_documents u where u.tenant_id = l.tenant_id and u.invoice_id = l.invoice_id)) then
    raise exception 'the item is billed' using errcode = 'unique_violation', constraint = 'invoice_lines_one_off_once';
  end if;
  return new;
end $$;
create trigger invoice_lines_one_off_once before insert on invoice_lines for each row
  when (new.one_off_item_id is not null and new.quantity > 0) execute function refuse_second_billing();

-- One that such documents name is kept when it is deleted: no billing after this one knows of it.
alter table one_off_items
  add column withdrawn_after_boundary date,
  add column withdrawn_after_revision integer,
  add constraint one_off_items_withdrawn check (num_nulls(withdrawn_after_boundary, withdrawn_after_revision) in (0, 2)),
  add constraint one_off_items_withdrawn_after foreign key (tenant_id, withdrawn_after_boundary, withdrawn_after_revision)
    references billed_boundaries (tenant_id, boundary, revision);
grant update (withdrawn_after_boundary, withdrawn_after_revision) on one_off_items to pillarbox_tenant;
