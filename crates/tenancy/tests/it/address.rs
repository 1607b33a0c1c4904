use kernel::{MailboxId, PageRequest};
use tenancy::address::{self, Alias, MAX_ALIASES, Target};
use tenancy::domain::{self, DomainChange};
use tenancy::group::{self, GroupChange, NewGroup};
use tenancy::mailbox::{self, Kind, NewMailbox};
use tenancy::policy::Capability;
use tenancy::user::{self, User, UserChange};
use tenancy::{Error, Role};
use testkit::{World, world};

use crate::lands;

async fn aliases(world: &World) -> Vec<Alias> {
    address::list(&world.ctx, &Default::default(), PageRequest::new(None, None)).await.unwrap().items
}

pub(crate) fn shared(local: &str) -> NewMailbox {
    NewMailbox {
        kind: Kind::Shared,
        display_name: "Info".into(),
        address: format!("{local}@acme.example"),
        aliases: Vec::new(),
        quota_bytes: None,
    }
}

#[tokio::test]
async fn an_alias_keeps_its_id_whatever_else_changes() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let alias = address::create(&world.ctx, "countess@acme.example", Target::Mailbox(ada.mailbox_id)).await;
    let alias = alias.unwrap();
    assert_eq!(
        user::get(&world.ctx, ada.id).await.unwrap().version,
        2,
        "a user's aliases are in their version"
    );
    let change = UserChange { address: Some("lovelace@acme.example".into()), ..UserChange::default() };
    user::update(&world.ctx, ada.id, None, change).await.unwrap();
    let now = aliases(&world).await;
    assert_eq!(
        now.iter().map(|one| one.address.as_str()).collect::<Vec<_>>(),
        ["ada@acme.example", "countess@acme.example"]
    );
    assert!(now.iter().any(|one| one.id == alias.id));
    let wanted = vec!["countess@acme.example".into(), "ada.king@acme.example".into()];
    let change = UserChange { aliases: Some(wanted), ..UserChange::default() };
    let ada = user::update(&world.ctx, ada.id, None, change).await.unwrap();
    assert_eq!(ada.aliases, ["ada.king@acme.example", "countess@acme.example"]);
    assert_eq!(lands(&world, "ada@acme.example").await, []);
    address::delete(&world.ctx, alias.id).await.unwrap();
    assert_eq!(lands(&world, "countess@acme.example").await, []);
    assert!(matches!(address::delete(&world.ctx, alias.id).await, Err(Error::NotFound)));
    let twice = vec!["x@acme.example".into(), "x@acme.example".into()];
    let change = UserChange { aliases: Some(twice), ..UserChange::default() };
    assert_eq!(user::update(&world.ctx, ada.id, None, change).await.unwrap_err().code(), "address_taken");
}

#[tokio::test]
async fn no_way_leads_past_the_limit_of_aliases() {
    let world = World::new().await;
    let full: Vec<String> = (0..MAX_ALIASES).map(|n| format!("a{n}@acme.example")).collect();
    let mut new = world::new_user("ada@acme.example", None);
    new.aliases = full.clone();
    let ada = user::create(&world.ctx, new).await.unwrap();
    let one_more = address::create(&world.ctx, "more@acme.example", Target::Mailbox(ada.mailbox_id)).await;
    assert_eq!(one_more.unwrap_err().code(), "too_many_aliases");
    let before = user::get(&world.ctx, ada.id).await.unwrap();
    let renamed = UserChange { address: Some("lovelace@acme.example".into()), ..UserChange::default() };
    let refused = user::update(&world.ctx, ada.id, None, renamed.clone()).await;
    assert_eq!(refused.unwrap_err().code(), "too_many_aliases", "the old address would be the 101st");
    assert_eq!(user::get(&world.ctx, ada.id).await.unwrap(), before);
    // The old address is given up, or becomes an alias in place of the one that becomes the primary one.
    let given_up = UserChange { aliases: Some(full.clone()), ..renamed };
    let ada = user::update(&world.ctx, ada.id, None, given_up).await.unwrap();
    assert_eq!((ada.address.as_str(), ada.aliases.len()), ("lovelace@acme.example", MAX_ALIASES));
    let exchanged = UserChange { address: Some("a0@acme.example".into()), ..UserChange::default() };
    let ada = user::update(&world.ctx, ada.id, None, exchanged).await.unwrap();
    assert_eq!((ada.address.as_str(), ada.aliases.len()), ("a0@acme.example", MAX_ALIASES));

    let aliases = (0..MAX_ALIASES).map(|n| format!("g{n}@acme.example")).collect();
    let address = Some("all@acme.example".to_owned());
    let new = NewGroup { display_name: "All".into(), address, aliases, ..NewGroup::default() };
    let all = group::create(&world.ctx, new).await.unwrap();
    let change =
        GroupChange { address: Some(Some("everyone@acme.example".into())), ..GroupChange::default() };
    let refused = group::update(&world.ctx, all.id, None, change).await;
    assert_eq!(refused.unwrap_err().code(), "too_many_aliases");
}

