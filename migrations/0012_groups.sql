-- Groups, mailboxes that are nobody's own, delegates, and where mail goes that no address takes. Owned by crates/tenancy.

create table groups (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  display_name text not null,
  external_id text,
  version bigint not null default 1,
  created_at timestamptz not null,
  primary key (tenant_id, id)
);
create unique index groups_external_id_once on groups (tenant_id, external_id) where external_id is not null;
select protect_tenant_table('groups');

-- A member is a mailbox or another group of the tenant.
create table group_members (
  tenant_id uuid not null,
  group_id uuid not null,
  member_id uuid not null,
  mailbox_id uuid,
  member_group_id uuid,
  constraint group_members_once primary key (tenant_id, group_id, member_id),
  constraint group_members_group foreign key (tenant_id, group_id) references groups (tenant_id, id) on delete cascade,
  constraint group_members_mailbox foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id),
  constraint group_members_nested foreign key (tenant_id, member_group_id) references groups (tenant_id, id) on delete cascade,
  constraint group_members_one_kind check (num_nonnulls(mailbox_id, member_group_id) = 1 and member_id = coalesce(mailbox_id, member_group_id))
);
create index group_members_of on group_members (tenant_id, member_id);
select protect_tenant_table('group_members');

-- An address leads to a mailbox or to a group. The default of its id is for a server of the version before; it sorts before
-- the ids that are made in the order of time.
alter table addresses drop constraint addresses_once_a_mailbox;
alter table addresses
  add column id uuid not null default ('0180' || substr(gen_random_uuid()::text, 5))::uuid,
  add column group_id uuid,
  alter column mailbox_id drop not null,
  add constraint addresses_pkey primary key (tenant_id, id),
  add constraint addresses_once_a_mailbox unique (tenant_id, mailbox_id, domain_id, local_part),
  add constraint addresses_group foreign key (tenant_id, group_id) references groups (tenant_id, id) on delete cascade,
  add constraint addresses_one_target check (num_nonnulls(mailbox_id, group_id) = 1);
create index addresses_of_group on addresses (tenant_id, group_id) where group_id is not null;
-- For the foreign key, when a domain goes.
create index addresses_of_domain on addresses (tenant_id, domain_id);

alter table mailboxes
  -- Of one that is nobody's own; a personal one has its user's.
  add column display_name text,
  -- Of one that is nobody's own; a personal one goes with its user.
  add column deleted_at timestamptz;

alter table domains
  -- Whether ada+lists@ is ada@.
  add column plus_addressing boolean not null default true,
  -- Gets what no address of the domain takes.
  add column catch_all_mailbox_id uuid,
  add constraint domains_catch_all foreign key (tenant_id, catch_all_mailbox_id) references mailboxes (tenant_id, id);

-- Who else may use a mailbox, and how.
create table mailbox_delegates (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  user_id uuid not null,
  rights text[] not null constraint mailbox_delegates_rights check (rights <@ '{read,send_as,send_on_behalf}' and rights <> '{}'),
  created_at timestamptz not null,
  primary key (tenant_id, mailbox_id, user_id),
  foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id),
  constraint mailbox_delegates_user foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create index mailbox_delegates_of on mailbox_delegates (tenant_id, user_id);
select protect_tenant_table('mailbox_delegates');
