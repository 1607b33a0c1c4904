//! The control plane against a real Postgres.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod address;
mod auth;
mod credential;
mod desk;
mod effect;
mod event;
mod group;
mod idempotency;
mod intake;
mod isolation;
mod lifecycle;
mod mailbox;
mod offboard;
mod operator_key;
mod policy;
mod pool;
mod quota;
mod reading;
mod sasl;
mod seats;
mod session;
mod shared_mailboxes;
mod tenant;
mod tenant_lifecycle;
mod transaction;
mod upgrade;
mod user;
mod webhook_endpoint;

use kernel::MailboxId;
use tenancy::Ctx;
use tenancy::recipient::Recipients;
use testkit::{World, world};

/// Another tenant of the same reseller, entered by the operator.
async fn neighbour(world: &World) -> Ctx {
    let tenant = world::tenant(&world.operator, &world.reseller, "Other").await;
    world.operator.enter(tenant.id).await.unwrap()
}

/// Whose mailboxes an address leads to; none when its mail is refused.
async fn lands(world: &World, address: &str) -> Vec<MailboxId> {
    let recipients = Recipients::new(world.test_db.db());
    let found = recipients.resolve(&address.parse().unwrap(), world.request_id()).await.unwrap();
    found.map(|found| found.mailbox_ids).unwrap_or_default()
}
