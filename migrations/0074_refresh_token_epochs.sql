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
-- An account is a person from now on, by their ids, and no address as it was typed: their networks stay known. An older server goes on by the rows that were.
insert into sign_in_networks (account, network, last_success_at)
  select sha256(convert_to('ten_' || replace(m.tenant_id::text, '-', '') || '/usr_' || replace(m.user_id::text, '-', ''), 'UTF8')), n.network,
    max(n.last_success_at)
  from mailboxes m
  join addresses a on a.tenant_id = m.tenant_id and a.mailbox_id = m.id and a.released_at is null
  join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
  join sign_in_networks n on n.account = sha256(convert_to(a.local_part || '@' || d.name, 'UTF8'))
  where m.user_id is not null
  group by m.tenant_id, m.user_id, n.network;
