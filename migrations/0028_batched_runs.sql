-- A run bills hundreds of tenants in one transaction, as the system.
grant insert on billed_boundaries, transfers to pillarbox_system;
grant update (days) on billing_coverage to pillarbox_system;

-- As one expression, which no statement names: the planner took this index to look tenants up by, which is ten times as slow as the
-- primary key, and the more so the more tenants there are.
alter table billing_coverage drop constraint billing_coverage_once;
alter table billing_coverage add constraint billing_coverage_once
  exclude using gist ((tenant_id::text || ' ' || item || ' ' || kind) with =, days with &&);
