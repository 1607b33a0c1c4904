-- Wholesale by tiers, and its taxes. Owned by crates/billing.

-- Who the operator is on wholesale documents, and its rates of tax: those of the nil uuid, as its number series are.
alter table issuer_profiles drop constraint issuer_profiles_reseller_id_fkey;
alter table tax_rates drop constraint tax_rates_reseller_id_fkey;

-- Who a reseller is on the documents that it gets from the operator.
create table reseller_customer_profiles (
  reseller_id uuid not null references resellers (id),
  profile jsonb not null,
  version bigint not null,
  constraint reseller_customer_profiles_one_a_reseller primary key (reseller_id)
);

-- What a document was taxed by. Those of before were outside tax, with no profile of anybody.
alter table wholesale_invoices
  add column issuer_profile jsonb,
  add column customer_profile jsonb,
  add column tax_rates_known bigint not null default 0;
alter table wholesale_invoices alter column tax_rates_known drop default;

-- Of each line the group that it is taxed in, and which rated line it is (a part of). A price by tiers has no unit price.
alter table wholesale_invoice_lines
  alter column unit_price drop not null,
  add column rated_position integer,
  add column tax_category text not null default 'O'
    constraint wholesale_invoice_lines_tax_category check (tax_category in ('S', 'Z', 'E', 'AE', 'O')),
  add column tax_rate numeric(7, 4) not null default 0
    constraint wholesale_invoice_lines_tax_rate check ((tax_category = 'S') = (tax_rate > 0) and tax_rate <= 100);
update wholesale_invoice_lines set rated_position = position;
alter table wholesale_invoice_lines
  alter column rated_position set not null,
  alter column tax_category drop default, alter column tax_rate drop default;

-- The taxes of a document by group; signed as the document's sums are.
create table wholesale_invoice_taxes (
  reseller_id uuid not null,
  invoice_id uuid not null,
  category text not null constraint wholesale_invoice_taxes_category check (category in ('S', 'Z', 'E', 'AE', 'O')),
  rate numeric(7, 4) not null constraint wholesale_invoice_taxes_rate check ((category = 'S') = (rate > 0) and rate <= 100),
  taxable_minor bigint not null,
  tax_minor bigint not null constraint wholesale_invoice_taxes_untaxed check (category = 'S' or tax_minor = 0),
  -- Why there is none.
  reason text,
  constraint wholesale_invoice_taxes_reason check ((category in ('S', 'Z')) = (reason is null)),
  constraint wholesale_invoice_taxes_once primary key (reseller_id, invoice_id, category, rate),
  foreign key (reseller_id, invoice_id) references wholesale_invoices (reseller_id, id)
);
insert into wholesale_invoice_taxes (reseller_id, invoice_id, category, rate, taxable_minor, tax_minor, reason)
  select reseller_id, id, 'O', 0, net_minor, 0, 'not subject to VAT' from wholesale_invoices;

do $$
declare t text;
begin
  foreach t in array array['reseller_customer_profiles', 'wholesale_invoice_taxes'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy system on %I to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()))', t);
    execute format('grant select, insert on %I to pillarbox_system', t);
  end loop;
end $$;
grant update on reseller_customer_profiles to pillarbox_system;
