-- What came of an operation that has succeeded, as its kind has it: ids and counts. Null until then, of those that failed, and of those that were
-- done before. Owned by crates/tenancy.
alter table operations add column result jsonb;
