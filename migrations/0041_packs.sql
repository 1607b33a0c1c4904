-- Bodies lie in packs, several in one object; mail of many tenants is committed together. Owned by crates/mailstore.

do $$
begin
  -- No released version has stored mail otherwise. What one in between stored could not be read any more.
  if exists (select from blobs) then
    raise exception 'bodies that are objects of their own cannot be read by this version';
  end if;
end $$;

-- The tenants of this transaction, where it is for several who were each proven, or null.
create function current_tenants() returns uuid[] language sql stable parallel safe
  as $$ select nullif(current_setting('app.tenant_ids', true), '')::uuid[] $$;

-- Lets a transaction for several tenants do certain things with their rows of a table.
create function admit_several_tenants(t regclass, variadic commands text[]) returns void language plpgsql as $$
declare
  command text;
  -- The subselect is evaluated once a statement, a bare call once a row.
  theirs constant text := '(tenant_id = any ((select current_tenants())::uuid[]))';
begin
  foreach command in array commands loop
    execute format('create policy several_tenants_%s on %s for %s to pillarbox_tenant %s', command, t, command,
      case command when 'insert' then 'with check ' || theirs else 'using ' || theirs end);
  end loop;
end $$;

-- An object with bodies of any tenants, or of one. reserved: being uploaded; live: committed, bodies may refer to it; draining: no body refers to
-- it any more, but who has looked one up may still be reading it; gone: its object is being deleted. An expired reservation, and a live
-- pack without shares, is garbage by definition.
create table packs (
  id uuid primary key,
  -- Whose all of it is, if it lies with what else is theirs.
  tenant_id uuid,
  state text not null constraint packs_state check (state in ('reserved', 'live', 'draining', 'gone')),
  reserved_until timestamptz,
  -- How many bytes its entries have, live or not.
  entry_bytes bigint not null default 0,
  -- Since when not all of them are live.
  dead_since timestamptz,
  drained_at timestamptz,
  created_at timestamptz not null,
  constraint packs_reserved_whole check ((state = 'reserved') = (reserved_until is not null)),
  constraint packs_drained_whole check ((state = 'draining') <= (drained_at is not null))
);
-- What compaction has to look at: packs that are nobody's own, by age, and those that have something dead in them.
create index packs_shared on packs (created_at) where state = 'live' and tenant_id is null;
create index packs_dead on packs (dead_since) where state = 'live' and tenant_id is not null and dead_since is not null;
create index packs_draining on packs (drained_at) where state = 'draining';
create index packs_reserved on packs (reserved_until) where state = 'reserved';
create index packs_gone on packs (id) where state = 'gone';
alter table packs enable row level security;
alter table packs force row level security;
-- A pack is nobody's: whoever commits bodies makes the one that they lie in live.
create policy several_tenants_select on packs for select to pillarbox_tenant
  using ((select current_tenants()) is not null and (tenant_id is null or tenant_id = any ((select current_tenants())::uuid[])));
create policy several_tenants_insert on packs for insert to pillarbox_tenant
  with check (state = 'reserved' and (select current_tenants()) is not null and (tenant_id is null or tenant_id = any ((select current_tenants())::uuid[])));
create policy several_tenants_update on packs for update to pillarbox_tenant
  using (state in ('reserved', 'live') and (select current_tenants()) is not null and (tenant_id is null or tenant_id = any ((select current_tenants())::uuid[])))
  with check (state = 'live');
create policy system on packs to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update (state, reserved_until, entry_bytes, dead_since) on packs to pillarbox_tenant;
grant select, insert, update, delete on packs to pillarbox_system;

-- How many bytes of a pack a tenant's bodies take.
create table pack_shares (
  tenant_id uuid not null,
  pack_id uuid not null constraint pack_shares_pack references packs (id),
  live_bytes bigint not null constraint pack_shares_live_bytes_sign check (live_bytes >= 0),
  constraint pack_shares_once primary key (tenant_id, pack_id)
);
create index pack_shares_pack on pack_shares (pack_id);
select protect_tenant_table('pack_shares');
select admit_several_tenants('pack_shares', 'select', 'insert', 'update');

-- A body: where it lies, and under which generation of its tenant's key.
drop index blobs_reserved, blobs_unreferenced, blobs_gone;
alter table blobs
  drop column state,
  drop column reserved_until,
  add column pack_id uuid not null,
  add column pack_is_own boolean not null,
  add column pack_index integer not null constraint blobs_pack_index_sign check (pack_index >= 0),
  add column pack_offset bigint not null constraint blobs_pack_offset_sign check (pack_offset >= 0),
  add column stored_bytes integer not null constraint blobs_stored_bytes_sign check (stored_bytes > 0),
  add column key_generation integer not null constraint blobs_key_generation_sign check (key_generation >= 1),
  add constraint blobs_share foreign key (tenant_id, pack_id) references pack_shares (tenant_id, pack_id);
create index blobs_unreferenced on blobs (tenant_id, id) where message_count = 0;
create index blobs_by_pack on blobs (tenant_id, pack_id);
select admit_several_tenants('blobs', 'insert');

select admit_several_tenants('mailboxes', 'select', 'update');
select admit_several_tenants('folders', 'select', 'insert', 'update');
select admit_several_tenants('messages', 'insert');
select admit_several_tenants('imported_messages', 'select', 'insert');
select admit_several_tenants('events', 'insert');
create policy several_tenants_select on tenants for select to pillarbox_tenant using (id = any ((select current_tenants())::uuid[]));
create policy several_tenants_update on tenants for update to pillarbox_tenant using (id = any ((select current_tenants())::uuid[]));
create policy several_tenants_select on resellers for select to pillarbox_tenant
  using (id = any (array(select unnest(reseller_path) from tenants where tenants.id = any ((select current_tenants())::uuid[]))));
create policy several_tenants_update on resellers for update to pillarbox_tenant
  using (id = any (array(select unnest(reseller_path) from tenants where tenants.id = any ((select current_tenants())::uuid[]))));
