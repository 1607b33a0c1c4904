-- Samples of storage: several at one instant, which a test clock makes of a whole day, and a mark of those that a billing knew.
-- Owned by crates/tenancy; the mark by crates/billing.

alter table storage_samples add column position bigint;
update storage_samples s set position = ordered.position
  from (select tenant_id, at, row_number() over (order by at, tenant_id) as position from storage_samples) ordered
  where s.tenant_id = ordered.tenant_id and s.at = ordered.at;
alter table storage_samples
  alter column position set not null,
  alter column position add generated always as identity;
select setval(pg_get_serial_sequence('storage_samples', 'position'), coalesce(max(position), 0) + 1, false) from storage_samples;
alter table storage_samples
  drop constraint storage_samples_once,
  add constraint storage_samples_once primary key (tenant_id, at, position);
-- Whoever moves a test clock says first what was stored until then.
grant insert on storage_samples to pillarbox_tenant;

-- The position of the last that was known, instead of their number: nobody has to count what they need not read.
alter table billed_boundaries add column storage_sample_known bigint;
update billed_boundaries b set storage_sample_known = (
  select s.position from storage_samples s where s.tenant_id = b.tenant_id
  order by s.at, s.position offset b.storage_samples_known - 1 limit 1)
  where b.storage_samples_known > 0;
alter table billed_boundaries drop column storage_samples_known;
