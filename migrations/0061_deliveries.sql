-- Mail that was delivered is told to the webhook endpoints that ask for it: a delivery says either an event or a message. Owned by crates/tenancy.
alter table webhook_deliveries
  alter column event_id drop not null,
  -- Whose message it is, and what is said of it: ids, when it came and its size. No foreign key: its lock of the tenant, taken while mailboxes are
  -- locked, would wait for whoever locks the tenant first. A tenant that is destroyed takes these rows with it.
  add column tenant_id uuid,
  add column message jsonb,
  -- When it was asked to be sent again.
  add column replayed_at timestamptz,
  add constraint webhook_deliveries_one_subject
    check ((event_id is null) = (message is not null) and (message is null) = (tenant_id is null));
-- A tenant that is destroyed takes what was said of its mail with it; the rest of that goes when it is old.
create index webhook_deliveries_tenant on webhook_deliveries (tenant_id) where tenant_id is not null;
create index webhook_deliveries_old on webhook_deliveries (created_at) where tenant_id is not null;
-- Events are found without passing over the mail before them.
drop index webhook_deliveries_due;
create index webhook_deliveries_due_events on webhook_deliveries (endpoint_id, next_attempt_at, id) where status = 'pending' and event_id is not null;
create index webhook_deliveries_due_messages on webhook_deliveries (endpoint_id, next_attempt_at, id) where status = 'pending' and event_id is null;

-- Since when an endpoint is enabled and asks to be told of mail, of which it gets none from before; null: since it was made.
alter table webhook_endpoints add column asks_since timestamptz;

-- Mail is taken in by a transaction of its tenants. It sees which endpoints ask to be told, of those that get these tenants' events, without
-- where they are and by which secrets they are signed; and queues for them in the message's own commit.
create index webhook_endpoints_asking on webhook_endpoints (id) where status = 'enabled' and 'message.delivered' = any (kinds);
create policy several_tenants_select on webhook_endpoints for select to pillarbox_tenant
  using (status = 'enabled' and 'message.delivered' = any (kinds) and (
    tenant_id = any ((select current_tenants())::uuid[])
    or reseller_id = any (array(select unnest(reseller_path) from tenants where tenants.id = any ((select current_tenants())::uuid[])))
    or (tenant_id is null and reseller_id is null and (select current_tenants()) is not null)));
grant select (id, reseller_id, tenant_id, kinds, status) on webhook_endpoints to pillarbox_tenant;
select admit_several_tenants('webhook_deliveries', 'insert');
grant insert (id, endpoint_id, tenant_id, message, next_attempt_at, created_at) on webhook_deliveries to pillarbox_tenant;
