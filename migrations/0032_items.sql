-- What is sold beside seats: mailboxes that are nobody's own, and stored bytes.

-- Mailboxes that are nobody's own, made and deleted: appended in the transaction that does it; billing rates it. Owned by crates/tenancy.
create table mailbox_changes (
  tenant_id uuid not null,
  -- The order of changes at one instant, which a test clock makes of a whole day.
  position bigint generated always as identity,
  at timestamptz not null,
  kind text not null constraint mailbox_changes_kind check (kind in ('shared', 'room', 'equipment', 'archive')),
  delta integer not null constraint mailbox_changes_delta check (delta in (-1, 1)),
  mailbox_id uuid not null,
  primary key (tenant_id, position)
);
insert into mailbox_changes (tenant_id, at, kind, delta, mailbox_id)
  select tenant_id, at, kind, delta, id from (
    select tenant_id, created_at as at, kind, 1 as delta, id from mailboxes where kind <> 'personal'
    union all
    select tenant_id, greatest(deleted_at, created_at), kind, -1, id from mailboxes where kind <> 'personal' and deleted_at is not null) made
  order by tenant_id, at, id, delta desc;
select protect_tenant_table('mailbox_changes');
revoke update, delete on mailbox_changes from pillarbox_tenant;
revoke insert, update, delete on mailbox_changes from pillarbox_system;

alter table prices
  drop constraint prices_item,
  add constraint prices_item check (item in ('mailbox', 'shared_mailbox', 'archive', 'storage')),
  -- Of storage: what each seat that is charged may store for nothing.
  add column included_bytes bigint constraint prices_included_bytes_range check (included_bytes between 0 and 1125899906842624),
  add constraint prices_storage check ((item = 'storage') = (included_bytes is not null)),
  add constraint prices_beside_seats check (item = 'mailbox' or setup_price is null),
  -- Bytes are gone when they are: nothing is held of them.
  add constraint prices_storage_removal check (item <> 'storage' or (removal_policy = 'credit_to_balance' and suspension_policy = 'continue'));

alter table subscription_discounts
  drop constraint subscription_discounts_item,
  add constraint subscription_discounts_item check (item in ('mailbox', 'shared_mailbox', 'archive', 'storage'));

alter table billed_boundaries
  add column mailbox_changes_known bigint not null default 0,
  add column storage_samples_known bigint not null default 0;

alter table invoice_lines
  drop constraint invoice_lines_kind,
  add constraint invoice_lines_kind check (kind in ('recurring', 'usage', 'proration', 'credit', 'one_off', 'discount'));
