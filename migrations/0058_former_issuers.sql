-- What a former reseller of a tenant billed is corrected by that one's documents: at one boundary both may issue some. Owned by
-- crates/billing.
alter table invoices drop constraint invoices_boundary_once,
  add constraint invoices_boundary_once unique (tenant_id, boundary, revision, issuer_id);

-- It takes their numbers from its series, of which its drafts were all that were left.
alter policy tenant on number_series
  using (issuer_id = (select reseller_id from tenants where id = (select current_tenant()))
    or issuer_id in (select issuer_id from invoices where tenant_id = (select current_tenant())))
  with check (issuer_id = (select reseller_id from tenants where id = (select current_tenant()))
    or issuer_id in (select issuer_id from invoices where tenant_id = (select current_tenant())));
