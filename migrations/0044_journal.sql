-- The journal: what each row is after each change, until that lies in the bucket, from which a lost database is made anew. Owned by
-- crates/recovery. Whoever changes a table writes it in the same transaction, by the triggers of that table.

create table journal (
  -- In the order of the changes of any one row, and of any two that a unique key keeps apart: the later one waits for the earlier.
  seq bigint generated always as identity primary key,
  -- Whose key it is kept under; null: the installation's.
  tenant_id uuid,
  at timestamptz not null default now(),
  relation text not null,
  is_deleted boolean not null,
  -- The row as it is then; of one that was deleted, its primary key.
  image json not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1);
alter table journal enable row level security;
alter table journal force row level security;
-- Only the owner of the triggers' functions has leave to insert; no tenant reads it.
create policy capture on journal for insert with check (true);
create policy system on journal to pillarbox_system using ((select acts_as_system()));
grant select, delete on journal to pillarbox_system;

-- Who puts the journal into the bucket, and how far that is. One row; none while a recovery is under way.
create table journal_head (
  is_only boolean primary key default true constraint journal_head_is_only check (is_only),
  -- The last that was given out. Each segment and each base has one, and a higher one than all before.
  number bigint not null default 0,
  -- The last whose changes are in the bucket and no longer here.
  shipped bigint not null default 0,
  held_by uuid,
  held_until timestamptz,
  base_held_until timestamptz,
  -- The newest base that is whole, when its state of the database was read, and the schema that it has.
  base_number bigint,
  based_at timestamptz,
  base_schema bigint
);
insert into journal_head default values;
alter table journal_head enable row level security;
alter table journal_head force row level security;
create policy system on journal_head to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update on journal_head to pillarbox_system;

-- Bases that are whole, by which old parts of the journal are let go.
create table journal_bases (
  number bigint primary key,
  taken_at timestamptz not null
);
alter table journal_bases enable row level security;
alter table journal_bases force row level security;
create policy system on journal_bases to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, delete on journal_bases to pillarbox_system;

create function journal_rows_of_tenant() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_op = 'DELETE' then
    insert into journal (tenant_id, relation, is_deleted, image)
      select tenant_id, tg_table_name, true,
        (select json_object_agg(key, value) from json_each(row_to_json(changed)) where key = any (tg_argv)) from changed;
  else
    insert into journal (tenant_id, relation, is_deleted, image)
      select tenant_id, tg_table_name, false, row_to_json(changed) from changed;
  end if;
  return null;
end $$;

create function journal_rows_of_installation() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_op = 'DELETE' then
    insert into journal (relation, is_deleted, image)
      select tg_table_name, true,
        (select json_object_agg(key, value) from json_each(row_to_json(changed)) where key = any (tg_argv)) from changed;
  else
    insert into journal (relation, is_deleted, image) select tg_table_name, false, row_to_json(changed) from changed;
  end if;
  return null;
end $$;

-- Has a table written down. `whose`: 'tenant' for what is kept under the key of the row's tenant and is gone with it, 'installation'
-- for what outlives the tenants it is about, or is no tenant's. The primary key of a row never changes.
create function journal_table(t regclass, whose text) returns void language plpgsql as $$
declare
  key text := (select string_agg(quote_literal(attname), ', ' order by attnum) from pg_index
    join pg_attribute on attrelid = indrelid and attnum = any (indkey) where indrelid = t and indisprimary);
begin
  execute format('create trigger journal_insert after insert on %s referencing new table as changed for each statement
    execute function journal_rows_of_%s()', t, whose);
  execute format('create trigger journal_update after update on %s referencing new table as changed for each statement
    execute function journal_rows_of_%s()', t, whose);
  execute format('create trigger journal_delete after delete on %s referencing old table as changed for each statement
    execute function journal_rows_of_%s(%s)', t, whose, key);
end $$;

do $$
declare
  t text;
begin
  foreach t in array array['addresses', 'api_keys', 'app_passwords', 'blobs', 'customer_profiles', 'domain_names', 'domains', 'folders', 'group_members',
    'groups', 'holds', 'imported_messages', 'mail_change_floors', 'mail_changes', 'mailbox_delegates', 'mailbox_leases', 'mailboxes',
    'messages', 'operations', 'pack_shares', 'payment_methods', 'refresh_tokens', 'support_accesses', 'tenant_keys', 'users', 'webhook_endpoints'] loop
    perform journal_table(t::regclass, 'tenant');
  end loop;
  foreach t in array array['billed_boundaries', 'billing_coverage', 'billing_runs', 'credit_note_references',
    'destruction_records', 'dispute_fees', 'disputes', 'dunning_courses', 'dunning_policies', 'dunning_steps', 'event_readers',
    'events', 'idempotency_keys', 'invoice_lines', 'invoice_taxes', 'invoices', 'issuer_profiles', 'jobs', 'mailbox_changes',
    'number_series', 'one_off_items', 'packs', 'payment_attempts', 'payment_providers', 'payments', 'price_books',
    'prices', 'refunds', 'reseller_customer_profiles', 'resellers', 'seat_changes', 'seat_commitments', 'sign_in_failures',
    'sign_in_networks', 'signing_keys', 'storage_samples', 'subscription_discounts', 'subscription_terms', 'subscriptions',
    'tax_rates', 'tenant_placements', 'tenant_standings', 'tenants', 'transfers', 'unbilled_documents', 'webhook_deliveries',
    'wholesale_agreements', 'wholesale_boundaries', 'wholesale_boundary_tenants', 'wholesale_coverage',
    'wholesale_credit_note_references', 'wholesale_invoice_lines', 'wholesale_invoice_taxes', 'wholesale_invoices',
    'wholesale_payments', 'wholesale_refunds', 'wholesale_terms', 'wholesale_transfers'] loop
    perform journal_table(t::regclass, 'installation');
  end loop;
  -- So that the journal says where in it the schema changed. Absent only where the files are applied by hand.
  if to_regclass('_sqlx_migrations') is not null then
    perform journal_table('_sqlx_migrations', 'installation');
    grant select on _sqlx_migrations to pillarbox_system;
  end if;
end $$;

-- The installation has a key too, as the tenant nil: for what is no tenant's. And keys are the server's business alone.
alter table tenant_keys drop constraint tenant_keys_tenant_id_fkey;
drop policy tenant on tenant_keys;
revoke all on tenant_keys from pillarbox_tenant;
