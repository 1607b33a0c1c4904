-- Price books, subscriptions, what has been billed, documents, runs. Owned by crates/billing.

-- For exclusion constraints that compare ids beside ranges. A trusted extension: the database's owner may create it.
create extension if not exists btree_gist;

-- One published version of an issuer's prices. There is no grant to change one.
create table price_books (
  id uuid primary key,
  reseller_id uuid not null references resellers (id),
  version integer not null constraint price_books_version_sign check (version > 0),
  currency text not null constraint price_books_currency_form check (currency ~ '^[A-Z]{3}$'),
  published_at timestamptz not null,
  constraint price_books_version_once unique (reseller_id, version)
);
create table prices (
  price_book_id uuid not null references price_books (id),
  id uuid not null,
  item text not null constraint prices_item check (item in ('mailbox')),
  "interval" text not null constraint prices_interval check ("interval" in ('month', 'year')),
  model text not null constraint prices_model check (model in ('flat')),
  unit_price numeric(20, 8) not null constraint prices_unit_price_sign check (unit_price >= 0),
  removal_policy text not null constraint prices_removal_policy check (removal_policy in ('at_cycle_end', 'credit_to_balance')),
  primary key (price_book_id, id),
  constraint prices_item_once unique (price_book_id, item, "interval")
);

-- The last number given out, by issuer and series. Taken in the transaction that uses the number: no gap, no repeat.
create table number_series (
  issuer_id uuid not null references resellers (id),
  series text not null constraint number_series_series check (series in ('price_book', 'invoice', 'credit_note')),
  last_number bigint not null,
  primary key (issuer_id, series)
);

-- A tenant's transaction sees the price books and number series of the reseller it buys from.
alter table price_books enable row level security;
alter table price_books force row level security;
create policy tenant on price_books to pillarbox_tenant
  using (reseller_id = (select reseller_id from tenants where tenants.id = (select current_tenant())));
create policy system on price_books to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select on price_books to pillarbox_tenant;
grant select, insert on price_books to pillarbox_system;

alter table prices enable row level security;
alter table prices force row level security;
create policy tenant on prices to pillarbox_tenant using (price_book_id in (select id from price_books));
create policy system on prices to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select on prices to pillarbox_tenant;
grant select, insert on prices to pillarbox_system;

alter table number_series enable row level security;
alter table number_series force row level security;
create policy tenant on number_series to pillarbox_tenant
  using (issuer_id = (select reseller_id from tenants where tenants.id = (select current_tenant())))
  with check (issuer_id = (select reseller_id from tenants where tenants.id = (select current_tenant())));
create policy system on number_series to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update on number_series to pillarbox_tenant, pillarbox_system;

-- The issuer's name, which a document shows.
grant select (name) on resellers to pillarbox_tenant;

-- A tenant has one subscription. Its price is not a foreign key, since a tenant table's keys lead with the tenant;
-- price books are never deleted.
create table subscriptions (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  price_book_id uuid not null,
  price_id uuid not null,
  term_months integer not null constraint subscriptions_term_months_range check (term_months between 1 and 120),
  seats_committed integer not null constraint subscriptions_seats_committed_sign check (seats_committed >= 0),
  anchor_date date not null,
  starts_on date not null,
  status text not null default 'active' constraint subscriptions_status check (status in ('active')),
  -- The next boundary; everything before it has been billed.
  next_invoice_on date not null,
  -- Set when a run could not bill it; a run that names the tenant tries again.
  parked_at timestamptz,
  parked_reason text,
  version bigint not null default 1,
  created_at timestamptz not null,
  primary key (tenant_id, id),
  constraint subscriptions_one_a_tenant unique (tenant_id)
);
create index subscriptions_due on subscriptions (next_invoice_on, tenant_id);
select protect_tenant_table('subscriptions');

-- Each committed minimum that was set. Appended, never changed: billing rates it.
create table seat_commitments (
  tenant_id uuid not null references tenants (id),
  ordinal bigint not null,
  at timestamptz not null,
  seats_committed integer not null constraint seat_commitments_sign check (seats_committed >= 0),
  constraint seat_commitments_ordinal_once primary key (tenant_id, ordinal)
);
select protect_tenant_table('seat_commitments');

