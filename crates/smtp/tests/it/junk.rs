//! Mail that a filter has marked.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use mailstore::folder::{self, Role};
use tenancy::group::{self, Member, NewGroup};
use tenancy::user::User;

use crate::served::Served;

/// How many messages a user has in the Inbox and in Junk.
async fn counts(served: &Served, user: &User) -> (u64, u64) {
    let folders = folder::list(&served.world.ctx, user.mailbox_id).await.unwrap();
    let count =
        |role| folders.iter().find(|folder| folder.role == Some(role)).map(|folder| folder.message_count);
    (count(Role::Inbox).unwrap(), count(Role::Junk).unwrap_or_default())
}

async fn deliver(served: &Served, to: &[&str], message: &str) {
    let delivery = served.client().await.deliver("a@b.example", to, message.as_bytes()).await.unwrap();
    assert!(delivery.is_complete(), "{delivery:?}");
}

#[tokio::test]
async fn what_is_marked_in_its_header_goes_into_junk() {
    let served = Served::new().await;
    let ada = served.world.user("ada", None).await;
    let to = ["ada@acme.example"];
    deliver(&served, &to, "Subject: a\r\nX-Spam: Yes\r\n\r\nbuy\r\n").await;
    deliver(&served, &to, "x-SPAM:\r\n\tyes \r\nSubject: a\r\n\r\nbuy\r\n").await;
    assert_eq!(counts(&served, &ada).await, (0, 2));
    deliver(&served, &to, "Subject: a\r\n\r\nX-Spam: Yes\r\n\r\nsaid in the body\r\n").await;
    deliver(&served, &to, "Subject: a\r\nX-Spam: No\r\n\r\nX-Spam: Yes\r\n").await;
    assert_eq!(counts(&served, &ada).await, (2, 2));
    // A filter's field comes last, whatever else the sender has put before it.
    let long = "A: 123456789012\r\n".repeat(20_000);
    deliver(&served, &to, &format!("{long}X-Spam: Yes\r\n\r\nbuy\r\n")).await;
    deliver(&served, &to, &format!("{long}\r\nX-Spam: Yes\r\n")).await;
    assert_eq!(counts(&served, &ada).await, (3, 3));
}

#[tokio::test]
async fn it_does_so_for_all_of_a_group_and_of_several_tenants() {
    let served = Served::new().await;
    let (ada, bob) = (served.world.user("ada", None).await, served.world.user("bob", None).await);
    let new = NewGroup {
        display_name: "all".into(),
        address: Some("all@acme.example".into()),
        members: vec![Member::Mailbox(ada.mailbox_id), Member::Mailbox(bob.mailbox_id)],
        ..NewGroup::default()
    };
    group::create(&served.world.ctx, new).await.unwrap();
    deliver(&served, &["all@acme.example", "ada@acme.example"], "X-Spam: Yes\r\n\r\nbuy\r\n").await;
    for user in [&ada, &bob] {
        assert_eq!(counts(&served, user).await, (0, 1));
    }
    // Where there is no room there is none in Junk either.
    let full = served.world.user("full", Some(10)).await;
    let mut client = served.client().await;
    let to = ["full@acme.example", "bob@acme.example"];
    let delivery = client.deliver("", &to, b"X-Spam: Yes\r\n\r\nbuy\r\n").await.unwrap();
    assert_eq!(delivery.outcomes.iter().map(|reply| reply.code).collect::<Vec<_>>(), [552, 250]);
    assert_eq!((counts(&served, &full).await, counts(&served, &bob).await), ((0, 0), (0, 2)));
}
