-- Work to do after a commit, written in that commit. Owned by crates/db.
create table jobs (
  id uuid primary key,
  kind text not null,
  payload jsonb not null,
  run_at timestamptz not null,
  attempts integer not null default 0,
  -- A worker's claim; another may take the job over when it has passed.
  leased_until timestamptz,
  last_error text,
  -- Set when no further attempt will be made.
  failed_at timestamptz,
  created_at timestamptz not null
);
create index jobs_due on jobs (run_at, id) where failed_at is null;
alter table jobs enable row level security;
alter table jobs force row level security;
create policy system on jobs to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update, delete on jobs to pillarbox_system;
