-- Where a tenant's days were counted before it moved to another time zone, the oldest first, and the last day that had begun in each: a cycle
-- keeps the calendar that it began in, whenever it is billed, and no day comes twice. Owned by crates/tenancy.
alter table tenants
  add column former_time_zones text[] not null default '{}',
  add column former_time_zones_until date[] not null default '{}',
  add constraint tenants_former_time_zones check (cardinality(former_time_zones) = cardinality(former_time_zones_until));
grant update (time_zone, former_time_zones, former_time_zones_until) on tenants to pillarbox_tenant;
