-- Restores of mailboxes to a moment, while they are under way. Owned by crates/mailstore: what there was then is read from the journal.

-- The queue that workers take from: one row for each operation.
create table restores (
  tenant_id uuid not null,
  -- Its operation's.
  id uuid not null,
  at timestamptz not null,
  place text not null constraint restores_place check (place in ('in_place', 'beside')),
  -- Only what was in this folder or below it, or this message.
  folder_id uuid,
  message_id uuid,
  -- Until then it is in somebody's hands, or rests after a failure.
  due_at timestamptz not null,
  -- How often it was taken in hand since something of it was done.
  attempts integer not null default 0 constraint restores_attempts_sign check (attempts >= 0),
  primary key (tenant_id, id),
  foreign key (tenant_id, id) references operations (tenant_id, id) on delete cascade
);
create index restores_due on restores (due_at);
select protect_tenant_table('restores');
select journal_table('restores', 'tenant');

create table restore_mailboxes (
  tenant_id uuid not null,
  restore_id uuid not null,
  -- It may be destroyed meanwhile.
  mailbox_id uuid not null,
  -- Beside what is there: the folder that all of it goes into.
  into_folder_id uuid,
  -- How many messages there were, once that is known, how many of them have had their turn, in the order of their ids, and the last that had.
  total integer,
  done integer not null default 0,
  done_to uuid,
  -- Why it was given up, by the code of an error.
  problem text,
  -- What came of those.
  returned integer not null default 0,
  moved integer not null default 0,
  flagged integer not null default 0,
  copied integer not null default 0,
  lost integer not null default 0,
  over_quota integer not null default 0,
  primary key (tenant_id, restore_id, mailbox_id),
  foreign key (tenant_id, restore_id) references restores (tenant_id, id) on delete cascade,
  constraint restore_mailboxes_progress check (done between 0 and coalesce(total, 0))
);
select protect_tenant_table('restore_mailboxes');
select journal_table('restore_mailboxes', 'tenant');
