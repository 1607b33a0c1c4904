-- Folders form a tree, messages have flags, and each mailbox has a log of what changed in it. Owned by crates/mailstore.

alter table folders
  add column parent_id uuid,
  add column is_subscribed boolean not null default true,
  add column unseen_count bigint not null default 0 constraint folders_unseen_count_range check (unseen_count between 0 and message_count),
  -- Of the live messages in it.
  add column size_bytes bigint not null default 0 constraint folders_size_bytes_sign check (size_bytes >= 0),
  -- The highest modification sequence of what is or was in it.
  add column highest_modseq bigint not null default 1,
  -- A deleted folder stays as long as messages that were in it can be recovered.
  add column deleted_at timestamptz,
  drop constraint folders_name_once,
  add constraint folders_parent foreign key (tenant_id, mailbox_id, parent_id) references folders (tenant_id, mailbox_id, id),
  add constraint folders_inbox_top check (role is distinct from 'inbox' or (parent_id is null and deleted_at is null)),
  add constraint folders_deleted_empty check (deleted_at is null or message_count = 0);
-- Each folder of a mailbox has a UID validity of its own. Nobody has asked for one by IMAP yet, and POP3 knows only the Inbox, which keeps its own.
update folders set unseen_count = message_count, highest_modseq = mailboxes.modseq,
  uid_validity = uid_validity + case role when 'drafts' then 1 when 'sent' then 2 when 'junk' then 3 when 'trash' then 4 when 'archive' then 5 else 0 end,
  size_bytes = (select coalesce(sum(m.size_bytes), 0) from messages m
                where m.tenant_id = folders.tenant_id and m.mailbox_id = folders.mailbox_id and m.folder_id = folders.id and m.state = 'live')
  from mailboxes where mailboxes.tenant_id = folders.tenant_id and mailboxes.id = folders.mailbox_id;
drop index folders_role_once;
create unique index folders_role_once on folders (tenant_id, mailbox_id, role) where role is not null and deleted_at is null;
create unique index folders_name_once on folders (tenant_id, mailbox_id, parent_id, name) nulls not distinct where deleted_at is null;
-- For the foreign key, when a folder's row goes.
create index folders_parent on folders (tenant_id, mailbox_id, parent_id) where parent_id is not null;
create index folders_deleted on folders (deleted_at) where deleted_at is not null;

alter table messages
  -- The flags that RFC 9051 §2.3.2 names, each a bit: \Seen 1, \Answered 2, \Flagged 4, \Deleted 8, \Draft 16.
  add column flags smallint not null default 0 constraint messages_flags_range check (flags between 0 and 31),
  -- The others, sorted, each once however it is written.
  add column keywords text[] not null default '{}' constraint messages_keywords_count check (cardinality(keywords) <= 100);

-- What changed in a mailbox: a row for each command and folder, with the UIDs that it was about.
create table mail_changes (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  -- That the folder has since, and none of the messages a higher one by this command.
  modseq bigint not null,
  -- It may be gone.
  folder_id uuid not null,
  -- arrived: has these UIDs now; flagged: their flags are others; gone: has them no more; folder: it was made, changed or deleted itself.
  kind text not null constraint mail_changes_kind check (kind in ('arrived', 'flagged', 'gone', 'folder')),
  -- Pairs: the first and the last of each range, ascending.
  uids bigint[] not null default '{}',
  created_at timestamptz not null,
  constraint mail_changes_once primary key (tenant_id, mailbox_id, modseq, folder_id, kind),
  foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id)
);
create index mail_changes_old on mail_changes (created_at);
select protect_tenant_table('mail_changes');
select admit_several_tenants('mail_changes', 'insert');

-- Up to where a mailbox's log has expired: of what happened up to this modification sequence it need not know all.
create table mail_change_floors (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  modseq bigint not null,
  primary key (tenant_id, mailbox_id),
  foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id)
);
insert into mail_change_floors (tenant_id, mailbox_id, modseq)
  select tenant_id, id, modseq from mailboxes where exists (
    select from messages where messages.tenant_id = mailboxes.tenant_id and messages.mailbox_id = mailboxes.id);
select protect_tenant_table('mail_change_floors');
