//! The operator's keys: installed once from a secret that was written down before.

use kernel::PageRequest;
use tenancy::auth::Auth;
use tenancy::{Error, Role, api_key};
use testkit::World;

#[tokio::test]
async fn a_secret_is_installed_once_and_proves_the_operator() {
    let world = World::new().await;
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let secret = api_key::new_secret(world.test_db.db().env());
    let proof = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    assert!(
        matches!(auth.bearer(&proof, world.origin()).await, Err(Error::Unauthenticated)),
        "not yet a key"
    );
    assert!(api_key::install_for_operator(&world.operator, &secret).await.unwrap());
    assert!(!api_key::install_for_operator(&world.operator, &secret).await.unwrap());
    let caller = auth.bearer(&proof, world.origin()).await.unwrap();
    assert_eq!(caller.role(), Role::Operator);
    let keys = api_key::list_of_operator(&caller, PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(keys.len(), 1);
}

#[tokio::test]
async fn only_the_operator_installs_and_only_what_is_a_secret() {
    let world = World::new().await;
    let garbage = api_key::install_for_operator(&world.operator, &"not a key".into()).await;
    assert!(matches!(garbage, Err(Error::Invalid(_))), "{garbage:?}");
    let somebody = world.login(&world.user("ada", None).await).await.ctx.caller().clone();
    let secret = api_key::new_secret(world.test_db.db().env());
    let refused = api_key::install_for_operator(&somebody, &secret).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let refused = api_key::list_of_operator(&somebody, PageRequest::new(None, None)).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))));
}
