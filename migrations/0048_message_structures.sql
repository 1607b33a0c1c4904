-- What IMAP tells of a message without its body: its envelope, and the structure of its parts. Owned by crates/mailstore. It follows from
-- the body, so it is in no journal: whoever finds none, or one of another version, reads the body and puts it here.
create table message_structures (
  tenant_id uuid not null,
  blob_id uuid not null,
  -- Of the reader that made it.
  version smallint not null,
  -- As `mailstore::structure` writes it.
  structure text not null,
  constraint message_structures_once primary key (tenant_id, blob_id),
  constraint message_structures_blob foreign key (tenant_id, blob_id) references blobs (tenant_id, id) on delete cascade
);
select protect_tenant_table('message_structures');
select admit_several_tenants('message_structures', 'insert');

-- The keywords of a folder are told when it is opened; few messages have any.
create index messages_with_keywords on messages (tenant_id, mailbox_id, folder_id) where keywords <> '{}' and state = 'live';