-- Which days have been billed: as a cycle, in advance, and as changes, up to a boundary. No day twice.
create table billing_coverage (
  tenant_id uuid not null references tenants (id),
  item text not null,
  kind text not null constraint billing_coverage_kind check (kind in ('cycle', 'changes')),
  days daterange not null constraint billing_coverage_days_some check (not isempty(days)),
  -- Of a cycle: the whole anchor-aligned cycle, and the zone whose calendar its days are of.
  whole daterange,
  time_zone text,
  constraint billing_coverage_same_days primary key (tenant_id, item, kind, days),
  constraint billing_coverage_cycle check ((kind = 'cycle') = (whole is not null and time_zone is not null)),
  constraint billing_coverage_once exclude using gist (tenant_id with =, item with =, kind with =, days with &&)
);
select protect_tenant_table('billing_coverage');

-- Final documents. Amounts are signed as the customer's account sees them: a credit note's total is negative.
create table invoices (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  kind text not null constraint invoices_kind check (kind in ('invoice', 'credit_note')),
  issuer_id uuid not null,
  number bigint not null constraint invoices_number_sign check (number > 0),
  -- As they were called when the document was made.
  issuer_name text not null,
  customer_name text not null,
  currency text not null,
  issued_on date not null,
  due_on date not null,
  status text not null default 'final' constraint invoices_status check (status in ('final')),
  net_minor bigint not null,
  tax_minor bigint not null,
  total_minor bigint not null,
  finalized_at timestamptz not null,
  primary key (tenant_id, id),
  constraint invoices_total check (total_minor = net_minor + tax_minor),
  constraint invoices_kind_sign check ((kind = 'credit_note') = (total_minor < 0)),
  constraint invoices_boundary_once unique (tenant_id, issued_on)
);
create index invoices_by_id on invoices (id);
create unique index invoices_number_once on invoices (issuer_id, kind, number);
select protect_tenant_table('invoices');

create table invoice_lines (
  tenant_id uuid not null,
  invoice_id uuid not null,
  position integer not null,
  item text not null,
  kind text not null constraint invoice_lines_kind check (kind in ('recurring', 'proration', 'credit')),
  description text not null,
  -- The days that it charges or credits, and the cycle that it belongs to.
  period daterange not null,
  cycle daterange not null,
  quantity bigint not null,
  seat_days bigint not null,
  unit_price numeric(20, 8) not null,
  amount_minor bigint not null,
  primary key (tenant_id, invoice_id, position),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id)
);
create index invoice_lines_cycle on invoice_lines (tenant_id, item, cycle);
select protect_tenant_table('invoice_lines');

-- Which invoices a credit note corrects, and by how much each.
create table credit_note_references (
  tenant_id uuid not null,
  credit_note_id uuid not null,
  invoice_id uuid not null,
  amount_minor bigint not null constraint credit_note_references_sign check (amount_minor > 0),
  primary key (tenant_id, credit_note_id, invoice_id),
  foreign key (tenant_id, credit_note_id) references invoices (tenant_id, id),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id)
);
create index credit_note_references_invoice on credit_note_references (tenant_id, invoice_id);
select protect_tenant_table('credit_note_references');

-- What is final stays: nobody holds the right to change it.
revoke update, delete on seat_commitments, billing_coverage, invoices, invoice_lines, credit_note_references
  from pillarbox_tenant, pillarbox_system;

-- A run over what is due: of one tenant, of a reseller's subtree, or of all.
create table billing_runs (
  id uuid primary key,
  as_of date not null,
  -- Whose run it is and how far it reaches; null: the operator's, everything.
  reseller_id uuid references resellers (id),
  tenant_id uuid references tenants (id),
  status text not null constraint billing_runs_status check (status in ('queued', 'running', 'succeeded', 'failed')),
  summary jsonb,
  created_at timestamptz not null,
  finished_at timestamptz
);
create index billing_runs_reseller on billing_runs (reseller_id, id);
alter table billing_runs enable row level security;
alter table billing_runs force row level security;
create policy system on billing_runs to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update on billing_runs to pillarbox_system;