#[tokio::test]
async fn aliases_are_of_the_tenant_s_own_mailboxes_and_domains() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let other = crate::neighbour(&world).await;
    let ours = Target::Mailbox(ada.mailbox_id);
    assert!(matches!(address::create(&other, "x@acme.example", ours).await, Err(Error::NotFound)));
    assert!(matches!(address::create(&world.ctx, "x@other.example", ours).await, Err(Error::Invalid(_))));
    assert!(matches!(address::create(&world.ctx, "no address", ours).await, Err(Error::Invalid(_))));
    let taken = address::create(&world.ctx, "ADA@acme.example", ours).await;
    assert_eq!(taken.unwrap_err().code(), "address_taken");
}

/// RFC 6532 §3.1: a letter and its mark are the same in one character as in two.
#[tokio::test]
async fn an_address_is_the_same_composed_and_decomposed() {
    let world = World::new().await;
    let (composed, decomposed) = ("j\u{fc}rgen@acme.example", "ju\u{308}rgen@acme.example");
    let juergen = world::user(&world.ctx, decomposed, None).await;
    assert_eq!(juergen.address, composed);
    let again = user::create(&world.ctx, world::new_user(composed, None)).await;
    assert_eq!(again.unwrap_err().code(), "address_taken");
    for spelling in [composed, decomposed] {
        assert_eq!(lands(&world, spelling).await, [juergen.mailbox_id]);
        let filter = user::Filter { address: Some(spelling.into()), ..Default::default() };
        let found = user::list(&world.ctx, &filter, PageRequest::new(None, None)).await.unwrap();
        assert_eq!(found.items.len(), 1);
    }
    let login = world.login(&User { address: decomposed.into(), ..juergen.clone() }).await;
    assert_eq!(login.user_id, juergen.id);
}

#[tokio::test]
async fn what_follows_a_plus_is_the_recipient_s_own_affair() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    assert_eq!(lands(&world, "ada+lists@acme.example").await, [ada.mailbox_id]);
    assert_eq!(lands(&world, "ada+a+b@acme.example").await, [ada.mailbox_id]);
    assert_eq!(lands(&world, "+ada@acme.example").await, []);
    // Somebody's very address comes first.
    address::create(&world.ctx, "ada+bob@acme.example", Target::Mailbox(bob.mailbox_id)).await.unwrap();
    assert_eq!(lands(&world, "ada+bob@acme.example").await, [bob.mailbox_id]);
    let domain = domain::list(&world.ctx, &Default::default(), PageRequest::new(None, None))
        .await
        .unwrap()
        .items
        .remove(0);
    let change = DomainChange { plus_addressing: Some(false), ..DomainChange::default() };
    let domain = domain::update(&world.ctx, domain.id, Some(domain.version), change).await.unwrap();
    assert!(!domain.plus_addressing);
    assert_eq!(lands(&world, "ada+lists@acme.example").await, []);
    assert_eq!(lands(&world, "ada+bob@acme.example").await, [bob.mailbox_id]);
}

#[tokio::test]
async fn a_catch_all_takes_what_nobody_has_and_no_suspended_user_s_mail() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let domain = domain::list(&world.ctx, &Default::default(), PageRequest::new(None, None))
        .await
        .unwrap()
        .items
        .remove(0);
    let to = |mailbox| DomainChange { catch_all_mailbox_id: Some(mailbox), ..DomainChange::default() };
    domain::update(&world.ctx, domain.id, None, to(Some(ada.mailbox_id))).await.unwrap();
    assert_eq!(lands(&world, "anybody@acme.example").await, [ada.mailbox_id]);
    assert_eq!(lands(&world, "bob@acme.example").await, [bob.mailbox_id]);
    user::suspend(&world.ctx, bob.id, None, &[Capability::Receive]).await.unwrap();
    assert_eq!(lands(&world, "bob@acme.example").await, [], "his mail is refused, and nobody else's to read");
    assert_eq!(lands(&world, "bob+x@acme.example").await, []);
    user::delete(&world.ctx, ada.id, None).await.unwrap();
    assert_eq!(lands(&world, "anybody@acme.example").await, []);
    domain::update(&world.ctx, domain.id, None, to(None)).await.unwrap();
    let unknown = MailboxId::from_uuid(uuid::Uuid::from_u128(1));
    let refused = domain::update(&world.ctx, domain.id, None, to(Some(unknown))).await;
    assert!(matches!(refused, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn postmaster_and_abuse_always_land_somewhere() {
    let world = World::new().await;
    assert_eq!(lands(&world, "postmaster@acme.example").await, [], "there is no mailbox yet");
    let ada = world.user("ada", None).await;
    world.user("bob", None).await;
    for local in ["postmaster", "Abuse"] {
        assert_eq!(lands(&world, &format!("{local}@acme.example")).await, [ada.mailbox_id], "the oldest");
    }
    let mut new = world::new_user("root@acme.example", None);
    new.role = Role::TenantAdmin;
    let admin = user::create(&world.ctx, new).await.unwrap();
    assert_eq!(lands(&world, "abuse@acme.example").await, [admin.mailbox_id]);
    let desk = mailbox::create(&world.ctx, shared("abuse")).await.unwrap();
    assert_eq!(lands(&world, "abuse@acme.example").await, [desk.id]);
    mailbox::delete(&world.ctx, desk.id, None).await.unwrap();
    assert_eq!(lands(&world, "abuse@acme.example").await, [admin.mailbox_id]);
    assert_eq!(lands(&world, "webmaster@acme.example").await, []);
}
