-- What messages say, and an index of it, by which they are searched. Owned by crates/mailstore. All of it follows from messages and
-- their bodies.

-- What is to be indexed: a body that is new to a mailbox. Who has it in hand has it until `due_at`.
create table search_queue (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  blob_id uuid not null,
  -- What was there before there was an index comes after all that is new.
  due_at timestamptz not null default '-infinity',
  attempts integer not null default 0 constraint search_queue_attempts_sign check (attempts >= 0),
  constraint search_queue_once primary key (tenant_id, mailbox_id, blob_id)
);
-- No message comes or goes between this look and the triggers below.
lock table messages in share row exclusive mode;
insert into search_queue (tenant_id, mailbox_id, blob_id, due_at)
  select distinct tenant_id, mailbox_id, blob_id, timestamptz '2000-01-01' from messages;
create index search_queue_due on search_queue (due_at);
select protect_tenant_table('search_queue');
select admit_several_tenants('search_queue', 'insert');

-- What a body says, folded as a search compares it.
create table message_texts (
  tenant_id uuid not null,
  blob_id uuid not null,
  -- A field a line: its name, a colon, a space, and what it says.
  header text not null,
  body text not null,
  -- A name a line.
  attachment_names text not null,
  -- The day in its Date field, as it is written there.
  sent_on date,
  -- Otherwise there is more than this, which only the body tells.
  is_whole boolean not null,
  constraint message_texts_once primary key (tenant_id, blob_id),
  constraint message_texts_blob foreign key (tenant_id, blob_id) references blobs (tenant_id, id) on delete cascade
);
select protect_tenant_table('message_texts');

-- Every three characters in a row of what a body says, each hashed with the mailbox that it is in: what a search looks at is that mailbox's.
create table message_grams (
  tenant_id uuid not null,
  mailbox_id uuid not null,
  blob_id uuid not null,
  grams bigint[] not null,
  -- Otherwise more are in it than these.
  is_whole boolean not null,
  constraint message_grams_once primary key (tenant_id, blob_id, mailbox_id),
  constraint message_grams_text foreign key (tenant_id, blob_id) references message_texts (tenant_id, blob_id) on delete cascade
);
-- Its statistics would be of thousands of numbers a row, each of one mailbox alone: they say nothing.
alter table message_grams alter column grams set statistics 0;
-- What is pending is looked through by every search, and whoever indexes keeps nobody waiting.
create index message_grams_by_gram on message_grams using gin (grams) with (fastupdate = off);
create index message_grams_in_part on message_grams (tenant_id, mailbox_id) where not is_whole;
select protect_tenant_table('message_grams');

-- A condition of row-level security keeps operators that are not leakproof, as those of arrays, from using an index. Said to be immutable,
-- this one is decided when a statement is planned; and a plan that depends on row-level security is made anew for another role.
create function is_planned_as_system() returns boolean language sql immutable parallel safe
  as $$ select current_user = 'pillarbox_system' $$;
create policy index on message_grams for select to pillarbox_system using (is_planned_as_system());

create function queue_for_search() returns trigger language plpgsql as $$
begin
  insert into search_queue (tenant_id, mailbox_id, blob_id)
    select distinct tenant_id, mailbox_id, blob_id from changed order by tenant_id, mailbox_id, blob_id
    on conflict do nothing;
  return null;
end $$;
create trigger search_insert after insert on messages referencing new table as changed for each statement execute function queue_for_search();

-- The queue before the index: who is indexing deletes from the queue first, and so either is seen here or finds it gone.
create function forget_in_search() returns trigger language plpgsql as $$
begin
  delete from search_queue q using (select distinct tenant_id, mailbox_id, blob_id from changed) gone
    where q.tenant_id = gone.tenant_id and q.mailbox_id = gone.mailbox_id and q.blob_id = gone.blob_id
      and not exists (select from messages m
        where m.tenant_id = gone.tenant_id and m.blob_id = gone.blob_id and m.mailbox_id = gone.mailbox_id);
  delete from message_grams g using (select distinct tenant_id, mailbox_id, blob_id from changed) gone
    where g.tenant_id = gone.tenant_id and g.mailbox_id = gone.mailbox_id and g.blob_id = gone.blob_id
      and not exists (select from messages m
        where m.tenant_id = gone.tenant_id and m.blob_id = gone.blob_id and m.mailbox_id = gone.mailbox_id);
  return null;
end $$;
create trigger search_delete after delete on messages referencing old table as changed for each statement execute function forget_in_search();
