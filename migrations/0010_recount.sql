-- What earlier steps meant to fill in: where they were made as the owner under forced row-level security, they changed no row.

update domains set verified_at = created_at where status = 'active' and verified_at is null;
update tenants set domains_used = (select count(*) from domains d where d.tenant_id = tenants.id);
update resellers set
  tenants_used = (select count(*) from tenants t where t.status <> 'deleted' and resellers.id = any (t.reseller_path)),
  domains_used = (select coalesce(sum(t.domains_used), 0) from tenants t where t.status <> 'deleted' and resellers.id = any (t.reseller_path));
