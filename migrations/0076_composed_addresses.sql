-- Local parts in one form, as they are kept and looked up from now on: composed (RFC 6532 §3.1). Where that would be an address that is there, in use by
-- another or of the same mailbox, it stays as it is and gets no mail any more: nothing tells that the two are one person's. Of several, the oldest is composed.
update addresses a set local_part = normalize(a.local_part)
where a.local_part is not normalized and not exists (
    select from addresses o
    where o.tenant_id = a.tenant_id and o.domain_id = a.domain_id and o.id <> a.id and normalize(o.local_part) = normalize(a.local_part)
      and (o.mailbox_id = a.mailbox_id or (o.released_at is null and a.released_at is null))
      and (o.local_part is normalized or o.id < a.id)
  );
