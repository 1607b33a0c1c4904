-- Payments: by which provider, by what means, what was paid and what was paid back. Owned by crates/billing.

-- By which provider a reseller takes charges. Secrets as the provider gave them: they have to be shown to it.
create table payment_providers (
  reseller_id uuid not null references resellers (id),
  provider text not null constraint payment_providers_provider check (provider in ('stripe')),
  secret_key text not null,
  webhook_secret text not null,
  is_enabled boolean not null,
  version bigint not null default 1,
  updated_at timestamptz not null,
  constraint payment_providers_once primary key (reseller_id)
);
alter table payment_providers enable row level security;
alter table payment_providers force row level security;
create policy system on payment_providers to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()));
grant select, insert, update, delete on payment_providers to pillarbox_system;

-- By what a tenant pays an issuer: the ids of the issuer's provider.
create table payment_methods (
  tenant_id uuid not null references tenants (id),
  issuer_id uuid not null references resellers (id),
  customer text not null,
  method text not null,
  version bigint not null default 1,
  updated_at timestamptz not null,
  constraint payment_methods_once primary key (tenant_id, issuer_id),
  -- Nobody is charged for what another owes.
  constraint payment_methods_customer unique (issuer_id, customer)
);
select protect_tenant_table('payment_methods');

-- A payment, on its way or arrived. Who pays, what and for what is said once; a status only moves forward.
create table payments (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  issuer_id uuid not null,
  -- What it is meant for first; null: the customer's balance.
  invoice_id uuid,
  provider text not null constraint payments_provider check (provider in ('manual', 'stripe')),
  currency text not null constraint payments_currency_form check (currency ~ '^[A-Z]{3}$'),
  -- What was asked, and what arrived.
  amount_minor bigint not null constraint payments_amount_sign check (amount_minor > 0),
  received_minor bigint constraint payments_received_sign check (received_minor > 0),
  status text not null
    constraint payments_status check (status in ('pending', 'unknown', 'requires_action', 'processing', 'failed', 'succeeded')),
  -- What a bank transfer says, or a charge.
  reference text not null,
  -- Of a charge: who pays by what, and the provider's id of it once that is known.
  provider_customer text,
  provider_method text,
  provider_reference text,
  failure_code text,
  failure_message text,
  -- Of a charge: when the provider is to be asked about it, while it is open.
  ask_at timestamptz,
  -- The local day that it counts for.
  received_on date,
  created_at timestamptz not null,
  settled_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id),
  constraint payments_charge check ((provider <> 'manual') = (provider_customer is not null and provider_method is not null and ask_at is not null)),
  constraint payments_settled check ((status = 'succeeded') = (received_minor is not null and received_on is not null and settled_at is not null))
);
create index payments_by_id on payments (id);
create index payments_invoice on payments (tenant_id, invoice_id);
create index payments_open on payments (ask_at) where status in ('pending', 'unknown', 'requires_action', 'processing');
-- At most one charge of an invoice is under way: with what is due counted after this row is written, no amount is charged twice.
create unique index payments_live_once on payments (tenant_id, invoice_id)
  where status in ('pending', 'unknown', 'requires_action', 'processing');
select protect_tenant_table('payments');

-- Each time that a provider is asked about a payment: written before, ended after. One without an end was cut off.
create table payment_attempts (
  tenant_id uuid not null,
  payment_id uuid not null,
  ordinal integer not null,
  idempotency_key text not null,
  begun_at timestamptz not null,
  outcome text constraint payment_attempts_outcome check (outcome in ('found', 'declined', 'refused', 'busy', 'unknown')),
  ended_at timestamptz,
  constraint payment_attempts_once primary key (tenant_id, payment_id, ordinal),
  foreign key (tenant_id, payment_id) references payments (tenant_id, id)
);
select protect_tenant_table('payment_attempts');

create table refunds (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  payment_id uuid not null,
  amount_minor bigint not null constraint refunds_amount_sign check (amount_minor > 0),
  status text not null constraint refunds_status check (status in ('pending', 'unknown', 'failed', 'succeeded')),
  reason text not null,
  provider_reference text,
  -- The local day that it counts for.
  refunded_on date,
  created_at timestamptz not null,
  -- When the provider is to be asked about it, while it is open.
  ask_at timestamptz not null,
  settled_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, payment_id) references payments (tenant_id, id),
  constraint refunds_settled check ((status = 'succeeded') = (refunded_on is not null)),
  constraint refunds_ended check ((status in ('succeeded', 'failed')) = (settled_at is not null))
);
create index refunds_by_id on refunds (id);
create index refunds_payment on refunds (tenant_id, payment_id);
create index refunds_open on refunds (ask_at) where status in ('pending', 'unknown');
select protect_tenant_table('refunds');

-- What was written of money stays, and what has arrived or was paid back is final; only a tenant's own transaction writes.
revoke insert, update, delete on payments, payment_attempts, refunds from pillarbox_system;
revoke update, delete on payments, payment_attempts, refunds from pillarbox_tenant;
grant update (status, received_minor, provider_reference, failure_code, failure_message, ask_at, received_on, settled_at) on payments to pillarbox_tenant;
grant update (outcome, ended_at) on payment_attempts to pillarbox_tenant;
grant update (status, provider_reference, refunded_on, ask_at, settled_at) on refunds to pillarbox_tenant;
create function refuse_change_of_settled() returns trigger language plpgsql as $$
begin
  raise exception 'what has succeeded is final' using errcode = 'restrict_violation', constraint = 'settled_is_final';
end $$;
create trigger payments_final before update on payments for each row when (old.status = 'succeeded') execute function refuse_change_of_settled();
create trigger refunds_final before update on refunds for each row when (old.status = 'succeeded') execute function refuse_change_of_settled();

-- The ledger's new transfers: cash comes in and goes out.
alter table transfers drop constraint transfers_code, drop constraint transfers_accounts;
alter table transfers
  add constraint transfers_code check (code in ('invoice_net', 'invoice_tax', 'credit_note_net', 'credit_note_tax', 'payment', 'refund')),
  add constraint transfers_accounts check (case
    when code in ('invoice_net', 'credit_note_net') then (debit_account, credit_account) in (('receivable', 'revenue'), ('revenue', 'receivable'))
    when code in ('invoice_tax', 'credit_note_tax') then (debit_account, credit_account) in (('receivable', 'tax_payable'), ('tax_payable', 'receivable'))
    when code = 'payment' then (debit_account, credit_account) = ('cash', 'receivable')
    else (debit_account, credit_account) = ('receivable', 'cash') end);
