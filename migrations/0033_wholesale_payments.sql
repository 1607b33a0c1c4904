-- What resellers pay the operator of its wholesale documents. Owned by crates/billing.

-- A bank transfer that has arrived; final when it is recorded.
create table wholesale_payments (
  reseller_id uuid not null references wholesale_agreements (reseller_id),
  id uuid not null,
  -- What it is meant for first; null: the reseller's balance.
  invoice_id uuid,
  currency text not null constraint wholesale_payments_currency_form check (currency ~ '^[A-Z]{3}$'),
  amount_minor bigint not null constraint wholesale_payments_amount_sign check (amount_minor > 0),
  -- What the transfer says.
  reference text not null,
  -- The day in the agreement's calendar that it counts for.
  received_on date not null,
  created_at timestamptz not null,
  primary key (reseller_id, id),
  foreign key (reseller_id, invoice_id) references wholesale_invoices (reseller_id, id)
);
create unique index wholesale_payments_by_id on wholesale_payments (id);

-- What was paid back of one, or was never there.
create table wholesale_refunds (
  reseller_id uuid not null,
  id uuid not null,
  payment_id uuid not null,
  amount_minor bigint not null constraint wholesale_refunds_amount_sign check (amount_minor > 0),
  reason text not null,
  refunded_on date not null,
  created_at timestamptz not null,
  primary key (reseller_id, id),
  foreign key (reseller_id, payment_id) references wholesale_payments (reseller_id, id)
);
create index wholesale_refunds_payment on wholesale_refunds (reseller_id, payment_id);

-- The operator's ledger has cash now.
alter table wholesale_transfers drop constraint wholesale_transfers_code, drop constraint wholesale_transfers_accounts;
alter table wholesale_transfers
  add constraint wholesale_transfers_code
    check (code in ('invoice_net', 'invoice_tax', 'credit_note_net', 'credit_note_tax', 'payment', 'refund')),
  add constraint wholesale_transfers_accounts check (case
    when code in ('invoice_net', 'credit_note_net') then (debit_account, credit_account) in (('receivable', 'revenue'), ('revenue', 'receivable'))
    when code in ('invoice_tax', 'credit_note_tax') then (debit_account, credit_account) in (('receivable', 'tax_payable'), ('tax_payable', 'receivable'))
    when code = 'payment' then (debit_account, credit_account) = ('cash', 'receivable')
    else (debit_account, credit_account) = ('receivable', 'cash') end);

-- No tenant sees any of it, and what was written stays.
do $$
declare t text;
begin
  foreach t in array array['wholesale_payments', 'wholesale_refunds'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy system on %I to pillarbox_system using ((select acts_as_system())) with check ((select acts_as_system()))', t);
    execute format('grant select, insert on %I to pillarbox_system', t);
  end loop;
end $$;
