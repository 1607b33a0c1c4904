-- The addresses that an API key was used from on the day of its last use (UTC), as far as they are on the trail: each is noted there once a day.
-- Owned by crates/tenancy.
alter table api_keys
  add column used_from inet[] not null default '{}';
