-- The two roles that every statement of the application runs as, and the rule that protects a tenant's table.
-- The login role owns the schema and is no superuser; it reads nothing until a transaction has taken one of them.

do $$
declare taking text;
begin
  -- Roles belong to the cluster: another database's migration may be making them at this moment. Whoever may not make any is refused before it is
  -- looked whether they are there.
  if not exists (select from pg_roles where rolname = 'pillarbox_tenant') then
    begin create role pillarbox_tenant nologin; exception when duplicate_object or unique_violation then null; end;
  end if;
  if not exists (select from pg_roles where rolname = 'pillarbox_system') then
    begin create role pillarbox_system nologin; exception when duplicate_object or unique_violation then null; end;
  end if;
  -- From PostgreSQL 16 on, making a role makes one a member who may not yet take it.
  taking := case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end;
  if not pg_has_role(current_user, 'pillarbox_tenant', taking) or not pg_has_role(current_user, 'pillarbox_system', taking) then
    execute format('grant pillarbox_tenant, pillarbox_system to %I', current_user);
  end if;
end $$;

-- The tenant of this transaction, or null. A reused connection reads '' after a transaction-local setting ended.
create function current_tenant() returns uuid language sql stable parallel safe
  as $$ select nullif(current_setting('app.tenant_id', true), '')::uuid $$;

-- Whether this transaction has taken the system role. A policy applies to all who inherit from the role it names, the
-- login role among them; so the policies of the system role ask besides whether it was really taken.
create function acts_as_system() returns boolean language sql stable parallel safe
  as $$ select current_user = 'pillarbox_system' $$;

-- Forces row-level security on a table that has a tenant_id, and lets the two roles at it.
create function protect_tenant_table(t regclass) returns void language plpgsql as $$
begin
  execute format('alter table %s enable row level security', t);
  execute format('alter table %s force row level security', t);
  -- The subselect is evaluated once a statement, a bare call once a row.
  execute format('create policy tenant on %s to pillarbox_tenant using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()))', t);
  execute format('create policy system on %s to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()))', t);
  execute format('grant select, insert, update, delete on %s to pillarbox_tenant, pillarbox_system', t);
end $$;
