-- A folder may take over the UIDs that an import's messages had elsewhere, with the UID validity that they had there. From this UID on they are free:
-- those below are in the list that the import has, and go to its messages alone, since a client may know others by them. 1 where none were taken over.
-- Owned by crates/mailstore.
alter table folders add column uid_reserved bigint not null default 1 constraint folders_uid_reserved_sign check (uid_reserved > 0);

-- A message that is taken in may bring its name by POP3 along, which no other of its mailbox is to have.
select admit_several_tenants('messages', 'select');
