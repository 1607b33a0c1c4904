-- The scheduled run looks for tenants that live by a test clock, apart from the others.
create index tenants_test_clock on tenants (id) where test_clock is not null;
