-- A tenant that may share no object with others has packs of its own from the start. Owned by crates/tenancy and crates/mailstore.
alter table tenants add column storage_dedicated boolean not null default false;
grant update (storage_dedicated) on tenants to pillarbox_tenant;
-- Compaction asks what they have in packs that are nobody's own, however young these are.
create index tenants_storage_dedicated on tenants (id) where storage_dedicated;

-- A tenant's own pack of what arrived together: compaction moves that on into packs by mailbox and time, as it does with what many share.
alter table packs add column unsorted boolean not null default false;
create index packs_unsorted on packs (created_at) where state = 'live' and unsorted;
