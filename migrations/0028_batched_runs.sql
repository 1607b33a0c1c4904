-- A run bills hundreds of tenants in one transaction, as the system.
grant insert on billed_boundaries, transfers to pillarbox_system;
grant update (days) on billing_coverage to pillarbox_system;
