use testkit::World;

#[tokio::test]
async fn people_can_sign_in_and_keys_prove_the_operator() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    assert_eq!(world.login(&ada).await.mailbox_id, ada.mailbox_id);
    let auth = tenancy::auth::Auth::new(world.test_db.db()).await.unwrap();
    let caller = auth.bearer(&world.operator_key().await, world.origin()).await.unwrap();
    assert_eq!(caller.enter(world.tenant.id).await.unwrap().tenant_id(), world.tenant.id);
}
