//! Users and their addresses.

use secrecy::ExposeSecret as _;
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use tenancy::delegate::{self, Right};
use tenancy::group::{self, GroupChange, NewGroup};
use tenancy::mailbox::{self, Kind, MailboxChange, NewMailbox};
use tenancy::user::{UserChange, directory};
use tenancy::{Action, Ctx, Error, Role, user};
use testkit::{World, world};

use crate::neighbour;

#[tokio::test]
async fn an_address_has_one_mailbox_whatever_its_spelling() {
    let world = World::new().await;
    let mut new = world::new_user("Ada@ACME.example", None);
    new.aliases = vec!["countess@acme.example".into()];
    let ada = user::create(&world.ctx, new).await.unwrap();
    assert_eq!(
        (ada.address.as_str(), ada.aliases.as_slice()),
        ("ada@acme.example", &["countess@acme.example".to_owned()][..])
    );
    assert_eq!(user::get(&world.ctx, ada.id).await.unwrap().aliases, ada.aliases);
    for taken in ["aDa@acme.example", "countess@acme.example"] {
        let refused = user::create(&world.ctx, world::new_user(taken, None)).await;
        assert_eq!(refused.unwrap_err().code(), "address_taken");
    }
    let recipients = tenancy::recipient::Recipients::new(world.test_db.db());
    for address in ["ada@acme.example", "Countess@acme.example"] {
        let found = recipients.resolve(&address.parse().unwrap(), world.request_id()).await.unwrap().unwrap();
        assert_eq!(found.mailbox_ids, [ada.mailbox_id]);
    }
    let unknown = recipients.resolve(&"x@acme.example".parse().unwrap(), world.request_id()).await.unwrap();
    assert!(unknown.is_none());
}

#[tokio::test]
async fn bad_input_is_refused_with_its_place() {
    let world = World::new().await;
    let mut new = world::new_user("no address", Some(-1));
    new.aliases = vec!["also none".into()];
    new.role = Role::Operator;
    new.password = Some("short".to_owned().into());
    let Err(Error::Invalid(mistakes)) = user::create(&world.ctx, new).await else { panic!("accepted") };
    let pointers = mistakes.iter().map(|mistake| mistake.pointer.as_str()).collect::<Vec<_>>();
    assert_eq!(pointers, ["/address", "/aliases/0", "/password", "/quota_bytes", "/role"]);
    let foreign = user::create(&world.ctx, world::new_user("ada@elsewhere.example", None)).await;
    assert!(matches!(foreign, Err(Error::Invalid(_))), "{foreign:?}");
    assert_eq!(tenancy::tenant::get(&world.ctx).await.unwrap().seats_used, 0);
}

#[tokio::test]
async fn a_domain_belongs_to_one_tenant() {
    let world = World::new().await;
    let other = neighbour(&world).await;
    let waiting = tenancy::domain::create(&other, "ACME.example").await.unwrap();
    let refused = tenancy::domain::verify(&other, waiting.id, tenancy::domain::Proof::Operator).await;
    assert!(matches!(refused, Err(Error::Conflict { code: "domain_taken", .. })), "{refused:?}");
}

/// The tenant, entered with a key of the role.
async fn by_key(world: &World, role: Role) -> Ctx {
    entered(world, NewApiKey::full(role)).await
}

/// The tenant, entered with a new key.
async fn entered(world: &World, key: NewApiKey) -> Ctx {
    let (_, secret) = api_key::create_for_tenant(&world.ctx, key).await.unwrap();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    auth.bearer(secret.expose_secret(), world.origin()).await.unwrap().enter(world.tenant.id).await.unwrap()
}

#[tokio::test]
async fn whoever_may_change_users_and_no_aliases_changes_none() {
    let world = World::new().await;
    let mut new = world::new_user("ada@acme.example", None);
    new.aliases = vec!["countess@acme.example".into()];
    let ada = user::create(&world.ctx, new).await.unwrap();
    let helpdesk = by_key(&world, Role::Helpdesk).await;
    let aliases = |aliases: &[&str]| Some(aliases.iter().map(|&alias| alias.to_owned()).collect());
    let lists: [&[&str]; 3] = [&[], &["countess@acme.example", "a@acme.example"], &["a@acme.example"]];
    for others in lists {
        let change = UserChange { aliases: aliases(others), ..UserChange::default() };
        let refused = user::update(&helpdesk, ada.id, None, change.clone()).await;
        assert!(matches!(refused, Err(Error::Forbidden("aliases:write"))), "{others:?}: {refused:?}");
        let renamed = UserChange { address: Some("lovelace@acme.example".into()), ..change };
        let refused = user::update(&helpdesk, ada.id, None, renamed).await;
        assert!(matches!(refused, Err(Error::Forbidden("aliases:write"))), "{others:?}: {refused:?}");
    }
    // As they are, and beside a new primary address.
    let same = UserChange { aliases: aliases(&["Countess@acme.example"]), ..UserChange::default() };
    assert_eq!(user::update(&helpdesk, ada.id, None, same.clone()).await.unwrap(), ada);
    let renamed = UserChange { address: Some("lovelace@acme.example".into()), aliases: None, ..same };
    let ada = user::update(&helpdesk, ada.id, None, renamed).await.unwrap();
    assert_eq!(ada.aliases, ["ada@acme.example", "countess@acme.example"]);
    // The old one stays, where others are named too.
    let rename = |others: &[&str]| UserChange {
        address: Some("a@acme.example".into()),
        aliases: aliases(others),
        ..UserChange::default()
    };
    let had = ["ada@acme.example", "countess@acme.example"];
    let refused = user::update(&helpdesk, ada.id, None, rename(&had)).await;
    assert!(matches!(refused, Err(Error::Forbidden("aliases:write"))), "{refused:?}");
    // By a directory it is the same for this role.
    let of_account = directory::Change { user: rename(&had), ..directory::Change::default() };
    let change = |_: &directory::Account| Ok::<_, Error>(of_account);
    let refused = directory::update(&helpdesk, ada.id, None, None, change).await;
    assert!(matches!(refused, Err(Error::Forbidden("aliases:write"))), "{refused:?}");
    let all = [&had[..], &["lovelace@acme.example"]].concat();
    let ada = user::update(&helpdesk, ada.id, None, rename(&all)).await.unwrap();
    assert_eq!(ada.aliases, all);
    let admin = by_key(&world, Role::TenantAdmin).await;
    let change = UserChange { aliases: aliases(&[]), ..UserChange::default() };
    assert_eq!(user::update(&admin, ada.id, None, change).await.unwrap().aliases, Vec::<String>::new());
}

