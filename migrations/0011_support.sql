-- A time-boxed right of somebody above a tenant to look into one of its mailboxes. Owned by crates/tenancy.

create table support_accesses (
  tenant_id uuid not null,
  id uuid not null,
  mailbox_id uuid not null,
  -- Whose right it is: the wire id of a key.
  principal text not null,
  reason text not null constraint support_accesses_reason_length check (char_length(reason) between 1 and 500),
  created_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, mailbox_id) references mailboxes (tenant_id, id)
);
create index support_accesses_mailbox on support_accesses (tenant_id, mailbox_id, id);
select protect_tenant_table('support_accesses');
