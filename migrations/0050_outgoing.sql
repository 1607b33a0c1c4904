-- Mail that leaves. Bodies that wait for it are owned by crates/mailstore, the queue by crates/submission.

-- A tenant's own pack can be committed by a transaction that is for that tenant alone.
create policy own_select on packs for select to pillarbox_tenant using (tenant_id = (select current_tenant()));
create policy own_insert on packs for insert to pillarbox_tenant with check (state = 'reserved' and tenant_id = (select current_tenant()));
create policy own_update on packs for update to pillarbox_tenant
  using (state in ('reserved', 'live') and tenant_id = (select current_tenant()))
  with check (state = 'live' and tenant_id = (select current_tenant()));

-- A body that is no message's, kept for as long as something else needs it. Counted in blobs.message_count as a message is.
create table parcels (
  tenant_id uuid not null,
  blob_id uuid not null,
  -- Whose it is: it goes with the mailbox.
  mailbox_id uuid not null,
  constraint parcels_once primary key (tenant_id, blob_id),
  constraint parcels_blob foreign key (tenant_id, blob_id) references blobs (tenant_id, id),
  -- What uses parcels is locked before them, and goes with the mailbox first.
  constraint parcels_mailbox foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id) deferrable initially deferred
);
create index parcels_by_mailbox on parcels (tenant_id, mailbox_id);
select protect_tenant_table('parcels');
select journal_table('parcels', 'tenant');

-- A message that was accepted for others.
create table outgoing_messages (
  tenant_id uuid not null,
  id uuid not null,
  -- The mailbox that sent it, or that a notification of ours is for.
  mailbox_id uuid not null,
  -- Who sent it; null for a notification of ours.
  user_id uuid,
  -- The reverse path; empty for none (RFC 5321 §4.5.5).
  sender text not null,
  message_id text not null,
  -- Null once nobody can be sent it any more.
  blob_id uuid,
  size_bytes bigint not null,
  -- What a server has to offer to take it (RFC 6152, RFC 6531): octets beyond ASCII in it, and in its header.
  is_8bit boolean not null,
  is_utf8 boolean not null,
  -- As the client asked for notifications (RFC 3461 §4.3, §4.4).
  envelope_id text,
  returned text constraint outgoing_messages_returned check (returned in ('full', 'headers')),
  -- Since when nothing of it is sent, because somebody said so.
  held_at timestamptz,
  hold_reason text,
  request_id uuid not null,
  created_at timestamptz not null,
  -- When what has not gone is given up.
  give_up_at timestamptz not null,
  -- Since when nobody is left to be sent it.
  closed_at timestamptz,
  version bigint not null default 1,
  constraint outgoing_messages_once primary key (tenant_id, id),
  constraint outgoing_messages_mailbox foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id) on delete cascade,
  constraint outgoing_messages_parcel foreign key (tenant_id, blob_id) references parcels (tenant_id, blob_id) on delete set null (blob_id),
  constraint outgoing_messages_hold_whole check ((held_at is null) = (hold_reason is null))
);
create index outgoing_messages_by_mailbox on outgoing_messages (tenant_id, mailbox_id, id);
create index outgoing_messages_sending on outgoing_messages (tenant_id, mailbox_id) include (size_bytes) where blob_id is not null;
create index outgoing_messages_parcel on outgoing_messages (tenant_id, blob_id);
create index outgoing_messages_kept on outgoing_messages (closed_at) where closed_at is not null and blob_id is not null;
create index outgoing_messages_closed on outgoing_messages (closed_at) where closed_at is not null and blob_id is null;
select protect_tenant_table('outgoing_messages');
select journal_table('outgoing_messages', 'tenant');

-- One of those it is for. Under way: queued, and leased for some time yet.
create table outgoing_recipients (
  tenant_id uuid not null,
  outgoing_id uuid not null,
  ordinal integer not null,
  address text not null,
  -- The domain of the address; empty while it leads to a mailbox of this installation.
  destination text not null,
  -- As the client asked for notifications (RFC 3461 §4.1, §4.2); null for the default.
  notify text[] constraint outgoing_recipients_notify check (notify <@ '{never,success,failure,delay}'),
  original text,
  state text not null default 'queued' constraint outgoing_recipients_state check (state in ('queued', 'delivered', 'failed', 'dropped')),
  attempts integer not null default 0,
  -- While it is leased, when the lease ends.
  next_attempt_at timestamptz,
  leased_until timestamptz,
  lease_id uuid,
  -- What the last attempt came to.
  attempted_at timestamptz,
  reply_code integer,
  reply_status text,
  reply_text text,
  remote text,
  -- When its sender was told that it takes long.
  delay_told_at timestamptz,
  constraint outgoing_recipients_once primary key (tenant_id, outgoing_id, ordinal),
  constraint outgoing_recipients_message foreign key (tenant_id, outgoing_id) references outgoing_messages (tenant_id, id) on delete cascade,
  constraint outgoing_recipients_due check ((state = 'queued') = (next_attempt_at is not null)),
  constraint outgoing_recipients_lease_whole check ((leased_until is null) = (lease_id is null))
);
create index outgoing_recipients_due on outgoing_recipients (destination, next_attempt_at) where state = 'queued';
create index outgoing_recipients_leased on outgoing_recipients (destination, leased_until) where leased_until is not null;
select protect_tenant_table('outgoing_recipients');
select journal_table('outgoing_recipients', 'tenant');
