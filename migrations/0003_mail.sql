-- Bodies, folders, messages. Owned by crates/mailstore.

-- A body in the blob store. reserved: being uploaded; live: messages refer to it; gone: its object is being deleted,
-- nothing may refer to it again. An expired reservation, and a body without references, is garbage by definition.
create table blobs (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  size_bytes bigint not null,
  sha256 bytea not null,
  state text not null constraint blobs_state check (state in ('reserved', 'live', 'gone')),
  message_count integer not null default 0 constraint blobs_message_count_sign check (message_count >= 0),
  reserved_until timestamptz,
  created_at timestamptz not null,
  primary key (tenant_id, id)
);
create index blobs_reserved on blobs (reserved_until) where state = 'reserved';
create index blobs_unreferenced on blobs (tenant_id, id) where state = 'live' and message_count = 0;
create index blobs_gone on blobs (tenant_id, id) where state = 'gone';
select protect_tenant_table('blobs');

create table folders (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  id uuid not null,
  name text not null constraint folders_name_length check (char_length(name) between 1 and 255),
  -- RFC 6154 special use, or inbox.
  role text constraint folders_role check (role in ('inbox', 'drafts', 'sent', 'junk', 'trash', 'archive')),
  uid_validity bigint not null,
  uid_next bigint not null default 1,
  message_count bigint not null default 0 constraint folders_message_count_sign check (message_count >= 0),
  created_at timestamptz not null,
  primary key (tenant_id, mailbox_id, id),
  constraint folders_name_once unique (tenant_id, mailbox_id, name),
  foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id)
);
create unique index folders_role_once on folders (tenant_id, mailbox_id, role) where role is not null;
select protect_tenant_table('folders');

create table messages (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  id uuid not null,
  folder_id uuid not null,
  -- Identities are data: handed out once, stored, never computed from a position.
  uid bigint not null,
  uidl text not null,
  modseq bigint not null,
  blob_id uuid not null,
  size_bytes bigint not null,
  -- Octets of the CRLF form, as POP3 counts them.
  wire_size_bytes bigint not null,
  internal_date timestamptz not null,
  -- The parsed view: addresses, subject, date, ids, preview, attachments. See mailstore::parsed.
  parsed jsonb not null,
  state text not null default 'live' constraint messages_state check (state in ('live', 'recoverable')),
  discarded_at timestamptz,
  primary key (tenant_id, mailbox_id, id),
  constraint messages_uid_once unique (tenant_id, mailbox_id, folder_id, uid),
  constraint messages_uidl_once unique (tenant_id, mailbox_id, uidl),
  foreign key (tenant_id, mailbox_id, folder_id) references folders (tenant_id, mailbox_id, id),
  foreign key (tenant_id, blob_id) references blobs (tenant_id, id)
);
create index messages_recoverable on messages (discarded_at) where state = 'recoverable';
-- A listing costs its page: of a folder, and of a mailbox by state.
create index messages_by_folder on messages (tenant_id, mailbox_id, folder_id, state, id);
create index messages_by_state on messages (tenant_id, mailbox_id, state, id);
-- For the foreign key, when a body's row goes.
create index messages_blob on messages (tenant_id, blob_id);
select protect_tenant_table('messages');

-- What an import has taken in already: the hash of the CRLF form and which of its occurrences in that run, from 1.
create table imported_messages (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  sha256 bytea not null,
  occurrence integer not null,
  constraint imported_messages_once primary key (tenant_id, mailbox_id, sha256, occurrence),
  foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id)
);
select protect_tenant_table('imported_messages');

-- The exclusive access of a POP3 session (RFC 1939 §8), with a lease so that a dead phone blocks nobody for long.
create table mailbox_leases (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  holder uuid not null,
  expires_at timestamptz not null,
  primary key (tenant_id, mailbox_id),
  foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id)
);
select protect_tenant_table('mailbox_leases');
