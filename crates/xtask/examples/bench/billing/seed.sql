insert into resellers (id, path, name, created_at)
values ('0190a000-0000-7000-8000-000000000001', '{0190a000-0000-7000-8000-000000000001}', 'Bench', '2026-01-01');
insert into issuer_profiles (reseller_id, profile, version)
values ('0190a000-0000-7000-8000-000000000001',
  '{"legal_name": "Bench Hosting GmbH", "vat_id": "DE136695976", "days_to_pay": 14, "charges_tax": true,
    "address": {"street": "Weg 1", "extra": null, "city": "Berlin", "postal_code": "10115", "region": null, "country": "DE"}}', 1);
insert into tax_rates (reseller_id, ordinal, country, rate, valid_from, set_at)
values ('0190a000-0000-7000-8000-000000000001', 1, 'DE', 19, '2020-01-01', '2026-01-01');
insert into price_books (id, reseller_id, version, currency, published_at, tax_behavior)
values ('0190a000-0000-7000-8000-000000000002', '0190a000-0000-7000-8000-000000000001', 1, 'EUR', '2026-01-01', 'exclusive');
insert into prices (price_book_id, id, item, "interval", model, unit_price, removal_policy)
values ('0190a000-0000-7000-8000-000000000002', '0190a000-0000-7000-8000-000000000003', 'mailbox', 'month', 'flat', 4.99,
  'credit_to_balance');

create temporary table bench_tenants on commit drop as
select n, ('0190b000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id from generate_series(1, $TENANTS) n;
insert into tenants (id, reseller_id, reseller_path, name, country, currency, time_zone, seats_used, created_at)
select id, '0190a000-0000-7000-8000-000000000001', '{0190a000-0000-7000-8000-000000000001}', 'Customer ' || n, 'DE', 'EUR',
  'Europe/Berlin', 10, '2026-09-14' from bench_tenants;
insert into customer_profiles (tenant_id, profile, version)
select id, jsonb_build_object('legal_name', 'Customer ' || n || ' GmbH', 'vat_id', null, 'vat_register', null,
  'exemption', null, 'reference', null, 'address', jsonb_build_object('street', 'Platz ' || n, 'extra', null, 'city', 'Hamburg',
  'postal_code', '20095', 'region', null, 'country', 'DE')), 1 from bench_tenants;
insert into subscriptions (tenant_id, id, seats_committed, starts_on, next_invoice_on, created_at)
select id, id, 0, '2026-09-15', '2026-09-15', '2026-09-14' from bench_tenants;
insert into subscription_terms (tenant_id, ordinal, starts_on, price_book_id, price_id, term_months, anchor_date, set_at)
select id, 1, '2026-09-15', '0190a000-0000-7000-8000-000000000002', '0190a000-0000-7000-8000-000000000003', 1, '2026-09-15',
  '2026-09-14' from bench_tenants;
insert into seat_commitments (tenant_id, ordinal, at, seats_committed) select id, 1, '2026-09-14', 0 from bench_tenants;
insert into seat_changes (tenant_id, at, delta, user_id)
select id, '2026-09-14', 1, gen_random_uuid() from bench_tenants, generate_series(1, 10) seat;
