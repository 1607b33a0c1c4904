-- Wholesale: the operator bills resellers for the seats of all their tenants. Owned by crates/billing, but for the first table.

-- Which reseller a tenant belonged to from when on; none while it is deleted. Appended, never changed: wholesale is rated by it.
-- Owned by crates/tenancy.
create table tenant_placements (
  tenant_id uuid not null references tenants (id),
  ordinal bigint not null,
  since timestamptz not null,
  reseller_id uuid references resellers (id),
  constraint tenant_placements_ordinal_once primary key (tenant_id, ordinal)
);
create index tenant_placements_reseller on tenant_placements (reseller_id, tenant_id);
-- What is known of before: where a tenant was made, its moves by its trail, and since when it is deleted.
insert into tenant_placements (tenant_id, ordinal, since, reseller_id)
  select tenant_id, row_number() over (partition by tenant_id order by since, step), since, reseller_id
  from (
    select t.id as tenant_id, t.created_at as since, 0 as step, coalesce((
        select m.data ->> 'from' from events m where m.tenant_id = t.id and m.kind = 'tenant.transferred' order by m.ordinal limit 1),
        'rsl_' || replace(t.reseller_id::text, '-', '')) as wire
    from tenants t
    union all
    select m.tenant_id, m.at, m.ordinal, m.data ->> 'to' from events m where m.tenant_id is not null and m.kind = 'tenant.transferred'
    union all
    select t.id, coalesce(t.deleted_at, now()), 9223372036854775807, null from tenants t where t.status = 'deleted'
  ) placed
  cross join lateral (select substr(placed.wire, 5)::uuid as reseller_id) parsed;
select protect_tenant_table('tenant_placements');
revoke all on tenant_placements from pillarbox_tenant;
revoke update, delete on tenant_placements from pillarbox_system;

-- The operator is an issuer too: a price book without a reseller is its own, and its number series are those of the nil uuid.
alter table price_books alter column reseller_id drop not null,
  drop constraint price_books_version_once,
  add constraint price_books_version_once unique nulls not distinct (reseller_id, version);
alter table number_series drop constraint number_series_issuer_id_fkey;

-- What the operator has agreed with a reseller. A reseller has one.
create table wholesale_agreements (
  reseller_id uuid not null references resellers (id),
  id uuid not null,
  -- How documents name the operator.
  operator_name text not null constraint wholesale_agreements_operator_name_length check (char_length(operator_name) between 1 and 200),
  "interval" text not null constraint wholesale_agreements_interval check ("interval" in ('month', 'year')),
  currency text not null constraint wholesale_agreements_currency_form check (currency ~ '^[A-Z]{3}$'),
  time_zone text not null,
  anchor_date date not null,
  starts_on date not null,
  -- The next boundary; everything before it has been billed.
  next_invoice_on date not null,
  -- Set when a run could not bill it; putting the agreement again has it tried again.
  parked_at timestamptz,
  parked_reason text,
  version bigint not null,
  created_at timestamptz not null,
  constraint wholesale_agreements_one_a_reseller primary key (reseller_id)
);
create index wholesale_agreements_due on wholesale_agreements (next_invoice_on, reseller_id);

-- The terms over time, as those of subscriptions. Appended, never changed.
create table wholesale_terms (
  reseller_id uuid not null references wholesale_agreements (reseller_id),
  ordinal bigint not null,
  starts_on date not null,
  price_book_id uuid not null,
  price_id uuid not null,
  term_months integer not null constraint wholesale_terms_term_months_range check (term_months between 1 and 120),
  -- The least number of seats that is charged, over all tenants.
  seats_committed integer not null constraint wholesale_terms_seats_committed_sign check (seats_committed >= 0),
  set_at timestamptz not null,
  constraint wholesale_terms_ordinal_once primary key (reseller_id, ordinal),
  foreign key (price_book_id, price_id) references prices (price_book_id, id)
);
create index wholesale_terms_book on wholesale_terms (price_book_id);

-- Which days have been billed, as those of tenants. All tenants of an agreement are billed at once, so its days are theirs.
create table wholesale_coverage (
  reseller_id uuid not null references wholesale_agreements (reseller_id),
  item text not null,
  kind text not null constraint wholesale_coverage_kind check (kind in ('cycle', 'changes')),
  days daterange not null constraint wholesale_coverage_days_some check (not isempty(days)),
  whole daterange,
  time_zone text,
  constraint wholesale_coverage_same_days primary key (reseller_id, item, kind, days),
  constraint wholesale_coverage_cycle check ((kind = 'cycle') = (whole is not null and time_zone is not null)),
  constraint wholesale_coverage_once exclude using gist (reseller_id with =, item with =, kind with =, days with &&)
);

