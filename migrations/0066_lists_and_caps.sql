-- Of a tenant's many users, those who stand otherwise than most, or have another role, are listed without passing over the rest. Owned by
-- crates/tenancy.
create index users_standing on users (tenant_id, status, id) where status <> 'active';
create index users_role on users (tenant_id, role, id) where role <> 'user';

-- How many mailboxes that are nobody's own a tenant may have, archives not counted; null is unlimited. No counter of its own: they are few, and
-- whoever makes one holds the tenant's row and counts them.
alter table tenants add column shared_mailboxes_limit integer constraint tenants_shared_mailboxes_limit_sign check (shared_mailboxes_limit >= 0);
grant update (shared_mailboxes_limit) on tenants to pillarbox_tenant;
create index mailboxes_shared on mailboxes (tenant_id) where status = 'active' and kind in ('shared', 'room', 'equipment');
