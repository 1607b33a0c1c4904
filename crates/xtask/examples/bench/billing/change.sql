insert into seat_changes (tenant_id, at, delta, user_id) select id, '2026-09-25', 1, gen_random_uuid() from tenants;
insert into seat_changes (tenant_id, at, delta, user_id)
select tenant_id, '2026-10-02', -1, (array_agg(user_id))[1] from seat_changes
where get_byte(uuid_send(tenant_id), 15) % 4 = 0 group by tenant_id;
