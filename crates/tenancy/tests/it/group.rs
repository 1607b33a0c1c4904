use futures::future::join_all;
use kernel::{GroupId, PageRequest};
use tenancy::event::Kind;
use tenancy::group::{self, Group, GroupChange, Member, NewGroup, directory};
use tenancy::policy::Capability;
use tenancy::{Error, user};
use testkit::World;

use crate::lands;

async fn make(world: &World, name: &str, members: &[Member]) -> Group {
    let new = NewGroup {
        display_name: name.into(),
        address: Some(format!("{name}@acme.example")),
        members: members.to_vec(),
        ..NewGroup::default()
    };
    group::create(&world.ctx, new).await.unwrap()
}

async fn members(world: &World, id: GroupId) -> Vec<Member> {
    group::members(&world.ctx, id, PageRequest::new(None, None)).await.unwrap().items
}

#[tokio::test]
async fn mail_to_a_group_goes_to_each_mailbox_below_it_once() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let mailbox = |user: &user::User| Member::Mailbox(user.mailbox_id);
    let inner = make(&world, "inner", &[mailbox(&ada), mailbox(&bob)]).await;
    let outer = make(&world, "outer", &[mailbox(&ada), Member::Group(inner.id)]).await;
    assert_eq!((outer.member_count, outer.address.as_deref()), (2, Some("outer@acme.example")));
    let mut both = vec![ada.mailbox_id, bob.mailbox_id];
    both.sort();
    assert_eq!(lands(&world, "outer@acme.example").await, both);
    // Somebody who may not receive, and who was deleted, gets none; the others do.
    user::suspend(&world.ctx, bob.id, None, &[Capability::Receive]).await.unwrap();
    assert_eq!(lands(&world, "outer@acme.example").await, [ada.mailbox_id]);
    user::delete(&world.ctx, ada.id, None).await.unwrap();
    assert_eq!(lands(&world, "outer@acme.example").await, []);
    assert_eq!(members(&world, outer.id).await, [Member::Group(inner.id)]);
    user::restore(&world.ctx, ada.id, None).await.unwrap();
    assert_eq!(lands(&world, "inner@acme.example").await, [ada.mailbox_id]);
    group::delete(&world.ctx, inner.id, None).await.unwrap();
    assert_eq!(lands(&world, "inner@acme.example").await, []);
    assert_eq!(members(&world, outer.id).await, [mailbox(&ada)]);
}

/// By whichever way it comes into a group, so that whoever follows the feed knows who is in it.
#[tokio::test]
async fn each_member_is_told_of_once() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let mailbox = |user: &user::User| Member::Mailbox(user.mailbox_id);
    let a = make(&world, "a", &[mailbox(&ada), mailbox(&ada)]).await;
    let new = NewGroup { display_name: "B".into(), ..NewGroup::default() };
    let entries = [directory::Entry::User(bob.id), directory::Entry::Group(a.id)];
    let b = directory::create(&world.ctx, new, &entries.into()).await.unwrap().group;
    group::add_member(&world.ctx, a.id, mailbox(&bob)).await.unwrap();
    let told = world.noted(Kind::GroupMemberAdded).await;
    let mut told: Vec<(String, String)> = told
        .into_iter()
        .map(|one| (one.event.subject, one.event.data["member_id"].as_str().unwrap().to_owned()))
        .collect();
    told.sort();
    let mut expected =
        [(a.id, mailbox(&ada)), (a.id, mailbox(&bob)), (b.id, mailbox(&bob)), (b.id, Member::Group(a.id))]
            .map(|(group, member)| (group.to_string(), member.to_string()));
    expected.sort();
    assert_eq!(told, expected);
    let versions = [group::get(&world.ctx, a.id).await.unwrap().version, b.version];
    assert_eq!(versions, [2, 1], "a group is made with its members");
}

#[tokio::test]
async fn no_group_is_a_member_of_itself() {
    let world = World::new().await;
    let a = make(&world, "a", &[]).await;
    let b = make(&world, "b", &[Member::Group(a.id)]).await;
    let c = make(&world, "c", &[Member::Group(b.id)]).await;
    for inner in [a.id, b.id, c.id] {
        let refused = group::add_member(&world.ctx, a.id, Member::Group(inner)).await.unwrap_err();
        assert_eq!(refused.code(), "group_loop");
    }
    assert_eq!(members(&world, a.id).await, []);
    // What is allowed: the same group on two ways.
    group::add_member(&world.ctx, c.id, Member::Group(a.id)).await.unwrap();
}

#[tokio::test]
async fn those_who_would_close_a_loop_together_do_not() {
    let world = World::new().await;
    let mut groups = Vec::new();
    for at in 0..8 {
        groups.push(make(&world, &format!("g{at}"), &[]).await.id);
    }
    // Each into the next, and the last into the first: all but one may.
    let nest = |at: usize| group::add_member(&world.ctx, groups[at], Member::Group(groups[(at + 1) % 8]));
    let results = join_all((0..8).map(nest)).await;
    let refused: Vec<_> = results.into_iter().filter_map(Result::err).map(|error| error.code()).collect();
    assert_eq!(refused, ["group_loop"]);
}

#[tokio::test]
async fn members_are_the_tenant_s_own_and_changes_count() {
    let world = World::new().await;
    let group = make(&world, "sales", &[]).await;
    let other = crate::neighbour(&world).await;
    let theirs = group::create(&other, NewGroup { display_name: "Theirs".into(), ..NewGroup::default() });
    let theirs = theirs.await.unwrap();
    let refused = group::add_member(&world.ctx, group.id, Member::Group(theirs.id)).await;
    assert!(matches!(refused, Err(Error::NotFound)));
    assert!(matches!(group::get(&world.ctx, theirs.id).await, Err(Error::NotFound)));
    let ada = world.user("ada", None).await;
    for _ in 0..2 {
        group::add_member(&world.ctx, group.id, Member::Mailbox(ada.mailbox_id)).await.unwrap();
    }
    let grown = group::get(&world.ctx, group.id).await.unwrap();
    assert_eq!((grown.version, grown.member_count), (2, 1), "a member twice is one member, and no change");
    let change =
        GroupChange { address: Some(Some("vertrieb@acme.example".into())), ..GroupChange::default() };
    let renamed = group::update(&world.ctx, group.id, Some(2), change.clone()).await.unwrap();
    assert_eq!(renamed.aliases, ["sales@acme.example"]);
    let late = group::update(&world.ctx, group.id, Some(2), change).await;
    assert!(matches!(late, Err(Error::VersionMismatch { version: 3 })));
    let clash = NewGroup { address: Some("ada@acme.example".into()), ..new("Clash") };
    assert_eq!(group::create(&world.ctx, clash).await.unwrap_err().code(), "address_taken");
    let missing = NewGroup { members: vec![Member::Group(theirs.id)], ..new("Missing") };
    assert!(matches!(group::create(&world.ctx, missing).await, Err(Error::Invalid(_))));
}

fn new(name: &str) -> NewGroup {
    NewGroup { display_name: name.into(), ..NewGroup::default() }
}
