-- A name stays subscribed to when its folder is deleted (RFC 9051 §6.3.7): the folder's path as it was. Its row stays as long as that. Owned by
-- crates/mailstore. Of a folder that is not deleted it says nothing: servers that do not know the column put folders back and leave it, so there is no
-- check of that.
alter table folders add column subscribed_path text;
-- Of those that can be forgotten.
drop index folders_deleted;
create index folders_deleted on folders (deleted_at) where deleted_at is not null and subscribed_path is null;
