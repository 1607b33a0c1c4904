-- Rows that are written all the time do not refer to the row that counts them.
--
-- A foreign key locks the row it refers to (for key share), and tenants and resellers hold the counters that every new user
-- updates. Sixteen who create users of one tenant left a version of the tenant's row each, locked by all the others: each
-- later reader asked of each version which transactions those were (a multixact), and the rate fell from hundreds a
-- second to tens within half a minute. The keys proved nothing: neither a tenant nor a reseller is ever deleted from its
-- table, and a row's tenant is the transaction's own, by row-level security, which a proven context has set.

alter table users drop constraint users_tenant_id_fkey;
alter table mailboxes drop constraint mailboxes_tenant_id_fkey;
alter table seat_changes drop constraint seat_changes_tenant_id_fkey;
alter table blobs drop constraint blobs_tenant_id_fkey;
alter table events drop constraint events_tenant_id_fkey;
alter table event_readers drop constraint event_readers_reseller_id_fkey;
