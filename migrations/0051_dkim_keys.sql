-- The keys that domains sign their mail with. Owned by crates/submission.
create table dkim_keys (
  tenant_id uuid not null,
  domain_id uuid not null,
  id uuid not null,
  -- What both selectors begin with.
  selector text not null,
  state text not null default 'pending' constraint dkim_keys_state check (state in ('pending', 'active', 'retired')),
  -- SubjectPublicKeyInfo (RFC 5280 §4.1).
  rsa_public bytea not null,
  ed25519_public bytea not null constraint dkim_keys_ed25519 check (octet_length(ed25519_public) = 32),
  -- Both private keys under this generation of the tenant's data key; gone with the last signature.
  sealed bytea,
  key_generation integer not null constraint dkim_keys_generation check (key_generation > 0),
  created_at timestamptz not null,
  activated_at timestamptz,
  retired_at timestamptz,
  version bigint not null default 1,
  constraint dkim_keys_once primary key (tenant_id, domain_id, id),
  constraint dkim_keys_selector_once unique (tenant_id, domain_id, selector),
  constraint dkim_keys_domain foreign key (tenant_id, domain_id) references domains (tenant_id, id) on delete cascade,
  constraint dkim_keys_sign_until_retired check ((sealed is null) = (state = 'retired')),
  constraint dkim_keys_activated check (state <> 'active' or activated_at is not null),
  constraint dkim_keys_retired check ((retired_at is not null) = (state = 'retired'))
);
create unique index dkim_keys_one_pending on dkim_keys (tenant_id, domain_id) where state = 'pending';
create unique index dkim_keys_one_active on dkim_keys (tenant_id, domain_id) where state = 'active';
select protect_tenant_table('dkim_keys');
select journal_table('dkim_keys', 'tenant');
