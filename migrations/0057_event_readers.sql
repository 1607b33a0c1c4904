-- Who reads an event from above: the resellers that were above its trail when it happened, wherever the tenant is when it is chained. Null of what was chained
-- before this was kept. Owned by crates/tenancy.
alter table events add column readers uuid[];
update events e set readers = coalesce(
    (select t.reseller_path from tenants t where t.id = e.tenant_id),
    (select r.path from resellers r where r.id = e.reseller_id),
    '{}')
where e.position is null;

create function name_readers() returns trigger language plpgsql as $$
begin
  if new.tenant_id is not null then
    select reseller_path into new.readers from tenants where id = new.tenant_id;
  elsif new.reseller_id is not null then
    select path into new.readers from resellers where id = new.reseller_id;
  end if;
  new.readers = coalesce(new.readers, '{}');
  return new;
end $$;
create trigger events_readers before insert on events for each row execute function name_readers();

-- What a repeated request is answered with besides.
alter table idempotency_keys add column location text, add column etag text;