#[tokio::test]
async fn a_directory_s_key_changes_aliases_by_its_right_to_users() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let actions = [Action::UserRead, Action::UserWrite].into();
    let key = entered(&world, NewApiKey { actions, ..NewApiKey::full(Role::TenantAdmin) }).await;
    let aliases = Some(vec!["countess@acme.example".to_owned()]);
    let change = UserChange { aliases, ..UserChange::default() };
    let refused = user::update(&key, ada.id, None, change.clone()).await;
    assert!(matches!(refused, Err(Error::Forbidden("aliases:write"))), "{refused:?}");
    let change = directory::Change { user: change, may_sign_in: Some(false), quota_bytes: None };
    let account = directory::update(&key, ada.id, None, None, |_| Ok::<_, Error>(change)).await.unwrap();
    assert_eq!(account.user.aliases, ["countess@acme.example"]);
    assert!(!account.may_sign_in());
}

#[tokio::test]
async fn aliases_of_mailboxes_and_groups_need_the_right_to_aliases() {
    let world = World::new().await;
    let actions = [Action::MailboxWrite, Action::GroupWrite].into();
    let narrowed = entered(&world, NewApiKey { actions, ..NewApiKey::full(Role::TenantAdmin) }).await;
    let (old, new) = (vec!["info@acme.example".to_owned()], Some(vec!["team@acme.example".to_owned()]));
    let mailbox = NewMailbox {
        kind: Kind::Shared,
        display_name: "Desk".into(),
        address: "desk@acme.example".into(),
        aliases: old.clone(),
        quota_bytes: None,
    };
    let id = mailbox::create(&narrowed, mailbox).await.unwrap().id;
    let change = MailboxChange { aliases: new.clone(), ..MailboxChange::default() };
    let refused = mailbox::update(&narrowed, id, None, change).await;
    assert!(matches!(refused, Err(Error::Forbidden("aliases:write"))), "{refused:?}");
    let address = Some("front@acme.example".to_owned());
    let both = vec!["desk@acme.example".to_owned(), "info@acme.example".to_owned()];
    let change = MailboxChange { address, aliases: Some(both.clone()), display_name: None };
    assert_eq!(mailbox::update(&narrowed, id, None, change).await.unwrap().aliases, both);

    let aliases = vec!["all@acme.example".to_owned()];
    let group = NewGroup { display_name: "All".into(), aliases, ..NewGroup::default() };
    let id = group::create(&narrowed, group).await.unwrap().id;
    let change = GroupChange { aliases: new, ..GroupChange::default() };
    let refused = group::update(&narrowed, id, None, change.clone()).await;
    assert!(matches!(refused, Err(Error::Forbidden("aliases:write"))), "{refused:?}");
    group::update(&world.ctx, id, None, change).await.unwrap();
}

#[tokio::test]
async fn whoever_uses_an_administrator_s_mailbox_is_no_helpdesk_s_to_change() {
    let world = World::new().await;
    let helpdesk = by_key(&world, Role::Helpdesk).await;
    let mut root = world::new_user("root@acme.example", None);
    root.role = Role::TenantAdmin;
    let root = user::create(&world.ctx, root).await.unwrap();
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let reset = async || user::reset_password(&helpdesk, ada.id, "another good password".into()).await;
    for &right in Right::ALL {
        delegate::put(&world.ctx, root.mailbox_id, ada.id, &[right]).await.unwrap();
        let refused = reset().await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{right}: {refused:?}");
        delegate::remove(&world.ctx, root.mailbox_id, ada.id).await.unwrap();
        // Another person's mailbox is no more than a person's.
        delegate::put(&world.ctx, bob.mailbox_id, ada.id, &[right]).await.unwrap();
        reset().await.unwrap();
    }
}
