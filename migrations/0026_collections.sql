-- Collecting: when what is overdue is reminded of and what it costs. Owned by crates/billing; what is taken from a tenant is crates/tenancy's.

-- What of suspended_capabilities was taken because something is overdue, and by nobody else: given back when it is paid.
alter table tenants
  add column unpaid_capabilities text[] not null default '{}',
  add constraint tenants_unpaid check (unpaid_capabilities <@ suspended_capabilities);
grant update (unpaid_capabilities) on tenants to pillarbox_tenant;

-- An issuer's steps, in days after a document's due day.
create table dunning_policies (
  reseller_id uuid not null references resellers (id),
  remind_after_days smallint[] not null,
  suspend_after_days smallint,
  suspend_capabilities text[] not null,
  cancel_after_days smallint,
  version bigint not null default 1,
  updated_at timestamptz not null,
  constraint dunning_policies_once primary key (reseller_id),
  constraint dunning_policies_suspension check ((suspend_after_days is null) = (suspend_capabilities = '{}'))
);
alter table dunning_policies enable row level security;
alter table dunning_policies force row level security;
-- A tenant's transaction sees the policy of the reseller it buys from, to know what a payment lifts.
create policy tenant on dunning_policies to pillarbox_tenant
  using (reseller_id = (select reseller_id from tenants where tenants.id = (select current_tenant())));
create policy system on dunning_policies to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select on dunning_policies to pillarbox_tenant;
grant select, insert, update on dunning_policies to pillarbox_system;

-- The time for which one invoice is the oldest of a tenant's that are overdue.
create table dunning_courses (
  tenant_id uuid not null references tenants (id),
  ordinal integer not null,
  invoice_id uuid not null,
  begun_at timestamptz not null,
  ended_at timestamptz,
  primary key (tenant_id, ordinal),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id)
);
create unique index dunning_courses_open on dunning_courses (tenant_id) where ended_at is null;
select protect_tenant_table('dunning_courses');

-- What was done in a course, each once.
create table dunning_steps (
  tenant_id uuid not null,
  course integer not null,
  step text not null constraint dunning_steps_step check (step in ('remind', 'suspend', 'cancel')),
  -- The policy's day that it was for.
  after_days smallint not null,
  -- The tenant's local day.
  taken_on date not null,
  taken_at timestamptz not null,
  constraint dunning_steps_once primary key (tenant_id, course, step, after_days),
  foreign key (tenant_id, course) references dunning_courses (tenant_id, ordinal)
);
create unique index dunning_steps_final on dunning_steps (tenant_id, course, step) where step <> 'remind';
select protect_tenant_table('dunning_steps');

-- Only a tenant's own transaction writes, and what was done stays.
revoke insert, update, delete on dunning_courses, dunning_steps from pillarbox_system;
revoke update, delete on dunning_courses, dunning_steps from pillarbox_tenant;
grant update (ended_at) on dunning_courses to pillarbox_tenant;

-- By a charge that nobody asked for: which attempt at the invoice it is, and the tenant's local day.
alter table payment_methods add column is_autopay boolean not null default false;
alter table payments
  add column autopay_ordinal smallint constraint payments_autopay_ordinal check (autopay_ordinal between 1 and 4),
  add column autopay_on date,
  add constraint payments_autopay check ((autopay_ordinal is null) = (autopay_on is null)),
  add constraint payments_autopay_charge check (autopay_ordinal is null or (provider <> 'manual' and invoice_id is not null));
create unique index payments_autopay_once on payments (tenant_id, invoice_id, autopay_ordinal) where autopay_ordinal is not null;
create index payment_methods_autopay on payment_methods (tenant_id) where is_autopay;
-- What is looked through for what is due and overdue.
create index invoices_due on invoices (tenant_id, due_on) where kind = 'invoice';
