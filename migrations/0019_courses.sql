-- Terms that begin cycles of their own: a trial, a change of the interval, an end. Cycles that such a change cuts or replaces.

-- Each of the terms has its anchor. A row without a price is an end: nothing is used any more from that day on.
alter table subscription_terms add column anchor_date date;
update subscription_terms t set anchor_date = s.anchor_date from subscriptions s where s.tenant_id = t.tenant_id;
alter table subscription_terms
  alter column price_book_id drop not null,
  alter column price_id drop not null,
  alter column term_months drop not null,
  add constraint subscription_terms_whole check (num_nulls(price_book_id, price_id, term_months, anchor_date) in (0, 4));
alter table subscriptions
  drop column anchor_date,
  drop column status,
  -- Nothing is charged before that day. Null: there is no trial.
  add column trial_ends_on date constraint subscriptions_trial_after_start check (trial_ends_on > starts_on),
  -- Null when nothing is left to be billed.
  alter column next_invoice_on drop not null;

-- What tells a cycle from others: its first charged day and the whole. Its charged days can come to be fewer, or none when other
-- cycles have taken its place.
alter table billing_coverage add column starts_on date;
update billing_coverage set starts_on = lower(days), whole = coalesce(whole, days);
alter table billing_coverage
  drop constraint billing_coverage_same_days,
  drop constraint billing_coverage_cycle,
  drop constraint billing_coverage_days_some,
  alter column starts_on set not null,
  alter column whole set not null,
  add constraint billing_coverage_same_days primary key (tenant_id, item, kind, starts_on, whole),
  add constraint billing_coverage_cycle check ((kind = 'cycle') = (time_zone is not null)),
  add constraint billing_coverage_days check (case when isempty(days) then kind = 'cycle' else lower(days) = starts_on end);
grant update (days) on billing_coverage to pillarbox_tenant;

alter table invoice_lines add column whole daterange;
update invoice_lines l set whole = c.whole from billing_coverage c
  where c.tenant_id = l.tenant_id and c.item = l.item and c.kind = 'cycle' and c.starts_on = lower(l.cycle);
alter table invoice_lines alter column whole set not null;

-- When a tenant as a whole was suspended, deleted, or came to be active again, by its own calendar. Appended, never changed: billing
-- rates it. Owned by crates/tenancy.
create table tenant_standings (
  tenant_id uuid not null references tenants (id),
  ordinal bigint not null,
  at timestamptz not null,
  day date not null,
  standing text not null constraint tenant_standings_standing check (standing in ('active', 'suspended', 'deleted')),
  constraint tenant_standings_ordinal_once primary key (tenant_id, ordinal)
);
-- Those that are deleted or suspended as a whole already.
insert into tenant_standings (tenant_id, ordinal, at, day, standing)
  select id, 1, coalesce(deleted_at, now()), (coalesce(deleted_at, now()) at time zone time_zone)::date, 'deleted'
  from tenants where status = 'deleted'
  union all
  select id, 1, now(), (now() at time zone time_zone)::date, 'suspended'
  from tenants where status = 'suspended' and cardinality(suspended_capabilities) = 7;
select protect_tenant_table('tenant_standings');
revoke update, delete on tenant_standings from pillarbox_tenant, pillarbox_system;

-- Whether days on which the tenant is suspended are charged.
alter table prices add column suspension_policy text not null default 'continue'
  constraint prices_suspension_policy check (suspension_policy in ('continue', 'pause'));
-- How many standings the subscription has taken account of, and each boundary.
alter table subscriptions add column standings_known bigint not null default 0;
alter table billed_boundaries add column standings_known bigint not null default 0;
