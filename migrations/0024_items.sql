-- What is billed beside the seats: items and setups that come once, and discounts. Owned by crates/billing.

-- Charged once at the start of a subscription by this price.
alter table prices add column setup_price numeric(20, 8) constraint prices_setup_price_sign check (setup_price >= 0);

-- A charge that comes once: on the first document of its day or of a later one. Its day is one that had not been billed when it was
-- added, so that the boundaries alone say which document it is on. Added and, until it is billed, deleted; never changed.
create table one_off_items (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  description text not null constraint one_off_items_description_length check (char_length(description) between 1 and 200),
  quantity integer not null constraint one_off_items_quantity_range check (quantity between 1 and 1000000),
  unit_minor bigint not null constraint one_off_items_unit_range check (unit_minor between 0 and 100000000000),
  currency text not null constraint one_off_items_currency_form check (currency ~ '^[A-Z]{3}$'),
  bill_on date not null,
  created_at timestamptz not null,
  primary key (tenant_id, id)
);
select protect_tenant_table('one_off_items');
revoke update on one_off_items from pillarbox_tenant;
revoke insert, update, delete on one_off_items from pillarbox_system;

-- A line of an item names it, once, and keeps it from being deleted; it has no published price.
alter table invoice_lines
  alter column price_id drop not null,
  add column one_off_item_id uuid,
  drop constraint invoice_lines_kind,
  add constraint invoice_lines_kind check (kind in ('recurring', 'proration', 'credit', 'one_off')),
  add constraint invoice_lines_one_off check ((item in ('one_off', 'setup')) = (kind = 'one_off')
    and (item = 'one_off') = (one_off_item_id is not null) and (item = 'one_off') = (price_id is null)),
  add constraint invoice_lines_one_off_item foreign key (tenant_id, one_off_item_id) references one_off_items (tenant_id, id);
create unique index invoice_lines_one_off_once on invoice_lines (tenant_id, one_off_item_id) where one_off_item_id is not null;

-- Discounts of a subscription. Appended, never changed: billing rates it. A later entry of the same id is the same discount with
-- another end; one that ends on its first day was removed before it counted.
create table subscription_discounts (
  tenant_id uuid not null references tenants (id),
  ordinal bigint not null,
  id uuid not null,
  description text not null constraint subscription_discounts_description_length check (char_length(description) between 1 and 200),
  percentage numeric(7, 4) constraint subscription_discounts_percentage_range check (percentage > 0 and percentage <= 100),
  -- Off each whole cycle.
  amount_minor bigint constraint subscription_discounts_amount_range check (amount_minor between 1 and 100000000000),
  currency text constraint subscription_discounts_currency_form check (currency ~ '^[A-Z]{3}$'),
  -- Null: of whatever has cycles.
  item text constraint subscription_discounts_item check (item in ('mailbox')),
  starts_on date not null,
  ends_on date constraint subscription_discounts_end check (ends_on >= starts_on),
  set_at timestamptz not null,
  constraint subscription_discounts_ordinal_once primary key (tenant_id, ordinal),
  constraint subscription_discounts_off check (num_nonnulls(percentage, amount_minor) = 1
    and (amount_minor is null) = (currency is null))
);
select protect_tenant_table('subscription_discounts');
revoke update, delete on subscription_discounts from pillarbox_tenant;
revoke insert, update, delete on subscription_discounts from pillarbox_system;
alter table billed_boundaries add column discounts_known bigint not null default 0;

-- What is off a rated line stands beside it as a line of its own, and all its parts say at which discount it was rated.
alter table invoice_lines
  add column discount_percentage numeric(7, 4) not null default 0
    constraint invoice_lines_discount_percentage_range check (discount_percentage between 0 and 100),
  add column discount_off numeric(20, 8) not null default 0
    constraint invoice_lines_discount_off_sign check (discount_off >= 0),
  drop constraint invoice_lines_kind,
  add constraint invoice_lines_kind check (kind in ('recurring', 'proration', 'credit', 'one_off', 'discount'));
