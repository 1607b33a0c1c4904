-- A cap on the mailboxes that are nobody's own of all tenants below a reseller, and how many there are. Owned by crates/tenancy.
alter table resellers
  add column shared_mailboxes_limit integer constraint resellers_shared_mailboxes_limit_sign check (shared_mailboxes_limit >= 0),
  add column shared_mailboxes_used integer not null default 0 constraint resellers_shared_mailboxes_used_sign check (shared_mailboxes_used >= 0);
grant select (shared_mailboxes_limit, shared_mailboxes_used), update (shared_mailboxes_used) on resellers to pillarbox_tenant;
update resellers set shared_mailboxes_used = below.shared_mailboxes from (
  select above.id, sum(t.shared_mailboxes_used) as shared_mailboxes from tenants t cross join lateral unnest(t.reseller_path) as above (id)
  where t.status <> 'deleted' and t.shared_mailboxes_used > 0 group by above.id) below
  where below.id = resellers.id;
