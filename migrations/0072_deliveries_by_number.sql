-- Whether an endpoint is told of mail that was queued, and whether an attempt's outcome still counts, is decided by numbers in rows, since the clocks of
-- several servers differ. Owned by crates/tenancy.

-- At once, though those who take mail in or note an outcome use them in this order, and those who queue events, claim or give up in the other. Whoever
-- has the one and waits for the other gets it: this step lets go of both long before a server looks whether it waits for one that waits for it.
do $$ begin
  set local lock_timeout = '200ms';
  loop
    begin
      lock table webhook_endpoints, webhook_deliveries in access exclusive mode;
      exit;
    exception when lock_not_available then
      perform pg_sleep(0.05);
    end;
  end loop;
  set local lock_timeout to default;
end $$;

-- Raised when an endpoint begins to be told of mail: it is enabled, or comes to ask. It gets what carries the present number.
alter table webhook_endpoints add column mail_generation bigint not null default 1;
alter table webhook_deliveries
  -- Of word of a message: the endpoint's number when it was queued, or asked to be sent again.
  add column mail_generation bigint not null default 1,
  -- How often it was asked to be sent again. Attempts are counted anew each time; both numbers together name one.
  add column replays integer not null default 0;
update webhook_deliveries d set mail_generation = 0 from webhook_endpoints w
  where w.id = d.endpoint_id and d.status = 'pending' and d.event_id is null and coalesce(d.replayed_at, d.created_at) < w.asks_since;
alter table webhook_endpoints drop column asks_since;

drop index webhook_deliveries_due_messages;
create index webhook_deliveries_due_messages on webhook_deliveries (endpoint_id, mail_generation, next_attempt_at, id)
  where status = 'pending' and event_id is null;

grant select (mail_generation) on webhook_endpoints to pillarbox_tenant;
grant insert (mail_generation) on webhook_deliveries to pillarbox_tenant;
