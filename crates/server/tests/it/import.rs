use std::path::Path;

use serde_json::{Value, json};
use tenancy::event;
use testkit::World;
use testkit::client::http::Http;
use testkit::client::pop3::Pop3;
use testkit::story::server::Server;

use crate::{BINARY, data_dir, pillarbox, stderr, stdout};

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
    // The second, which took nothing, as well; and no address that nobody has.
    let (code, _, err) = import(&world, dir.path(), "nobody@acme.example", &["--folders", SHIPPED]);
    assert!(code == Some(1) && err.contains("nobody@acme.example"), "{err}");
    import(&world, dir.path(), &ada.address, &["--folders", SHIPPED]);
    let noted = world.noted(event::Kind::MailboxImported).await;
    let data: Vec<_> = noted.iter().map(|one| one.event.data["with_folders"].as_bool()).collect();
    assert_eq!(data, [Some(false), Some(false), Some(true)]);
    assert!(noted.iter().all(|one| one.event.subject == ada.mailbox_id.to_string()));
}

#[tokio::test]
async fn a_mailbox_is_written_into_a_zip_and_taken_back_by_another() {
    let (world, dir) = (World::new().await, data_dir());
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    import(&world, dir.path(), &ada.address, &[SHIPPED]);
    let (zip, url) = (dir.path().join("ada.zip"), world.test_db.url());
    let path = zip.to_str().unwrap();
    let export = |arguments: &[&str]| {
        let output = pillarbox(dir.path(), &[("PILLARBOX_DATABASE_URL", url.as_str())], arguments);
        (output.status.code(), stdout(&output).trim().to_owned(), stderr(&output))
    };
    let of = |address| ["export", "--mailbox", address, "--reason", "Ticket 4711"];
    let written = export(&[&of(&ada.address)[..], &[path]].concat());
    assert_eq!(written, (Some(0), "written 12, skipped 0 written before, failed 0".into(), String::new()));
    let (code, out, err) = import(&world, dir.path(), &bob.address, &["--folders", path]);
    assert_eq!((code, out.as_str()), (Some(0), "taken 12, skipped 0 taken before, failed 0"), "{err}");
    let (code, _, err) = export(&[&of(&bob.address)[..], &[path]].concat());
    assert!(code == Some(1) && err.contains("is left as it is") && !err.contains("goes on"), "{err}");
    let used = async |id| tenancy::mailbox::get(&world.ctx, id).await.unwrap().quota.used_bytes;
    assert_eq!(used(bob.mailbox_id).await, used(ada.mailbox_id).await);
    let (code, _, err) = export(&[&of("nobody@acme.example")[..], &[path]].concat());
    assert!(code == Some(1) && err.contains("nobody@acme.example"), "{err}");
    let (code, _, err) = export(&[&of(&ada.address)[..], &["--format", "mbox", "/proc/no"]].concat());
    assert!(code == Some(1) && err.contains("/proc/no"), "{err}");
}

#[tokio::test]
async fn an_export_says_why_and_the_tenant_reads_it_on_its_own_trail() {
    let (world, dir) = (World::new().await, data_dir());
    let ada = world.user("ada", None).await;
    let (at, url) = (dir.path().join("ada"), world.test_db.url());
    let path = at.to_str().unwrap();
    let export = |reason: &[&str]| {
        let arguments = [&["export", "--mailbox", ada.address.as_str(), path], reason].concat();
        let output = pillarbox(dir.path(), &[("PILLARBOX_DATABASE_URL", url.as_str())], &arguments);
        (output.status.code(), stderr(&output))
    };
    let (code, err) = export(&[]);
    assert!(code == Some(2) && err.contains("--reason"), "{err}");
    for blank in ["", "   "] {
        let (code, err) = export(&["--reason", blank]);
        assert!(code == Some(1) && err.contains("reason: must ") && !at.exists(), "{err}");
    }
    std::fs::write(&at, "a file").unwrap();
    let (code, err) = export(&["--reason", "Ticket 4710"]);
    assert!(code == Some(1) && err.contains("it is a file") && !err.contains("goes on"), "{err}");
    std::fs::remove_file(&at).unwrap();
    let (code, err) = export(&["--reason", "Ticket 4711"]);
    assert!(code == Some(0) && at.exists(), "{err}");
    let noted = world.noted(event::Kind::MailboxExported).await;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].event.subject, ada.mailbox_id.to_string());
    assert_eq!(noted[0].event.data, json!({"reason": "Ticket 4711", "with_deleted": false}));
}

