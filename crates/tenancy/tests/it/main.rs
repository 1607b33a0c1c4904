//! The control plane against a real Postgres.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod address;
mod auth;
mod credential;
mod event;
mod group;
mod idempotency;
mod isolation;
mod lifecycle;
mod mailbox;
mod offboard;
mod operator_key;
mod policy;
mod pool;
mod quota;
mod seats;
mod tenant;
mod tenant_lifecycle;
mod upgrade;
mod user;
mod webhook_endpoint;

use tenancy::Ctx;
use testkit::{World, world};

/// Another tenant of the same reseller, entered by the operator.
async fn neighbour(world: &World) -> Ctx {
    let tenant = world::tenant(&world.operator, &world.reseller, "Other").await;
    world.operator.enter(tenant.id).await.unwrap()
}
