-- A price of a year that is paid by the month: how it was agreed, and which part of its price a cycle pays.
alter table subscription_terms add column payment_schedule text not null default 'at_once'
  constraint subscription_terms_payment_schedule check (payment_schedule in ('at_once', 'monthly'));
alter table billing_coverage
  add column instalment integer not null default 1,
  add column instalments integer not null default 1,
  add constraint billing_coverage_instalment check (instalment between 1 and instalments);