-- Each boundary that was billed, and what was known of each tenant then: how many of its seat changes, and on which days it
-- counted for the reseller, from and until in pairs, the last until perhaps null.
create table wholesale_boundaries (
  reseller_id uuid not null references wholesale_agreements (reseller_id),
  boundary date not null,
  terms_known bigint not null,
  constraint wholesale_boundaries_once primary key (reseller_id, boundary)
);
create table wholesale_boundary_tenants (
  reseller_id uuid not null,
  boundary date not null,
  tenant_id uuid not null references tenants (id),
  seat_changes_known bigint not null,
  counts_from date[] not null,
  counts_until date[] not null,
  constraint wholesale_boundary_tenants_once primary key (reseller_id, boundary, tenant_id),
  constraint wholesale_boundary_tenants_pairs check (cardinality(counts_from) = cardinality(counts_until)),
  foreign key (reseller_id, boundary) references wholesale_boundaries (reseller_id, boundary)
);

-- Final documents of the operator's, signed as the reseller's account sees them.
create table wholesale_invoices (
  reseller_id uuid not null references resellers (id),
  id uuid not null,
  kind text not null constraint wholesale_invoices_kind check (kind in ('invoice', 'credit_note')),
  number bigint not null constraint wholesale_invoices_number_sign check (number > 0),
  issuer_name text not null,
  customer_name text not null,
  currency text not null,
  issued_on date not null,
  due_on date not null,
  status text not null default 'final' constraint wholesale_invoices_status check (status in ('final')),
  net_minor bigint not null,
  tax_minor bigint not null,
  total_minor bigint not null,
  finalized_at timestamptz not null,
  primary key (reseller_id, id),
  constraint wholesale_invoices_total check (total_minor = net_minor + tax_minor),
  constraint wholesale_invoices_kind_sign check ((kind = 'credit_note') = (total_minor < 0)),
  constraint wholesale_invoices_boundary_once unique (reseller_id, issued_on),
  constraint wholesale_invoices_number_once unique (kind, number)
);
create unique index wholesale_invoices_by_id on wholesale_invoices (id);

create table wholesale_invoice_lines (
  reseller_id uuid not null,
  invoice_id uuid not null,
  position integer not null,
  -- Whose seats, and how the tenant was called then; none: seats that were committed and not used.
  tenant_id uuid references tenants (id),
  tenant_name text,
  item text not null,
  kind text not null constraint wholesale_invoice_lines_kind check (kind in ('recurring', 'proration', 'credit')),
  description text not null,
  period daterange not null,
  cycle daterange not null,
  quantity bigint not null,
  seat_days bigint not null,
  price_id uuid not null,
  unit_price numeric(20, 8) not null,
  amount_minor bigint not null,
  primary key (reseller_id, invoice_id, position),
  constraint wholesale_invoice_lines_tenant check ((tenant_id is null) = (tenant_name is null)),
  foreign key (reseller_id, invoice_id) references wholesale_invoices (reseller_id, id)
);

create table wholesale_credit_note_references (
  reseller_id uuid not null,
  credit_note_id uuid not null,
  invoice_id uuid not null,
  amount_minor bigint not null constraint wholesale_credit_note_references_sign check (amount_minor > 0),
  primary key (reseller_id, credit_note_id, invoice_id),
  foreign key (reseller_id, credit_note_id) references wholesale_invoices (reseller_id, id),
  foreign key (reseller_id, invoice_id) references wholesale_invoices (reseller_id, id)
);
create index wholesale_credit_note_references_invoice on wholesale_credit_note_references (reseller_id, invoice_id);

-- The operator's ledger, of the shape of `transfers`.
create table wholesale_transfers (
  reseller_id uuid not null references resellers (id),
  reference uuid not null,
  code text not null
    constraint wholesale_transfers_code check (code in ('invoice_net', 'invoice_tax', 'credit_note_net', 'credit_note_tax')),
  debit_account text not null,
  credit_account text not null,
  currency text not null constraint wholesale_transfers_currency_form check (currency ~ '^[A-Z]{3}$'),
  amount_minor bigint not null constraint wholesale_transfers_amount_sign check (amount_minor > 0),
  effective_on date not null,
  posted_at timestamptz not null,
  constraint wholesale_transfers_once primary key (reseller_id, reference, code),
  constraint wholesale_transfers_accounts check (case
    when code in ('invoice_net', 'credit_note_net') then (debit_account, credit_account) in (('receivable', 'revenue'), ('revenue', 'receivable'))
    else (debit_account, credit_account) in (('receivable', 'tax_payable'), ('tax_payable', 'receivable')) end)
);
create index wholesale_transfers_day on wholesale_transfers (effective_on);

-- No tenant sees any of it, and what was written stays: the agreement's row alone may change.
do $$
declare t text;
begin
  foreach t in array array['wholesale_agreements', 'wholesale_terms', 'wholesale_coverage', 'wholesale_boundaries',
      'wholesale_boundary_tenants', 'wholesale_invoices', 'wholesale_invoice_lines', 'wholesale_credit_note_references',
      'wholesale_transfers'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy system on %I to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()))', t);
    execute format('grant select, insert on %I to pillarbox_system', t);
  end loop;
end $$;
grant update on wholesale_agreements to pillarbox_system;
-- Margins: a reseller's retail documents by the day they were issued.
create index invoices_issuer_day on invoices (issuer_id, issued_on);
