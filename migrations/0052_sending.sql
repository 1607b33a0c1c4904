-- To how many recipients is written in an hour and in a day. Owned by crates/submission, as are the defaults that hold without a row.
create table mailbox_sending_limits (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  per_hour integer constraint mailbox_sending_limits_hour check (per_hour >= 0),
  per_day integer constraint mailbox_sending_limits_day check (per_day >= 0),
  updated_at timestamptz not null,
  version bigint not null,
  constraint mailbox_sending_limits_once primary key (tenant_id, mailbox_id),
  constraint mailbox_sending_limits_mailbox foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id) on delete cascade
);
select protect_tenant_table('mailbox_sending_limits');
select journal_table('mailbox_sending_limits', 'tenant');

create table tenant_sending_limits (
  tenant_id uuid primary key references tenants (id),
  per_hour integer constraint tenant_sending_limits_hour check (per_hour >= 0),
  per_day integer constraint tenant_sending_limits_day check (per_day >= 0),
  updated_at timestamptz not null,
  version bigint not null
);
select protect_tenant_table('tenant_sending_limits');
select journal_table('tenant_sending_limits', 'tenant');

create table reseller_sending_limits (
  reseller_id uuid primary key references resellers (id),
  per_hour integer constraint reseller_sending_limits_hour check (per_hour >= 0),
  per_day integer constraint reseller_sending_limits_day check (per_day >= 0),
  updated_at timestamptz not null,
  version bigint not null
);
select journal_table('reseller_sending_limits', 'installation');

-- What was counted, by slots of ten minutes, the newest first; it begins at counted_at. Not in the journal: after a disaster counting begins anew.
create table mailbox_sending (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  counted_at timestamptz not null,
  slots integer[] not null,
  constraint mailbox_sending_once primary key (tenant_id, mailbox_id),
  constraint mailbox_sending_mailbox foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id) on delete cascade
);
select protect_tenant_table('mailbox_sending');

create table tenant_sending (
  tenant_id uuid primary key references tenants (id),
  counted_at timestamptz not null,
  slots integer[] not null
);
select protect_tenant_table('tenant_sending');

-- Only of resellers that have a limit.
create table reseller_sending (
  reseller_id uuid primary key references resellers (id),
  counted_at timestamptz not null,
  slots integer[] not null
);

-- A tenant's transaction counts what it sends at the resellers above it, and sees nothing else of them.
create function protect_reseller_table(t regclass) returns void language plpgsql as $$
begin
  execute format('alter table %s enable row level security', t);
  execute format('alter table %s force row level security', t);
  execute format('create policy tenant on %s to pillarbox_tenant
    using (reseller_id = any (array(select unnest(reseller_path) from tenants where tenants.id = (select current_tenant()))))', t);
  execute format('create policy system on %s to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()))', t);
  execute format('grant select, insert, update, delete on %s to pillarbox_system', t);
end $$;
select protect_reseller_table('reseller_sending_limits');
select protect_reseller_table('reseller_sending');
drop function protect_reseller_table(regclass);
grant select on reseller_sending_limits to pillarbox_tenant;
grant select, insert, update on reseller_sending to pillarbox_tenant;

-- The queue of all tenants is listed in this order.
create index outgoing_messages_in_order on outgoing_messages (id);
