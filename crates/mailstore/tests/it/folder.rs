//! The folders that a mailbox has from the start.

use futures::future::join_all;
use mailstore::folder::{self, Role};

use crate::support::{Bench, HELLO};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_looks_at_once_make_one_set_of_folders() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let listings = join_all((0..12).map(|_| folder::list(bench.ctx(), ada))).await;
    let deliveries = join_all((0..12).map(|_| bench.ingest(&[ada], HELLO))).await;
    assert!(deliveries.iter().flatten().all(Result::is_ok), "{deliveries:?}");
    let first = listings[0].as_ref().unwrap();
    let names: Vec<_> = first.iter().map(|folder| folder.name.as_str()).collect();
    assert_eq!(names, ["Archive", "Drafts", "Inbox", "Junk", "Sent", "Trash"]);
    assert!(listings.iter().all(|listing| listing.as_ref().unwrap() == first));
    let inbox = first.iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap();
    assert_eq!(i64::from(inbox.uid_validity), bench.ctx().env().now().timestamp());
    let after = folder::list(bench.ctx(), ada).await.unwrap();
    let inbox = after.iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap();
    assert_eq!((inbox.message_count, inbox.uid_next), (12, 13));
}
