-- What `If-Match` asks of a folder: counted on with each change of its name, place, purpose or subscription, and not by the mail in it. Owned by
-- crates/mailstore.
alter table folders add column version bigint not null default 1 constraint folders_version_sign check (version > 0);
