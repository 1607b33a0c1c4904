//! Sessions that end while they begin or go on.

use secrecy::{ExposeSecret as _, SecretString};
use tenancy::auth::{Auth, Grant, Tokens};
use tenancy::user::User;
use tenancy::{Error, user};
use testkit::{World, world};
use tokio::task::JoinHandle;

use crate::desk::{held, until_waiting};

/// Holds whoever is about to insert a refresh token, after all that comes before it.
const HOLD_TOKENS: &str = "create function slow() returns trigger language plpgsql
      as $$ begin perform pg_advisory_xact_lock_shared(42); return new; end $$;
    create trigger slow before insert on refresh_tokens for each row execute function slow();
    commit; begin; select pg_advisory_xact_lock(42)";

async fn ada(world: &World) -> (Auth, User) {
    (Auth::new(world.test_db.db()).await.unwrap(), world.user("ada", None).await)
}

fn by_password() -> Grant {
    Grant::Password { username: "ada@acme.example".into(), password: world::PASSWORD.into() }
}

fn by_refresh(tokens: &Tokens) -> Grant {
    Grant::RefreshToken { refresh_token: tokens.refresh.clone().unwrap() }
}

fn ask(world: &World, auth: &Auth, grant: Grant) -> JoinHandle<Result<Tokens, Error>> {
    let (auth, origin) = (auth.clone(), world.origin());
    tokio::spawn(async move { auth.token(grant, origin).await })
}

fn reset(world: &World, user: &User) -> JoinHandle<Result<(), Error>> {
    let (ctx, id) = (world.ctx.clone(), user.id);
    tokio::spawn(
        async move { user::reset_password(&ctx, id, SecretString::from("another good password")).await },
    )
}

async fn require_refresh_over(world: &World, auth: &Auth, tokens: &Tokens) {
    let refused = auth.token(by_refresh(tokens), world.origin()).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
}

async fn require_over(world: &World, auth: &Auth, tokens: &Tokens) {
    let access = auth.bearer(tokens.access.token.expose_secret(), world.origin()).await;
    assert!(matches!(access, Err(Error::Unauthenticated)), "{access:?}");
    require_refresh_over(world, auth, tokens).await;
}

#[tokio::test]
async fn a_sign_in_by_the_old_password_that_ends_after_the_new_one_is_set_gives_no_session() {
    let world = World::new().await;
    let (auth, ada) = ada(&world).await;
    let mut holder = held(&world, HOLD_TOKENS).await;
    let late = ask(&world, &auth, by_password());
    until_waiting(&mut holder, 1).await;
    reset(&world, &ada).await.unwrap().unwrap();
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    require_over(&world, &auth, &late.await.unwrap().unwrap()).await;
}

#[tokio::test]
async fn a_session_that_goes_on_while_the_password_is_changed_ends_with_the_others() {
    let world = World::new().await;
    let (auth, ada) = ada(&world).await;
    let first = auth.token(by_password(), world.origin()).await.unwrap();
    let mut holder = held(&world, HOLD_TOKENS).await;
    let rotating = ask(&world, &auth, by_refresh(&first));
    until_waiting(&mut holder, 1).await;
    let resetting = reset(&world, &ada);
    until_waiting(&mut holder, 2).await;
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    resetting.await.unwrap().unwrap();
    // Whether the new password came before the access token was made or after it.
    match rotating.await.unwrap() {
        Ok(second) => require_over(&world, &auth, &second).await,
        Err(error) => assert!(matches!(error, Error::Unauthenticated), "{error:?}"),
    }
}

#[tokio::test]
async fn a_token_used_twice_ends_its_family_with_the_token_that_is_being_made() {
    let world = World::new().await;
    let (auth, _) = ada(&world).await;
    let first = auth.token(by_password(), world.origin()).await.unwrap();
    let second = auth.token(by_refresh(&first), world.origin()).await.unwrap();
    let mut holder = held(&world, HOLD_TOKENS).await;
    let rotating = ask(&world, &auth, by_refresh(&second));
    until_waiting(&mut holder, 1).await;
    let reusing = ask(&world, &auth, by_refresh(&first));
    until_waiting(&mut holder, 2).await;
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    let third = rotating.await.unwrap().unwrap();
    let reused = reusing.await.unwrap();
    assert!(matches!(reused, Err(Error::Unauthenticated)), "{reused:?}");
    require_refresh_over(&world, &auth, &third).await;
}
