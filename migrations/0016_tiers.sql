-- Prices by tiers, and removal that is locked until the term ends.

alter table prices drop constraint prices_model;
alter table prices add constraint prices_model check (model in ('flat', 'graduated', 'volume'));
-- Of a price by tiers: the last unit of each tier, null in the last one, and what a unit costs in it.
alter table prices
  alter column unit_price drop not null,
  add column tier_limits integer[] not null default '{}',
  add column tier_prices numeric(20, 8)[] not null default '{}',
  add constraint prices_flat check ((model = 'flat') = (unit_price is not null)),
  add constraint prices_tiers check (cardinality(tier_limits) = cardinality(tier_prices)
    and (model = 'flat') = (cardinality(tier_prices) = 0) and 0 <= all (tier_prices));

alter table prices drop constraint prices_removal_policy;
alter table prices add constraint prices_removal_policy
  check (removal_policy in ('at_cycle_end', 'credit_to_balance', 'locked_until_term_end'));
alter table prices
  add column grace_days integer,
  add constraint prices_grace_days check ((removal_policy = 'locked_until_term_end') = (grace_days is not null) and grace_days >= 0);

-- Which price a line was billed at. A subscription that was billed has kept its own.
alter table invoice_lines alter column unit_price drop not null;
alter table invoice_lines add column price_id uuid;
update invoice_lines l set price_id = s.price_id from subscriptions s where s.tenant_id = l.tenant_id;
alter table invoice_lines alter column price_id set not null;
create unique index prices_by_id on prices (id);
