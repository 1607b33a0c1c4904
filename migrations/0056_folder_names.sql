-- Folders' names in one form, as they are kept from now on: composed (RFC 9051 §5.1). Where that would be the name of another that is there, in the same
-- place, the folder's id follows it.
update folders f set name = case
    when f.deleted_at is null and exists (
      select from folders o
      where o.tenant_id = f.tenant_id and o.mailbox_id = f.mailbox_id and o.parent_id is not distinct from f.parent_id and o.id <> f.id
        and o.deleted_at is null and normalize(o.name) = normalize(f.name)
    ) then left(normalize(f.name), 200) || ' (' || f.id || ')'
    else left(normalize(f.name), 255)
  end
where f.name is not normalized;
