-- Numbers for value-added tax that a register is to be asked about again. Owned by crates/billing.

-- When, while it has said nothing of the number; and how often it was asked again.
alter table customer_profiles
  add column vat_ask_at timestamptz,
  add column vat_asked integer not null default 0 constraint customer_profiles_vat_asked_sign check (vat_asked >= 0);
create index customer_profiles_vat_ask on customer_profiles (vat_ask_at) where vat_ask_at is not null;
-- Those that are there were never asked about. What no register knows, as numbers from outside the EU, is found out then.
update customer_profiles set vat_ask_at = now()
  where profile->>'vat_id' is not null and coalesce(profile->'vat_register'->>'registration', 'unchecked') = 'unchecked';
