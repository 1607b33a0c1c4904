-- Of folders that were deleted before `mailboxes.uid_validity_floor` was there. A step of its own, so that no table is locked while it reads all folders;
-- rows are locked in the order in which those who take mail in do so. Owned by crates/mailstore.
with gone as materialized (
  select tenant_id, mailbox_id, max(uid_validity) as highest from folders where deleted_at is not null and uid_next > 1
  group by tenant_id, mailbox_id
), locked as materialized (
  select mailboxes.tenant_id, mailboxes.id, gone.highest
  from mailboxes join gone on gone.tenant_id = mailboxes.tenant_id and gone.mailbox_id = mailboxes.id
  order by mailboxes.id for no key update of mailboxes
)
update mailboxes set uid_validity_floor = greatest(mailboxes.uid_validity_floor, locked.highest) from locked
  where mailboxes.tenant_id = locked.tenant_id and mailboxes.id = locked.id;
