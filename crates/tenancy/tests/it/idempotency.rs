//! A key's request is carried out once.

use chrono::TimeDelta;
use futures::future::join_all;
use tenancy::Error;
use tenancy::idempotency::{self, Answer, Claim};
use testkit::World;

fn created() -> Answer {
    let (location, etag) = (Some("/v1/tenants/x".into()), Some("\"1\"".into()));
    Answer { status: 201, content_type: "application/json".into(), location, etag, body: b"{}".to_vec() }
}

fn code(outcome: Result<Claim, Error>) -> &'static str {
    match outcome {
        Ok(Claim::Fresh) => "fresh",
        Ok(Claim::Replay(_)) => "replay",
        Err(error) => error.code(),
    }
}

#[tokio::test]
async fn an_answered_key_replays_and_serves_no_other_request() {
    let world = World::new().await;
    let caller = &world.operator;
    assert_eq!(code(idempotency::claim(caller, "k", &[1; 32]).await), "fresh");
    idempotency::answer(caller, "k", &created()).await.unwrap();
    let Ok(Claim::Replay(kept)) = idempotency::claim(caller, "k", &[1; 32]).await else {
        panic!("no replay")
    };
    assert_eq!(kept, created());
    assert_eq!(code(idempotency::claim(caller, "k", &[2; 32]).await), "idempotency_key_reuse");
    world.test_db.clock().advance(TimeDelta::hours(25));
    assert_eq!(code(idempotency::claim(caller, "k", &[2; 32]).await), "fresh");
}

#[tokio::test]
async fn of_many_at_once_one_goes_ahead() {
    let world = World::new().await;
    let claims = join_all((0..16).map(|_| idempotency::claim(&world.operator, "k", &[1; 32]))).await;
    let codes = claims.into_iter().map(code).collect::<Vec<_>>();
    assert_eq!(codes.iter().filter(|code| **code == "fresh").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "idempotency_key_in_use").count(), 15, "{codes:?}");
}

#[tokio::test]
async fn a_request_without_an_answer_is_never_repeated() {
    let world = World::new().await;
    assert_eq!(code(idempotency::claim(&world.operator, "k", &[1; 32]).await), "fresh");
    world.test_db.clock().advance(TimeDelta::minutes(12));
    assert_eq!(code(idempotency::claim(&world.operator, "k", &[1; 32]).await), "idempotency_key_unresolved");
    idempotency::release(&world.operator, "k").await.unwrap();
    assert_eq!(code(idempotency::claim(&world.operator, "k", &[1; 32]).await), "fresh");
}
