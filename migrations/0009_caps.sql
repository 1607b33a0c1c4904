-- Caps and pools at every level, thresholds of a mailbox, branding. Owned by crates/tenancy.

alter table resellers
  add column tenants_limit integer constraint resellers_tenants_limit_sign check (tenants_limit >= 0),
  add column tenants_used integer not null default 0 constraint resellers_tenants_used_sign check (tenants_used >= 0),
  add column domains_limit integer constraint resellers_domains_limit_sign check (domains_limit >= 0),
  add column domains_used integer not null default 0 constraint resellers_domains_used_sign check (domains_used >= 0),
  add column storage_limit_bytes bigint constraint resellers_storage_limit_sign check (storage_limit_bytes >= 0),
  -- Kept only while there is a limit: mailboxes of a pool without one lock no common row.
  add column used_bytes bigint not null default 0 constraint resellers_used_bytes_sign check (used_bytes >= 0),
  add column branding jsonb not null default '{}';
grant select (parent_id, path, tenants_limit, tenants_used, domains_limit, domains_used, storage_limit_bytes, used_bytes, branding),
  update (tenants_used, domains_used, used_bytes)
  on resellers to pillarbox_tenant;

alter table tenants
  add column domains_limit integer constraint tenants_domains_limit_sign check (domains_limit >= 0),
  add column domains_used integer not null default 0 constraint tenants_domains_used_sign check (domains_used >= 0),
  add column storage_limit_bytes bigint constraint tenants_storage_limit_sign check (storage_limit_bytes >= 0),
  -- As resellers.used_bytes.
  add column used_bytes bigint not null default 0 constraint tenants_used_bytes_sign check (used_bytes >= 0),
  -- Whether the quotas of the mailboxes may add up to more than the pool.
  add column allow_overallocation boolean not null default true,
  add column branding jsonb not null default '{}';
grant update (domains_limit, domains_used, storage_limit_bytes, used_bytes, allow_overallocation, branding) on tenants to pillarbox_tenant;
update tenants set domains_used = (select count(*) from domains d where d.tenant_id = tenants.id);
update resellers set
  tenants_used = (select count(*) from tenants t where t.status <> 'deleted' and resellers.id = any (t.reseller_path)),
  domains_used = (select coalesce(sum(t.domains_used), 0) from tenants t where t.status <> 'deleted' and resellers.id = any (t.reseller_path));
-- A pool, a cap and a feed ask for all below one reseller.
create index tenants_path on tenants using gin (reseller_path);

alter table mailboxes
  -- Bounds below the quota: one that warns (by default nine tenths of it), one that stops sending.
  add column warn_bytes bigint constraint mailboxes_warn_sign check (warn_bytes >= 0),
  add column block_send_bytes bigint constraint mailboxes_block_send_sign check (block_send_bytes >= 0);

-- A tenant that moved to another reseller goes on by the prices it agreed to.
drop policy tenant on price_books;
create policy tenant on price_books to pillarbox_tenant
  using (reseller_id = (select reseller_id from tenants where tenants.id = (select current_tenant()))
    or id in (select price_book_id from subscriptions where tenant_id = (select current_tenant())));
