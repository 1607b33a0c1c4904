-- What providers charge issuers for disputes, and give back. Owned by crates/billing.

-- Each as the provider booked it, in the currency in which it settles with the issuer; final when it is noted. It is the
-- issuer's cost, never the customer's debt, and may be of a dispute that took nothing.
create table dispute_fees (
  tenant_id uuid not null references tenants (id),
  id uuid not null,
  payment_id uuid not null,
  -- The provider's ids of the dispute and of its booking.
  dispute_reference text not null,
  provider_reference text not null,
  currency text not null constraint dispute_fees_currency_form check (currency ~ '^[A-Z]{3}$'),
  -- Below nothing is given back.
  amount_minor bigint not null constraint dispute_fees_amount_sign check (amount_minor <> 0),
  -- The customer's local day that it counts for.
  charged_on date not null,
  created_at timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, payment_id) references payments (tenant_id, id),
  constraint dispute_fees_once unique (tenant_id, payment_id, provider_reference)
);
select protect_tenant_table('dispute_fees');
revoke insert, update, delete on dispute_fees from pillarbox_system;
revoke update, delete on dispute_fees from pillarbox_tenant;

alter table transfers drop constraint transfers_code, drop constraint transfers_accounts;
alter table transfers
  add constraint transfers_code check (code in ('invoice_net', 'invoice_tax', 'credit_note_net', 'credit_note_tax', 'payment', 'refund',
    'refund_returned', 'dispute', 'dispute_reinstated', 'dispute_fee', 'dispute_fee_returned')),
  add constraint transfers_accounts check (case
    when code in ('invoice_net', 'credit_note_net') then (debit_account, credit_account) in (('receivable', 'revenue'), ('revenue', 'receivable'))
    when code in ('invoice_tax', 'credit_note_tax') then (debit_account, credit_account) in (('receivable', 'tax_payable'), ('tax_payable', 'receivable'))
    when code in ('payment', 'refund_returned', 'dispute_reinstated') then (debit_account, credit_account) = ('cash', 'receivable')
    when code = 'dispute_fee' then (debit_account, credit_account) = ('provider_fees', 'cash')
    when code = 'dispute_fee_returned' then (debit_account, credit_account) = ('cash', 'provider_fees')
    else (debit_account, credit_account) = ('receivable', 'cash') end);
