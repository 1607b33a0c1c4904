-- What SCRAM-SHA-256 proves an app password by (RFC 5802 §3): StoredKey and ServerKey, 32 bytes each, of the password as it was shown, and
-- those of it without its dashes. Owned by crates/tenancy. None for those that were made before: they sign in by PLAIN.
alter table app_passwords add column scram_keys bytea constraint app_passwords_scram_keys check (octet_length(scram_keys) = 128);
