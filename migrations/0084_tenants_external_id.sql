-- The id that a tenant has in the system of whoever sells to it, who looks it up by that.
-- Owned by crates/tenancy.
alter table tenants
  add column external_id text,
  add constraint tenants_external_id_length check (char_length(external_id) between 1 and 200);
grant update (external_id) on tenants to pillarbox_tenant;
create index tenants_external_id on tenants (external_id) where external_id is not null;

-- Whose a domain is.
create index domains_name on domains (name);
