-- Voids of wholesale invoices, as those of tenants' (0025). Owned by crates/billing.

-- A boundary may be billed again: when what it was billed by was voided.
alter table wholesale_boundary_tenants drop constraint wholesale_boundary_tenants_reseller_id_boundary_fkey;
alter table wholesale_boundaries
  add column revision integer not null default 1 constraint wholesale_boundaries_revision_sign check (revision > 0),
  drop constraint wholesale_boundaries_once,
  add constraint wholesale_boundaries_once primary key (reseller_id, boundary, revision);
alter table wholesale_boundaries alter column revision drop default;
alter table wholesale_boundary_tenants
  add column revision integer not null default 1,
  drop constraint wholesale_boundary_tenants_once,
  add constraint wholesale_boundary_tenants_once primary key (reseller_id, boundary, revision, tenant_id);
alter table wholesale_boundary_tenants
  alter column revision drop default,
  add foreign key (reseller_id, boundary, revision) references wholesale_boundaries (reseller_id, boundary, revision);

-- Of a row that is deleted the journal keeps the primary key, which is another now.
do $$
declare t text;
begin
  foreach t in array array['wholesale_boundaries', 'wholesale_boundary_tenants'] loop
    execute format('drop trigger journal_insert on %I', t);
    execute format('drop trigger journal_update on %I', t);
    execute format('drop trigger journal_delete on %I', t);
    perform journal_table(t::regclass, 'installation');
  end loop;
end $$;

-- The boundary that a document is of, and which time it was billed; null in a credit note that voids an invoice, which has a reason
-- instead.
alter table wholesale_invoices
  add column boundary date,
  add column revision integer,
  add column reason text;
update wholesale_invoices set boundary = issued_on, revision = 1;
alter table wholesale_invoices
  drop constraint wholesale_invoices_boundary_once,
  add constraint wholesale_invoices_boundary_once unique (reseller_id, boundary, revision),
  add constraint wholesale_invoices_founded check (num_nulls(boundary, revision) = case when reason is null then 0 else 2 end);
-- Files of documents begin at a day.
create index wholesale_invoices_day on wholesale_invoices (reseller_id, issued_on, id);

-- Documents that count as billed no more: invoices that were voided, with what credited them; and after which billing that was, so
-- that what was billed later can be computed again.
create table wholesale_unbilled_documents (
  reseller_id uuid not null,
  invoice_id uuid not null,
  after_boundary date not null,
  after_revision integer not null,
  unbilled_at timestamptz not null,
  constraint wholesale_unbilled_documents_once primary key (reseller_id, invoice_id),
  foreign key (reseller_id, invoice_id) references wholesale_invoices (reseller_id, id),
  foreign key (reseller_id, after_boundary, after_revision) references wholesale_boundaries (reseller_id, boundary, revision)
);
alter table wholesale_unbilled_documents enable row level security;
alter table wholesale_unbilled_documents force row level security;
-- No tenant sees any of it, and what was written stays.
create policy system on wholesale_unbilled_documents to pillarbox_system
  using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert on wholesale_unbilled_documents to pillarbox_system;
select journal_table('wholesale_unbilled_documents', 'installation');
