-- What is still to be sent, in the order that it is listed in: few rows beside those that are kept of what has left.
create index outgoing_messages_open on outgoing_messages (tenant_id, id) where closed_at is null;
create index outgoing_messages_open_in_order on outgoing_messages (id) where closed_at is null;

-- Since when records of a pair that signs are not published any more; told when it begins and ends.
alter table dkim_keys add column unpublished_since timestamptz,
  add constraint dkim_keys_unpublished check (unpublished_since is null or state <> 'pending');

-- When it was last told that a limit is reached.
alter table mailbox_sending add column limited_at timestamptz;
alter table tenant_sending add column limited_at timestamptz;
alter table reseller_sending add column limited_at timestamptz;
