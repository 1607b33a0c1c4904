-- Of a tenant's many users, those who stand otherwise than most, or have another role, are listed without passing over the rest. Owned by
-- crates/tenancy.
create index users_standing on users (tenant_id, status, id) where status <> 'active';
create index users_role on users (tenant_id, role, id) where role <> 'user';
