-- The terms of a subscription over time. What is put later, from a day on, takes the place of what was to hold from that day or
-- a later one. Appended, never changed: billing rates it.
create table subscription_terms (
  tenant_id uuid not null references tenants (id),
  ordinal bigint not null,
  starts_on date not null,
  price_book_id uuid not null,
  price_id uuid not null,
  term_months integer not null constraint subscription_terms_term_months_range check (term_months between 1 and 120),
  set_at timestamptz not null,
  constraint subscription_terms_ordinal_once primary key (tenant_id, ordinal)
);
insert into subscription_terms (tenant_id, ordinal, starts_on, price_book_id, price_id, term_months, set_at)
  select tenant_id, 1, starts_on, price_book_id, price_id, term_months, created_at from subscriptions;
select protect_tenant_table('subscription_terms');
revoke update, delete on subscription_terms from pillarbox_tenant, pillarbox_system;
-- A tenant that moved to another reseller goes on by the prices it agreed to.
drop policy tenant on price_books;
create policy tenant on price_books to pillarbox_tenant
  using (reseller_id = (select reseller_id from tenants where tenants.id = (select current_tenant()))
    or id in (select price_book_id from subscription_terms where tenant_id = (select current_tenant())));
alter table subscriptions drop column price_book_id, drop column price_id, drop column term_months;
