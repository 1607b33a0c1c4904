-- A refresh token ends with the sessions that were there when it was given, however late it was inserted. Owned by crates/tenancy.
alter table refresh_tokens
  -- The user's `session_epoch` when they signed in. The default is for a server of the version before: where it is not the user's, they sign in again.
  add column session_epoch integer not null default 0;
update refresh_tokens set session_epoch = users.session_epoch from users
  where refresh_tokens.tenant_id = users.tenant_id and refresh_tokens.user_id = users.id
    and refresh_tokens.revoked_at is null and users.session_epoch <> 0;
-- Where an account is guessed at from many networks, those that are new to it queue.
alter table sign_in_failures
  -- Of a network, when its place in the account's queue comes; of an account as a whole, the last place that was given.
  add column place_at timestamptz;
