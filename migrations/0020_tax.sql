-- Billing profiles, rates of tax, and tax on documents. Owned by crates/billing.

-- Who a reseller is on its documents: name, address, identifiers, and whether it charges tax.
create table issuer_profiles (
  reseller_id uuid primary key references resellers (id),
  profile jsonb not null,
  version bigint not null
);
alter table issuer_profiles enable row level security;
alter table issuer_profiles force row level security;
create policy tenant on issuer_profiles to pillarbox_tenant
  using (reseller_id = (select reseller_id from tenants where tenants.id = (select current_tenant())));
create policy system on issuer_profiles to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select on issuer_profiles to pillarbox_tenant;
grant select, insert, update on issuer_profiles to pillarbox_system;

-- Who a tenant is on the documents it gets.
create table customer_profiles (
  tenant_id uuid not null references tenants (id),
  profile jsonb not null,
  version bigint not null,
  primary key (tenant_id)
);
select protect_tenant_table('customer_profiles');

-- Rates of tax by country: one holds from its day on, and the one put last wins. Appended, never changed, and numbered under the
-- issuer's row, so that a document can say how many there were.
create table tax_rates (
  reseller_id uuid not null references resellers (id),
  ordinal bigint not null,
  country text not null constraint tax_rates_country_form check (country ~ '^[A-Z]{2}$'),
  rate numeric(7, 4) not null constraint tax_rates_rate_range check (rate between 0 and 100),
  valid_from date not null,
  set_at timestamptz not null,
  constraint tax_rates_ordinal_once primary key (reseller_id, ordinal)
);
alter table tax_rates enable row level security;
alter table tax_rates force row level security;
-- Those of a former issuer, too: its documents say how they were taxed.
create policy tenant on tax_rates to pillarbox_tenant
  using (reseller_id = (select reseller_id from tenants where tenants.id = (select current_tenant()))
    or reseller_id in (select issuer_id from invoices where tenant_id = (select current_tenant())));
create policy system on tax_rates to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select on tax_rates to pillarbox_tenant;
grant select, insert on tax_rates to pillarbox_system;

-- Whether prices include tax.
alter table price_books add column tax_behavior text not null default 'exclusive'
  constraint price_books_tax_behavior check (tax_behavior in ('exclusive', 'inclusive'));
alter table price_books alter column tax_behavior drop default;

-- What a document was taxed by. Those of before were outside tax, with no profile of anybody.
alter table invoices
  add column issuer_profile jsonb,
  add column customer_profile jsonb,
  add column tax_behavior text not null default 'exclusive'
    constraint invoices_tax_behavior check (tax_behavior in ('exclusive', 'inclusive')),
  add column tax_rates_known bigint not null default 0;
alter table invoices alter column tax_behavior drop default, alter column tax_rates_known drop default;

-- Of each line the group that it is taxed in, and which rated line it is (a part of) with what rating made it: gross where prices
-- include tax. Its own amount is net.
alter table invoice_lines
  add column rated_position integer,
  add column rated_minor bigint,
  add column tax_category text not null default 'O'
    constraint invoice_lines_tax_category check (tax_category in ('S', 'Z', 'E', 'AE', 'O')),
  add column tax_rate numeric(7, 4) not null default 0
    constraint invoice_lines_tax_rate check ((tax_category = 'S') = (tax_rate > 0) and tax_rate <= 100);
update invoice_lines set rated_position = position, rated_minor = amount_minor;
alter table invoice_lines
  alter column rated_position set not null, alter column rated_minor set not null,
  alter column tax_category drop default, alter column tax_rate drop default;

-- The taxes of a document by group; signed as the document's sums are.
create table invoice_taxes (
  tenant_id uuid not null,
  invoice_id uuid not null,
  category text not null constraint invoice_taxes_category check (category in ('S', 'Z', 'E', 'AE', 'O')),
  rate numeric(7, 4) not null constraint invoice_taxes_rate check ((category = 'S') = (rate > 0) and rate <= 100),
  taxable_minor bigint not null,
  tax_minor bigint not null constraint invoice_taxes_untaxed check (category = 'S' or tax_minor = 0),
  -- Why there is none.
  reason text,
  constraint invoice_taxes_reason check ((category in ('S', 'Z')) = (reason is null)),
  primary key (tenant_id, invoice_id, category, rate),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id)
);
insert into invoice_taxes (tenant_id, invoice_id, category, rate, taxable_minor, tax_minor, reason)
  select tenant_id, id, 'O', 0, net_minor, 0, 'not subject to VAT' from invoices;
select protect_tenant_table('invoice_taxes');
revoke update, delete on invoice_taxes from pillarbox_tenant, pillarbox_system;
