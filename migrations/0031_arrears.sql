-- Collecting: what somebody gave back by hand, keys that their provider refuses, attempts that do not count. Owned by
-- crates/billing; what is taken from a tenant is crates/tenancy's.

-- What somebody gave back, and the last local day on which they did: a suspension that had fallen due by then does not take it again.
alter table tenants
  add column spared_capabilities text[] not null default '{}',
  add column spared_on date,
  add constraint tenants_spared check ((spared_capabilities = '{}') = (spared_on is null));
grant update (spared_capabilities, spared_on) on tenants to pillarbox_tenant;
-- Who was suspended in a course that goes on, and is so no more, was given it back by somebody, or by a policy that was changed: nobody
-- is suspended anew by this step.
update tenants t set spared_capabilities = p.suspend_capabilities, spared_on = (coalesce(t.test_clock, now()) at time zone t.time_zone)::date
  from dunning_policies p
  where p.reseller_id = t.reseller_id and p.suspend_capabilities <> '{}' and not p.suspend_capabilities <@ t.unpaid_capabilities
    and exists (select from dunning_courses c
      join dunning_steps s on s.tenant_id = c.tenant_id and s.course = c.ordinal
      where c.tenant_id = t.id and c.ended_at is null and s.step = 'suspend');

-- When the provider last refused the key; null: it has not since it was put, or has taken it since.
alter table payment_providers add column refused_at timestamptz;
-- A charge that was refused for the key's sake is none of an invoice's attempts.
grant update (autopay_ordinal, autopay_on) on payments to pillarbox_tenant;
