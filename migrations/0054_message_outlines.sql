-- What a message says of itself leaves its row and lies beside its structure: both follow from the body, are the same for all who have it, and are
-- in no journal. A message is marked and moved all the time, and each time its whole row is written anew, here and into the journal.
-- Owned by crates/mailstore.

-- Both at once: a server of before that had the one and waited for the other would have this step undone, after all of its work.
lock table messages, message_structures in access exclusive mode;
alter table message_structures rename to message_outlines;
alter table message_outlines rename constraint message_structures_once to message_outlines_once;
alter table message_outlines rename constraint message_structures_blob to message_outlines_blob;
-- Where it was never asked for it is not known; what the message says is, and stays.
alter table message_outlines alter column structure drop not null;
-- As `mailstore::parsed` writes it.
alter table message_outlines add column parsed jsonb;
insert into message_outlines (tenant_id, blob_id, version, parsed)
  select distinct on (tenant_id, blob_id) tenant_id, blob_id, 1, parsed from messages
  on conflict on constraint message_outlines_once do update set parsed = excluded.parsed;
-- Of bodies that no message has any more.
delete from message_outlines where parsed is null;
alter table message_outlines alter column parsed set not null;
alter table messages drop column parsed;

-- Half of each page is for the next versions of its rows, even if all of them are marked at once: a version in the page of the one before it
-- needs no entries in indexes of its own.
alter table messages set (fillfactor = 50);
