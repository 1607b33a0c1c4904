//! Import: everything once, whatever is run twice.

mod numbers;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use kernel::MailboxId;
use mailstore::Error;
use mailstore::import::{self, Event, Failure, Filing, Progress};
use mailstore::message::{self, State};

use crate::support::Bench;

async fn run(bench: &Bench, mailbox: MailboxId, path: &Path) -> (Progress, Vec<String>) {
    let mut failures = Vec::new();
    let progress = import::run(
        &bench.store,
        bench.ctx(),
        mailbox,
        Filing::InOne(None),
        vec![path.to_owned()],
        |event| {
            if let Event::Failed { origin, reason } = event {
                failures.push(format!("{origin}: {reason}"));
            }
        },
    );
    (progress.await.unwrap(), failures)
}

/// Three messages as files and an mbox, one of them twice in the mbox and once as a file.
fn mail(root: &Path) {
    fs::write(root.join("a.eml"), "A: 1\n\nx\n").unwrap();
    fs::write(root.join("b"), "B: 2\r\n\r\n").unwrap();
    let from = "From x Thu Nov 20 14:03:07 2025\n";
    let mbox = format!("{from}A: 1\n\nx\n\n{from}C: 3\n\n>From me\n\n{from}A: 1\n\nx\n");
    fs::write(root.join("c.mbox"), mbox).unwrap();
}

#[tokio::test]
async fn a_second_run_adds_nothing_and_equals_in_one_run_are_kept() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let root = tempfile::tempdir().unwrap();
    mail(root.path());
    let (progress, failures) = run(&bench, ada, root.path()).await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!((progress.done, progress.skipped, progress.failed), (5, 0, 0));
    assert_eq!(progress.read_bytes, progress.total_bytes);
    let mut bodies = Vec::new();
    for message in bench.list(ada, State::Live).await {
        let raw = message::raw(&bench.store, bench.ctx(), ada, message.id, None).await.unwrap();
        bodies.push(String::from_utf8(raw.bytes.to_vec()).unwrap());
    }
    bodies.sort();
    let a = "A: 1\r\n\r\nx\r\n";
    assert_eq!(bodies, [a, a, a, "B: 2\r\n\r\n", "C: 3\r\n\r\nFrom me\r\n"]);

    let (again, _) = run(&bench, ada, root.path()).await;
    assert_eq!((again.done, again.skipped, again.failed), (0, 5, 0));
    fs::write(root.path().join("d.eml"), a).unwrap();
    let (more, _) = run(&bench, ada, root.path()).await;
    assert_eq!((more.done, more.skipped), (1, 5));
    assert_eq!(bench.list(ada, State::Live).await.len(), 6);
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_runs_at_once_take_each_message_once() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let root = tempfile::tempdir().unwrap();
    mail(root.path());
    let (one, two) = tokio::join!(run(&bench, ada, root.path()), run(&bench, ada, root.path()));
    assert_eq!(one.0.done + two.0.done, 5);
    assert_eq!(one.0.skipped + two.0.skipped, 5);
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_finds_no_room_is_named_and_taken_by_a_later_run() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", Some(20)).await;
    let root = tempfile::tempdir().unwrap();
    mail(root.path());
    fs::write(root.path().join("z.mbox"), "no separator\n").unwrap();
    let (progress, failures) = run(&bench, ada, root.path()).await;
    // a.eml has 11 bytes and b has 8; nothing else fits beside them.
    assert_eq!((progress.done, progress.skipped, progress.failed), (2, 0, 4));
    assert!(failures[0].ends_with("c.mbox, message 1: the mailbox is over its quota"), "{failures:?}");
    assert!(failures[3].ends_with("z.mbox: the text before the first From line belongs to no message"));
    tenancy::mailbox::set_quota(bench.ctx(), ada, None, Default::default()).await.unwrap();
    let (progress, _) = run(&bench, ada, root.path()).await;
    assert_eq!((progress.done, progress.skipped, progress.failed), (3, 2, 1));
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_mailbox_that_an_import_filled_exactly_has_the_same_import_skipped() {
    let bench = Bench::new().await;
    // Three of 11 bytes, one of 8 and one of 17.
    let ada = bench.mailbox("ada", Some(58)).await;
    let root = tempfile::tempdir().unwrap();
    mail(root.path());
    let (progress, _) = run(&bench, ada, root.path()).await;
    assert_eq!((progress.done, progress.skipped, progress.failed), (5, 0, 0));
    assert_eq!(bench.used(ada).await.0, 58);
    let (again, failures) = run(&bench, ada, root.path()).await;
    assert_eq!((again.done, again.skipped, again.failed), (0, 5, 0), "{failures:?}");
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_fault_that_befalls_every_message_ends_the_run() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let root = tempfile::tempdir().unwrap();
    mail(root.path());
    bench.blobs.failing.store(true, Ordering::SeqCst);
    let paths = vec![root.path().to_owned()];
    let failed =
        import::run(&bench.store, bench.ctx(), ada, Filing::InOne(None), paths.clone(), |_| {}).await;
    assert!(matches!(failed, Err(Error::Blob(_))), "{failed:?}");
    let (_, foreign) = bench.neighbour().await;
    let missing = import::run(&bench.store, bench.ctx(), foreign, Filing::InOne(None), paths, |_| {}).await;
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_failure_of_its_own() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let root = tempfile::tempdir().unwrap();
    mail(root.path());
    let paths = vec![root.path().join("missing"), root.path().join("a.eml")];
    let mut reasons = Vec::new();
    let progress = import::run(&bench.store, bench.ctx(), ada, Filing::InOne(None), paths, |event| {
        if let Event::Failed { reason, .. } = event {
            reasons.push(reason.clone());
        }
    });
    let progress = progress.await.unwrap();
    assert_eq!((progress.done, progress.failed), (1, 1));
    assert!(matches!(reasons[..], [Failure::Unreadable(_)]), "{reasons:?}");
}
