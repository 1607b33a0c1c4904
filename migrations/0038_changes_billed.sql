-- When what changes in mid-cycle is billed is of a price for seats, and holds for all that a subscription by it has. Owned by crates/billing.
alter table prices
  add column changes_billed text not null default 'monthly' constraint prices_changes_billed check (changes_billed in ('monthly', 'daily')),
  add constraint prices_changes_of_seats check (item = 'mailbox' or changes_billed = 'monthly');
