-- Tenants' data keys, wrapped by a key-encryption key that is not in the database. Owned by crates/mailstore.
--
-- One row is one key, so two processes never make two of one generation. What a row holds is kept as an object under its id, too, from
-- which it can be had without a database; a key seals only once stored_at says that the object is there. Wrapping anew changes
-- id, kek and wrapped and leaves the former object's id until that is deleted.
create table tenant_keys (
  tenant_id uuid not null references tenants (id),
  generation integer not null constraint tenant_keys_generation_sign check (generation >= 1),
  id uuid not null constraint tenant_keys_id_once unique,
  kek text not null,
  wrapped bytea not null,
  stored_at timestamptz,
  former_id uuid,
  created_at timestamptz not null,
  constraint tenant_keys_once primary key (tenant_id, generation)
);
-- What a change of the key-encryption key, or an interruption of it, has left to do.
create index tenant_keys_unsettled on tenant_keys (tenant_id, generation) where stored_at is null or former_id is not null;
create index tenant_keys_by_kek on tenant_keys (kek, tenant_id, generation);
select protect_tenant_table('tenant_keys');
-- A tenant's own transaction makes keys; what becomes of them is the server's business.
revoke update, delete on tenant_keys from pillarbox_tenant;
