use std::path::Path;

use testkit::World;

use crate::{data_dir, pillarbox, stderr, stdout};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/mail");

fn import(world: &World, data_dir: &Path, mailbox: &str, paths: &[&str]) -> (Option<i32>, String, String) {
    let url = world.test_db.url();
    let arguments = [&["import", "--mailbox", mailbox], paths].concat();
    let output = pillarbox(data_dir, &[("PILLARBOX_DATABASE_URL", url.as_str())], &arguments);
    (output.status.code(), stdout(&output).trim().to_owned(), stderr(&output))
}

#[tokio::test]
async fn taken_once_however_often_it_is_run_and_without_a_bar_when_piped() {
    let (world, dir) = (World::new().await, data_dir());
    let ada = world.user("ada", None).await;
    let first = import(&world, dir.path(), &ada.address, &[SHIPPED]);
    assert_eq!(first, (Some(0), "taken 12, skipped 0 taken before, failed 0".into(), String::new()));
    let second = import(&world, dir.path(), &ada.address, &[SHIPPED]);
    assert_eq!(second, (Some(0), "taken 0, skipped 12 taken before, failed 0".into(), String::new()));
    let quota = tenancy::mailbox::get(&world.ctx, ada.mailbox_id).await.unwrap().quota;
    assert!(quota.used_bytes > 16_000, "{quota:?}");
}

#[tokio::test]
async fn what_cannot_be_taken_is_named_and_makes_the_status_one() {
    let (world, dir) = (World::new().await, data_dir());
    let tiny = world.user("tiny", Some(5_000)).await;
    let (code, out, err) = import(&world, dir.path(), &tiny.address, &[SHIPPED, "/no/such/folder"]);
    assert_eq!((code, out.as_str()), (Some(1), "taken 11, skipped 0 taken before, failed 2"), "{err}");
    assert!(err.contains("07-long-lines.eml: ") && err.contains("/no/such/folder: "), "{err}");
}

#[tokio::test]
async fn a_mailbox_that_nobody_has_is_an_error_of_its_own() {
    let (world, dir) = (World::new().await, data_dir());
    let (code, out, err) = import(&world, dir.path(), "nobody@acme.example", &[SHIPPED]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("looking up the mailbox nobody@acme.example"), "{err}");
    let (code, ..) = import(&world, dir.path(), "no address", &[SHIPPED]);
    assert_eq!(code, Some(2));
}
