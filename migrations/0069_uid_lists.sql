-- All at once, in the order in which writers take them: a server of before that had one and waited for another would have this step undone.
lock table mailboxes, folders, messages in access exclusive mode;

-- A folder may take over the UIDs that an import's messages had elsewhere, with the UID validity that they had there. From this UID on they are free:
-- those below are in the list that the import has, or may have been given out there since, and go to the list's messages alone, since a client may know
-- others by them. 1 where none were taken over. Owned by crates/mailstore.
alter table folders add column uid_reserved bigint not null default 1 constraint folders_uid_reserved_sign check (uid_reserved > 0);

-- The highest UID validity under which a folder gave out UIDs that was deleted since, or may have that was lost with a database; 0 where there was none.
-- Rows of deleted folders go, and no folder gets such a validity again: a client may know other messages by it. Owned by crates/mailstore.
alter table mailboxes add column uid_validity_floor bigint not null default 0
  constraint mailboxes_uid_validity_floor_sign check (uid_validity_floor >= 0);

-- A message that is taken in may bring its name by POP3 along, which no other of its mailbox is to have.
select admit_several_tenants('messages', 'select');
