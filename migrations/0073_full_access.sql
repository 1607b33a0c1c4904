-- A delegate may change the mail of a mailbox and not only read it. Owned by crates/tenancy.
alter table mailbox_delegates
  drop constraint mailbox_delegates_rights,
  add constraint mailbox_delegates_rights check (rights <@ '{read,full_access,send_as,send_on_behalf}' and rights <> '{}');
