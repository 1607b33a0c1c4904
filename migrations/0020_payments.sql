-- Payments: what customers paid and were paid back. Owned by crates/billing.

-- A payment, on its way or arrived. What it says of money it says once: a status only moves forward.
create table payments (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  issuer_id uuid not null,
  -- What it is meant for first; null: the customer's balance.
  invoice_id uuid,
  provider text not null constraint payments_provider check (provider in ('manual')),
  currency text not null constraint payments_currency_form check (currency ~ '^[A-Z]{3}$'),
  -- What was asked, and what arrived.
  amount_minor bigint not null constraint payments_amount_sign check (amount_minor > 0),
  received_minor bigint constraint payments_received_sign check (received_minor > 0),
  status text not null constraint payments_status check (status in ('succeeded')),
  -- What a bank transfer says.
  reference text not null,
  -- The local day that it counts for.
  received_on date,
  created_at timestamptz not null,
  settled_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id),
  constraint payments_settled check ((status = 'succeeded') = (received_minor is not null and received_on is not null and settled_at is not null))
);
create index payments_by_id on payments (id);
select protect_tenant_table('payments');

create table refunds (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  payment_id uuid not null,
  amount_minor bigint not null constraint refunds_amount_sign check (amount_minor > 0),
  status text not null constraint refunds_status check (status in ('succeeded')),
  reason text not null,
  -- The local day that it counts for.
  refunded_on date,
  created_at timestamptz not null,
  settled_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, payment_id) references payments (tenant_id, id),
  constraint refunds_settled check ((status = 'succeeded') = (refunded_on is not null and settled_at is not null))
);
create index refunds_payment on refunds (tenant_id, payment_id);
select protect_tenant_table('refunds');

-- Who pays, what and for what stays as it was written; only a tenant's own transaction writes.
revoke insert, update, delete on payments, refunds from pillarbox_system;
revoke update, delete on payments, refunds from pillarbox_tenant;
-- To lock a payment while what is refunded of it is counted.
grant update (status) on payments to pillarbox_tenant;

-- The ledger's new transfers: cash comes in and goes out.
alter table transfers drop constraint transfers_code, drop constraint transfers_accounts;
alter table transfers
  add constraint transfers_code check (code in ('invoice_net', 'invoice_tax', 'credit_note_net', 'credit_note_tax', 'payment', 'refund')),
  add constraint transfers_accounts check (case
    when code in ('invoice_net', 'credit_note_net') then (debit_account, credit_account) in (('receivable', 'revenue'), ('revenue', 'receivable'))
    when code in ('invoice_tax', 'credit_note_tax') then (debit_account, credit_account) in (('receivable', 'tax_payable'), ('tax_payable', 'receivable'))
    when code = 'payment' then (debit_account, credit_account) = ('cash', 'receivable')
    else (debit_account, credit_account) = ('receivable', 'cash') end);
