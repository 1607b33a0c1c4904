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

-- A refund that had been made, and that the bank sent back.
alter table refunds
  add column returned_on date,
  add column returned_at timestamptz,
  drop constraint refunds_status,
  drop constraint refunds_settled,
  drop constraint refunds_ended,
  add constraint refunds_status check (status in ('pending', 'unknown', 'failed', 'succeeded', 'returned')),
  add constraint refunds_settled check ((status in ('succeeded', 'returned')) = (refunded_on is not null)),
  add constraint refunds_ended check ((status in ('succeeded', 'failed', 'returned')) = (settled_at is not null)),
  add constraint refunds_returned check ((status = 'returned') = (returned_on is not null) and (returned_on is null) = (returned_at is null));
grant update (returned_on, returned_at) on refunds to pillarbox_tenant;
drop trigger refunds_final on refunds;
create trigger refunds_final before update on refunds for each row
  when (old.status = 'returned' or (old.status = 'succeeded' and (new.status <> 'returned'
    or (new.refunded_on, new.settled_at, new.provider_reference) is distinct from (old.refunded_on, old.settled_at, old.provider_reference))))
  execute function refuse_change_of_settled();
-- What the provider tells of is noted once.
create unique index refunds_provider_reference on refunds (tenant_id, payment_id, provider_reference) where provider_reference is not null;
create index payments_provider_reference on payments (provider_reference) where provider_reference is not null;

-- What customers' banks take from the issuer, and give back.
create table disputes (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  payment_id uuid not null,
  provider_reference text not null,
  amount_minor bigint not null constraint disputes_amount_sign check (amount_minor > 0),
  reason text not null,
  status text not null constraint disputes_status check (status in ('open', 'won', 'lost')),
  -- Whether it was told that the issuer has the money: what was not taken by then is not taken.
  is_over boolean not null,
  -- The local days that they count for.
  withdrawn_on date,
  withdrawn_at timestamptz,
  reinstated_on date,
  reinstated_at timestamptz,
  created_at timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, payment_id) references payments (tenant_id, id),
  constraint disputes_once unique (tenant_id, payment_id, provider_reference),
  constraint disputes_withdrawn check ((withdrawn_on is null) = (withdrawn_at is null)),
  constraint disputes_reinstated check ((reinstated_on is null) = (reinstated_at is null) and (reinstated_on is null or (withdrawn_on is not null and is_over)))
);
select protect_tenant_table('disputes');
revoke insert, update, delete on disputes from pillarbox_system;
revoke update, delete on disputes from pillarbox_tenant;
grant update (status, is_over, withdrawn_on, withdrawn_at, reinstated_on, reinstated_at) on disputes to pillarbox_tenant;
create trigger disputes_final before update on disputes for each row
  when ((old.status <> 'open' and new.status <> old.status) or (old.is_over and not new.is_over)
    or (old.withdrawn_at is not null and (new.withdrawn_on, new.withdrawn_at) is distinct from (old.withdrawn_on, old.withdrawn_at))
    or (old.reinstated_at is not null and (new.reinstated_on, new.reinstated_at) is distinct from (old.reinstated_on, old.reinstated_at)))
  execute function refuse_change_of_settled();

alter table transfers drop constraint transfers_code, drop constraint transfers_accounts;
alter table transfers
  add constraint transfers_code check (code in ('invoice_net', 'invoice_tax', 'credit_note_net', 'credit_note_tax', 'payment', 'refund',
    'refund_returned', 'dispute', 'dispute_reinstated')),
  add constraint transfers_accounts check (case
    when code in ('invoice_net', 'credit_note_net') then (debit_account, credit_account) in (('receivable', 'revenue'), ('revenue', 'receivable'))
    when code in ('invoice_tax', 'credit_note_tax') then (debit_account, credit_account) in (('receivable', 'tax_payable'), ('tax_payable', 'receivable'))
    when code in ('payment', 'refund_returned', 'dispute_reinstated') then (debit_account, credit_account) = ('cash', 'receivable')
    else (debit_account, credit_account) = ('receivable', 'cash') end);
