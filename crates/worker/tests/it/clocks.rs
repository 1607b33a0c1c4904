//! Servers whose clocks differ, each with its part in what endpoints are told of mail.

use chrono::TimeDelta;
use tenancy::webhook_endpoint::{self, DeliveryStatus};
use testkit::World;

use crate::delivered::{arriving, asking, change, claim, enabled, put, store, told};

#[tokio::test]
async fn what_was_queued_before_an_endpoint_asks_again_is_known_whatever_the_clocks_of_servers_say() {
    let world = World::new().await;
    let store = store(&world).await;
    world.user("ada", None).await;
    let operator = &world.operator;
    let asks = asking(operator).await;
    let to = arriving(&world, "ada@acme.example").await;
    let arrives = async || put(&store, &world, std::slice::from_ref(&to)).await[0].unwrap();
    let now = world.test_db.db().env().now();
    let on_a_server = |minutes| world.test_db.clock().set(now + TimeDelta::minutes(minutes));

    // Taken in before, where the clock is ahead; and before it is disabled a second time, where it is behind.
    on_a_server(10);
    arrives().await;
    on_a_server(0);
    change(operator, &asks, enabled(false)).await;
    change(operator, &asks, enabled(true)).await;
    on_a_server(-10);
    arrives().await;
    on_a_server(0);
    change(operator, &asks, enabled(false)).await;
    change(operator, &asks, enabled(true)).await;
    on_a_server(20);
    assert!(claim(&world).await.is_empty());
    let waited = told(operator, &asks).await;
    assert!(waited.iter().all(|one| one.status == DeliveryStatus::Failed), "{waited:?}");

    // Taken in since, where the clock is behind; and asked to be sent again there.
    on_a_server(-10);
    arrives().await;
    webhook_endpoint::replay(operator, asks.id, waited[0].id).await.unwrap();
    on_a_server(0);
    let due: Vec<_> = claim(&world).await.iter().map(|due| due.id).collect();
    assert_eq!(due.len(), 2);
    assert!(due.contains(&waited[0].id) && !due.contains(&waited[1].id));
    on_a_server(20);
    assert_eq!(webhook_endpoint::expire(&world.test_db.db()).await.unwrap(), 1);
}
