//! The API as a portal meets it: one file per resource, a fresh database for each test.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;
mod support_access;

mod api_key;
mod billing;
mod caps;
mod delegate;
mod document;
mod domain;
mod dry_run;
mod event;
mod export;
mod folder;
mod group;
mod health;
mod idempotency;
mod invoice;
mod isolation;
mod list;
mod mailbox;
mod message;
mod name;
mod problem;
mod rate;
mod reseller;
mod restore;
mod scim;
mod serve;
mod tenant;
mod token;
mod unanswered;
mod user;
mod webhook_endpoint;
mod wholesale;
