-- Legal holds: what they cover is not destroyed, however long ago it was deleted. Owned by crates/tenancy.

create table holds (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  -- Null covers every mailbox of the tenant, also those that come. The mailbox may be gone when the hold is over.
  mailbox_id uuid,
  reason text not null constraint holds_reason_length check (char_length(reason) between 1 and 500),
  created_at timestamptz not null,
  released_at timestamptz,
  primary key (tenant_id, id)
);
create index holds_in_force on holds (tenant_id) where released_at is null;
select protect_tenant_table('holds');
-- What was held, and why, is not rewritten.
revoke update, delete on holds from pillarbox_tenant;
grant update (released_at) on holds to pillarbox_tenant;

-- Whether a mailbox's mail is on hold.
create function is_on_hold(tenant uuid, mailbox uuid) returns boolean language sql stable
  as $$ select exists (select from holds where tenant_id = tenant and released_at is null and (mailbox_id is null or mailbox_id = mailbox)) $$;
