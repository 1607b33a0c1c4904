-- What is still to be sent, in the order that it is listed in: few rows beside those that are kept of what has left.
create index outgoing_messages_open on outgoing_messages (tenant_id, id) where closed_at is null;
create index outgoing_messages_open_in_order on outgoing_messages (id) where closed_at is null;
