-- Local parts in one form, as they are kept and looked up from now on: composed (RFC 6532 §3.1).

-- What one mailbox or group has in several spellings is one address: of these the composed one stays, else the oldest, and is primary if one of them was.
with spelled as (
  select tenant_id, id, is_primary, first_value(id) over (
      partition by tenant_id, domain_id, coalesce(mailbox_id, group_id), released_at is null, normalize(local_part)
      order by local_part is not normalized, id) as kept_id
  from addresses
), gone as (
  delete from addresses a using spelled s where s.tenant_id = a.tenant_id and s.id = a.id and s.kept_id <> a.id
  returning a.tenant_id, s.kept_id, a.is_primary
)
update addresses a set is_primary = true from gone
where gone.is_primary and a.tenant_id = gone.tenant_id and a.id = gone.kept_id;

-- Where that would be an address that is there, in use by another or given up by the same mailbox, it stays as it is and gets no mail any more: nothing
-- tells that the two are one person's. Of several, the oldest is composed. What would be no address when composed, too long or with a semicolon, stays too.
update addresses a set local_part = normalize(a.local_part)
where a.local_part is not normalized and octet_length(normalize(a.local_part)) <= 64 and position(';' in normalize(a.local_part)) = 0
  and not exists (
    select from addresses o
    where o.tenant_id = a.tenant_id and o.domain_id = a.domain_id and o.id <> a.id and normalize(o.local_part) = normalize(a.local_part)
      and (o.mailbox_id = a.mailbox_id or (o.released_at is null and a.released_at is null))
      and (o.local_part is normalized or o.id < a.id)
  );

-- Of several primary ones, which a version before should not have made, the oldest stays.
update addresses a set is_primary = false
where a.is_primary and a.released_at is null and exists (
    select from addresses o
    where o.tenant_id = a.tenant_id and coalesce(o.mailbox_id, o.group_id) = coalesce(a.mailbox_id, a.group_id)
      and o.is_primary and o.released_at is null and o.id < a.id
  );
alter table addresses
  -- Looked at when all is written: a server of the version before changes the old and the new one in any order.
  add constraint addresses_one_primary exclude (tenant_id with =, (coalesce(mailbox_id, group_id)) with =)
    where (is_primary and released_at is null) deferrable initially deferred;
