-- How many mailboxes that are nobody's own a tenant has, archives not counted: kept as seats are, so that they go with it to another reseller. Of
-- tenants alone, since of those who lock tenants and resellers some do in the one order and some in the other. Owned by crates/tenancy.
alter table tenants
  add column shared_mailboxes_used integer not null default 0 constraint tenants_shared_mailboxes_used_sign check (shared_mailboxes_used >= 0);
grant update (shared_mailboxes_used) on tenants to pillarbox_tenant;
update tenants set shared_mailboxes_used = has.shared_mailboxes from (
  select tenant_id, count(*) as shared_mailboxes from mailboxes
  where status = 'active' and kind in ('shared', 'room', 'equipment') group by tenant_id) has
  where has.tenant_id = tenants.id;
