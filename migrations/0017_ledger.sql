-- The ledger, and how much of the event log each document was made from. Owned by crates/billing.

-- Double entry: each row moves an amount from one account to another, so that debits and credits cannot differ. An account
-- is (issuer, customer, what it is for, currency): a row names the first two and the currency once, for both of its sides.
create table transfers (
  tenant_id uuid not null references tenants (id),
  -- The id of the document that it posts, and which leg of it.
  reference uuid not null,
  code text not null constraint transfers_code check (code in ('invoice_net', 'invoice_tax', 'credit_note_net', 'credit_note_tax')),
  issuer_id uuid not null,
  debit_account text not null,
  credit_account text not null,
  currency text not null constraint transfers_currency_form check (currency ~ '^[A-Z]{3}$'),
  amount_minor bigint not null constraint transfers_amount_sign check (amount_minor > 0),
  -- The local day that it counts for, and when it was written.
  effective_on date not null,
  posted_at timestamptz not null,
  constraint transfers_once primary key (tenant_id, reference, code),
  constraint transfers_accounts check (case
    when code in ('invoice_net', 'credit_note_net') then (debit_account, credit_account) in (('receivable', 'revenue'), ('revenue', 'receivable'))
    else (debit_account, credit_account) in (('receivable', 'tax_payable'), ('tax_payable', 'receivable')) end)
);
create index transfers_issuer on transfers (issuer_id, effective_on);

-- Documents that are there already, as if they had been posted when they were finalised.
insert into transfers (tenant_id, reference, code, issuer_id, debit_account, credit_account, currency, amount_minor, effective_on, posted_at)
  select i.tenant_id, i.id, i.kind || '_' || leg.name, i.issuer_id,
    case when leg.amount_minor > 0 then 'receivable' else leg.account end,
    case when leg.amount_minor > 0 then leg.account else 'receivable' end,
    i.currency, abs(leg.amount_minor), i.issued_on, i.finalized_at
  from invoices i
  cross join lateral (values ('net', 'revenue', i.net_minor), ('tax', 'tax_payable', i.tax_minor)) leg (name, account, amount_minor)
  where leg.amount_minor <> 0;
select protect_tenant_table('transfers');

-- Each boundary that was billed, in which calendar, and how many entries of the three logs were known then: they are only ever
-- appended to, so that a document can be computed again as it was. Boundaries of before this table have no row.
create table billed_boundaries (
  tenant_id uuid not null references tenants (id),
  boundary date not null,
  time_zone text not null,
  seat_changes_known bigint not null,
  commitments_known bigint not null,
  terms_known bigint not null,
  constraint billed_boundaries_once primary key (tenant_id, boundary)
);
select protect_tenant_table('billed_boundaries');

-- What was written stays: nobody holds the right to change it, and only a tenant's own transaction writes.
revoke update, delete on transfers, billed_boundaries from pillarbox_tenant;
revoke insert, update, delete on transfers, billed_boundaries from pillarbox_system;
