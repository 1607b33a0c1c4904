//! As whom somebody may send.

use tenancy::address::{self, Target};
use tenancy::delegate::{self, Right};
use tenancy::mailbox;
use tenancy::policy::Capability;
use tenancy::quota::Bounds;
use tenancy::user;
use testkit::world::{self, PASSWORD};

use crate::submitting::{Submitting, codes, quick};

const TO_BOB: &[&str] = &["bob@acme.example"];

fn from(author: &str) -> Vec<u8> {
    format!("From: {author}\r\nTo: bob@acme.example\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
}

#[tokio::test]
async fn from_addresses_that_are_theirs_alone() {
    let server = Submitting::new().await;
    let world = &server.world;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    address::create(&world.ctx, "countess@acme.example", Target::Mailbox(ada.mailbox_id)).await.unwrap();
    let mut client = server.signed_in(&ada).await;
    for (envelope, author, expected) in [
        ("ada@acme.example", "ada@acme.example", "250 2.0.0"),
        ("ADA@ACME.example", "\"bob@acme.example\" <Ada@acme.example>", "250 2.0.0"),
        ("ada@acme.example", "Ada <ADA@Acme.Example>", "250 2.0.0"),
        ("ada+lists@acme.example", "ada+x@acme.example", "250 2.0.0"),
        ("countess@acme.example", "countess@acme.example", "250 2.0.0"),
        ("", "ada@acme.example", "250 2.0.0"),
        ("bob@acme.example", "ada@acme.example", "553 5.7.1"),
        ("nobody@acme.example", "ada@acme.example", "553 5.7.1"),
        ("ada@elsewhere.example", "ada@acme.example", "553 5.7.1"),
        ("ada@[127.0.0.1]", "ada@acme.example", "553 5.7.1"),
        ("ada@acme.example", "bob@acme.example", "550 5.7.1"),
        ("ada@acme.example", "ada@acme.example, bob@acme.example", "550 5.7.1"),
        ("ada@acme.example", "ceo@elsewhere.example", "550 5.7.1"),
        ("ada@acme.example", "nobody", "550 5.6.0"),
    ] {
        let reply = client.submit(envelope, TO_BOB, &from(author)).await.unwrap();
        assert_eq!(codes(&reply), expected, "<{envelope}> {author}: {reply}");
        client.command("RSET").await.unwrap();
    }
    assert_eq!(server.messages(&bob).await.len(), 6);
}

#[tokio::test]
async fn as_others_who_have_let_them() {
    let server = Submitting::new().await;
    let world = &server.world;
    let (ada, bob, cleo) =
        (world.user("ada", None).await, world.user("bob", None).await, world.user("cleo", None).await);
    let (dora, finn) = (world.user("dora", None).await, world.user("finn", None).await);
    for (mailbox, right) in [
        (&bob, Right::SendAs),
        (&cleo, Right::SendOnBehalf),
        (&dora, Right::Read),
        (&finn, Right::FullAccess),
    ] {
        delegate::put(&world.ctx, mailbox.mailbox_id, ada.id, &[right]).await.unwrap();
    }
    let mut client = server.signed_in(&ada).await;
    for (author, expected) in [
        ("bob@acme.example", "250 2.0.0"),
        ("cleo@acme.example", "250 2.0.0"),
        ("dora@acme.example", "550 5.7.1"),
        ("finn@acme.example", "550 5.7.1"),
    ] {
        let message = [b"Sender: forged@elsewhere.example\r\n".as_slice(), &from(author)].concat();
        let reply = client.submit("ada@acme.example", TO_BOB, &message).await.unwrap();
        assert_eq!(codes(&reply), expected, "{author}: {reply}");
    }
    let senders = async |user| {
        let of = |bytes: &bytes::Bytes| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.lines().find(|line| line.starts_with("Sender:")).map(str::to_owned)
        };
        server.messages(user).await.iter().map(of).collect::<Vec<_>>()
    };
    let mut told = senders(&bob).await;
    told.sort();
    assert_eq!(told, [None, Some("Sender: ada@acme.example".to_owned())]);
}

