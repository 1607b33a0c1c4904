-- Exports for accounting. Owned by crates/billing.

-- An issuer's documents and transfers in the order in which they are exported, so that a page begins where the last one ended.
create index invoices_export on invoices (issuer_id, issued_on, id);
drop index invoices_issuer_day;
create index transfers_export on transfers (issuer_id, effective_on, reference, code);
drop index transfers_issuer;
