-- A tenant that was deleted is so until it is restored: nothing else gives it another status. Owned by crates/tenancy.

-- One whose suspension or resumption had waited for its deletion came to stand otherwise, though nothing counted it any more and its domains were free.
-- It is deleted anew, and can be restored for 30 days from now on.
with half as (
  update tenants set status = 'deleted', deleted_at = coalesce(test_clock, now()), version = version + 1
  where deleted_at is not null and status <> 'deleted'
  returning id, deleted_at, time_zone)
insert into tenant_standings (tenant_id, ordinal, at, day, standing)
  select half.id, coalesce(last.ordinal, 0) + 1, half.deleted_at,
    greatest((half.deleted_at at time zone half.time_zone)::date, last.day), 'deleted'
  from half left join lateral (
    select ordinal, day, standing from tenant_standings where tenant_id = half.id order by ordinal desc limit 1) last on true
  where coalesce(last.standing, 'active') <> 'deleted';

-- Not the other way round: those of before the time was noted have none.
alter table tenants add constraint tenants_deleted check (deleted_at is null or status = 'deleted');