#[tokio::test]
async fn a_deleted_mailbox_is_exported_by_its_id_while_a_legal_hold_keeps_it() {
    let (world, dir) = (World::new().await, data_dir());
    let ada = world.user("ada", None).await;
    import(&world, dir.path(), &ada.address, &[SHIPPED]);
    tenancy::user::delete(&world.ctx, ada.id, None).await.unwrap();
    let (at, url, id) = (dir.path().join("ada"), world.test_db.url(), ada.mailbox_id.to_string());
    let path = at.to_str().unwrap();
    let export = |mailbox: &str| {
        let arguments = ["export", "--mailbox", mailbox, "--reason", "Case 17", "--with-deleted", path];
        let output = pillarbox(dir.path(), &[("PILLARBOX_DATABASE_URL", url.as_str())], &arguments);
        (output.status.code(), stdout(&output).trim().to_owned(), stderr(&output))
    };
    let (code, _, err) = export(&id);
    assert!(code == Some(1) && err.contains("no legal hold keeps it") && !at.exists(), "{err}");
    assert!(err.contains("restore it first") && !err.contains("no such object"), "{err}");
    tenancy::hold::place(&world.ctx, Some(ada.mailbox_id), "Case 17".to_owned()).await.unwrap();
    let (code, _, err) = export(&ada.address);
    assert!(code == Some(1) && err.contains("looking up the mailbox") && err.contains("mbx_…"), "{err}");
    let written = export(&id);
    assert_eq!(written, (Some(0), "written 12, skipped 0 written before, failed 0".into(), String::new()));
    for name in ["mbx_1", "foo"] {
        let (code, _, err) = export(name);
        assert!(code == Some(2) && err.contains("neither an address nor a mailbox's id"), "{err}");
    }
    let (code, _, err) = export("mbx_00000000000000000000000000000007");
    assert!(code == Some(1) && err.contains("looking up the mailbox mbx_"), "{err}");

    let noted = world.noted(event::Kind::MailboxExported).await;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].event.subject, id);
    assert_eq!(noted[0].event.data, json!({"reason": "Case 17", "with_deleted": true}));
}

/// On embedded defaults: beside a running server, then with none, where the command starts the cluster itself.
#[tokio::test]
async fn the_private_cluster_is_joined_or_started() {
    let dir = data_dir();
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    let http = Http::new(server.listening().http).unwrap().with_token(server.operator_key().unwrap());
    let created = async |path: &str, body: Value| http.post(path, &body).await.unwrap().expect(201).unwrap();
    let reseller = created("/v1/resellers", json!({ "name": "Hosting" })).await;
    let tenant = json!({ "reseller_id": reseller["id"], "name": "Acme", "country": "DE", "currency": "EUR" });
    let tenant = created("/v1/tenants", tenant).await["id"].as_str().unwrap().to_owned();
    let domains = format!("/v1/tenants/{tenant}/domains");
    let domain = created(&domains, json!({ "name": "acme.example" })).await;
    let verify = format!("{domains}/{}/verify", domain["id"].as_str().unwrap());
    http.post(&verify, &json!({ "vouch": true })).await.unwrap().expect(200).unwrap();
    let ada = json!({ "address": "ada@acme.example", "password": "correct horse" });
    created(&format!("/v1/tenants/{tenant}/users"), ada).await;

    let arguments = ["import", "--mailbox", "ada@acme.example", SHIPPED];
    let beside = pillarbox(dir.path(), &[], &arguments);
    assert_eq!(stdout(&beside).trim(), "taken 12, skipped 0 taken before, failed 0", "{}", stderr(&beside));
    let mut pop3 = Pop3::connect_tls(server.listening().pop3s).await.unwrap();
    pop3.login("ada@acme.example", "correct horse").await.unwrap();
    assert_eq!(pop3.stat().await.unwrap().0, 12);
    pop3.quit().await.unwrap();
    server.stop().await.unwrap();

    let alone = pillarbox(dir.path(), &[], &arguments);
    assert_eq!(stdout(&alone).trim(), "taken 0, skipped 12 taken before, failed 0", "{}", stderr(&alone));
    assert!(
        !dir.path().join("postgres/data/postmaster.pid").exists(),
        "the private cluster was left running"
    );
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
async fn what_is_no_file_is_named_and_counted_and_a_folder_that_cannot_be_is_named_once() {
    let (world, dir) = (World::new().await, data_dir());
    let ada = world.user("ada", None).await;
    let mail = dir.path().join("mail");
    std::fs::create_dir(&mail).unwrap();
    std::fs::write(mail.join("a.eml"), "A: 1\n\nx\n").unwrap();
    std::os::unix::fs::symlink(SHIPPED, mail.join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(mail.join("socket")).unwrap();
    let (code, out, err) = import(&world, dir.path(), &ada.address, &[mail.to_str().unwrap()]);
    let counted = "taken 1, skipped 0 taken before and 2 that are no files, failed 0";
    assert_eq!((code, out.as_str()), (Some(0), counted), "{err}");
    let named = |name: &str, what: &str| err.contains(&format!("mail/{name}: passed over: a {what}\n"));
    assert!(named("link", "symbolic link") && named("socket", "socket"), "{err}");

    let odd = dir.path().join("odd");
    for part in ["cur", "new", ".a..b/cur", ".a..b/new"] {
        std::fs::create_dir_all(odd.join(part)).unwrap();
    }
    for name in ["1", "2"] {
        std::fs::write(odd.join(".a..b/cur").join(name), format!("B: {name}\n\n")).unwrap();
    }
    let (code, out, err) = import(&world, dir.path(), &ada.address, &["--folders", odd.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (Some(1), "taken 0, skipped 0 taken before, failed 2"), "{err}");
    assert_eq!(err.matches("no folder \"a//b\" can be made").count(), 1, "{err}");
}

#[tokio::test]
async fn a_mailbox_that_nobody_has_is_an_error_of_its_own() {
    let (world, dir) = (World::new().await, data_dir());
    let (code, out, err) = import(&world, dir.path(), "nobody@acme.example", &[SHIPPED]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("looking up the mailbox nobody@acme.example: there is no mailbox"), "{err}");
    let (code, ..) = import(&world, dir.path(), "no address", &[SHIPPED]);
    assert_eq!(code, Some(2));
}