#[tokio::test]
async fn nobody_sends_for_another_tenant() {
    let server = Submitting::new().await;
    let world = &server.world;
    let ada = world.user("ada", None).await;
    let south = world::tenant(&world.operator, &world.reseller, "South").await;
    let ctx = world.operator.enter(south.id).await.unwrap();
    world::domain(&ctx, "south.example").await;
    let eve = world::user(&ctx, "eve@south.example", None).await;
    let mut client = server.signed_in(&ada).await;
    let reply = client.submit("eve@south.example", TO_BOB, &from("eve@south.example")).await.unwrap();
    assert_eq!(codes(&reply), "553 5.7.1");
    // But mail between them goes its way.
    let reply = client.submit("ada@acme.example", &["eve@south.example"], &from("ada@acme.example")).await;
    assert_eq!(codes(&reply.unwrap()), "250 2.0.0");
    assert_eq!(server.messages(&eve).await.len(), 1);
}

#[tokio::test]
async fn who_may_not_send_cannot_sign_in_and_stops_in_the_middle() {
    let limits = smtp::msa::Limits { recheck: std::time::Duration::ZERO, ..quick() };
    let server = Submitting::with(limits).await;
    let world = &server.world;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let mut client = server.signed_in(&ada).await;
    let queued = client.submit(&ada.address, TO_BOB, &from(&ada.address)).await.unwrap();
    assert_eq!(codes(&queued), "250 2.0.0");
    user::suspend(&world.ctx, ada.id, None, &[Capability::Send]).await.unwrap();
    let reply = client.submit(&ada.address, TO_BOB, &from(&ada.address)).await.unwrap();
    assert_eq!(codes(&reply), "421 4.7.0");
    let mut client = server.client().await;
    assert_eq!(codes(&client.auth(&ada.address, PASSWORD).await.unwrap()), "535 5.7.8");
    // What was queued waits with them.
    assert_eq!(server.messages(&bob).await.len(), 0);
    user::resume(&world.ctx, ada.id, None, &[]).await.unwrap();
    world.test_db.clock().advance(chrono::TimeDelta::minutes(10));
    assert_eq!(server.messages(&bob).await.len(), 1);
}

#[tokio::test]
async fn what_is_sent_before_it_is_asked_again_waits_in_the_queue() {
    let server = Submitting::new().await;
    let world = &server.world;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let mut client = server.signed_in(&ada).await;
    user::suspend(&world.ctx, ada.id, None, &[Capability::Send]).await.unwrap();
    let reply = client.submit(&ada.address, TO_BOB, &from(&ada.address)).await.unwrap();
    assert_eq!(codes(&reply), "250 2.0.0");
    assert_eq!(server.messages(&bob).await.len(), 0);
    user::resume(&world.ctx, ada.id, None, &[]).await.unwrap();
    world.test_db.clock().advance(chrono::TimeDelta::minutes(10));
    assert_eq!(server.messages(&bob).await.len(), 1);
}

#[tokio::test]
async fn nothing_from_a_mailbox_that_is_too_full() {
    let server = Submitting::new().await;
    let world = &server.world;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let bounds = Bounds { quota_bytes: None, warn_bytes: None, block_send_bytes: Some(1) };
    mailbox::set_quota(&world.ctx, ada.mailbox_id, None, bounds).await.unwrap();
    let mut client = server.signed_in(&ada).await;
    let own = &["ada@acme.example"];
    assert_eq!(codes(&client.submit(&ada.address, own, &from(&ada.address)).await.unwrap()), "250 2.0.0");
    assert_eq!(server.messages(&ada).await.len(), 1);
    assert_eq!(codes(&client.submit(&ada.address, TO_BOB, &from(&ada.address)).await.unwrap()), "552 5.2.2");
    assert_eq!(server.messages(&bob).await.len(), 0);
}
