//! Mail to groups.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use tenancy::address::{self, Target};
use tenancy::group::{self, Member, NewGroup};

use crate::served::{Served, codes};

const MESSAGE: &[u8] = b"Subject: one\r\n\r\nhello\r\n";

async fn group(served: &Served, local: &str, members: Vec<Member>) {
    let new = NewGroup {
        display_name: local.into(),
        address: Some(format!("{local}@acme.example")),
        members,
        ..NewGroup::default()
    };
    group::create(&served.world.ctx, new).await.unwrap();
}

#[tokio::test]
async fn a_group_s_members_each_get_one_and_the_sender_one_reply() {
    let served = Served::new().await;
    let (ada, bob) = (served.world.user("ada", None).await, served.world.user("bob", None).await);
    let both = vec![Member::Mailbox(ada.mailbox_id), Member::Mailbox(bob.mailbox_id)];
    group(&served, "all", both).await;
    address::create(&served.world.ctx, "boss@acme.example", Target::Mailbox(bob.mailbox_id)).await.unwrap();
    let to = [
        "bob@acme.example",
        "all@acme.example",
        "nobody@acme.example",
        "ada+x@acme.example",
        "boss@acme.example",
    ];
    let delivery = served.client().await.deliver("", &to, MESSAGE).await.unwrap();
    let told: Vec<String> = delivery.outcomes.iter().map(codes).collect();
    assert_eq!(told, ["250 2.0.0", "250 2.0.0", "550 5.1.1", "250 2.0.0", "250 2.0.0"]);
    // However many of the recipients lead to a mailbox, it has the message once.
    assert_eq!(served.messages(&ada).await.len(), 1);
    assert_eq!(served.messages(&bob).await.len(), 1);
}

#[tokio::test]
async fn who_sent_it_learns_that_a_member_did_not_get_it() {
    let served = Served::new().await;
    let (ada, full) = (served.world.user("ada", None).await, served.world.user("full", Some(10)).await);
    let both = vec![Member::Mailbox(ada.mailbox_id), Member::Mailbox(full.mailbox_id)];
    group(&served, "all", both).await;
    let delivery = served.client().await.deliver("", &["all@acme.example"], MESSAGE).await.unwrap();
    let told = &delivery.outcomes[0];
    assert_eq!(codes(told), "552 5.2.2");
    assert!(told.lines[0].contains("for 1 of the 2 members of the group"), "{told:?}");
    assert_eq!((served.messages(&ada).await.len(), served.messages(&full).await.len()), (1, 0));
}

#[tokio::test]
async fn a_group_of_nobody_is_no_mailbox() {
    let served = Served::new().await;
    group(&served, "empty", Vec::new()).await;
    let delivery = served.client().await.deliver("", &["empty@acme.example"], MESSAGE).await.unwrap();
    assert_eq!(codes(&delivery.recipients[0]), "550 5.1.1");
}
