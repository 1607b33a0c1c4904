use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use crate::{data_dir, pillarbox, stderr, stdout};

#[test]
fn every_mistake_of_file_and_environment_is_reported_at_once() {
    let dir = data_dir();
    let file = dir.path().join("p.toml");
    std::fs::write(&file, "htp_listen = '127.0.0.1:1'\nlog = 3\n").unwrap();
    let settings =
        [("PILLARBOX_HTTP_LISTEN", "nowhere"), ("PILLARBOX_DATABASE_URL", "mysql://u:hunter2@h/d")];
    let output = pillarbox(dir.path(), &settings, &["--config", file.to_str().unwrap(), "serve"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for part in [
        "4 mistake(s)",
        "\"htp_listen\"",
        "log: must be a string",
        "PILLARBOX_HTTP_LISTEN: \"nowhere\"",
        "PILLARBOX_DATABASE_URL: ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "it began work");
}

#[test]
fn a_missing_file_is_a_mistake_and_the_variable_names_it_too() {
    let dir = data_dir();
    let output = pillarbox(dir.path(), &[("PILLARBOX_CONFIG", "/no/such/p.toml")], &["migrate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/no/such/p.toml: "), "{}", stderr(&output));
}

#[test]
fn the_api_describes_itself_without_any_configuration() {
    let dir = data_dir();
    let output = pillarbox(dir.path(), &[("PILLARBOX_HTTP_LISTEN", "nowhere")], &["openapi"]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("\"openapi\": \"3.1"), "{}", &stdout(&output)[..200]);
}

#[test]
fn a_port_in_use_is_named_with_its_setting() {
    let dir = data_dir();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = pillarbox(dir.path(), &[("PILLARBOX_HTTP_LISTEN", &address)], &["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains(&format!("listening on {address} (PILLARBOX_HTTP_LISTEN)")), "{text}");
    assert!(!dir.path().join("listen.json").exists());
    assert!(
        !dir.path().join("postgres/data/postmaster.pid").exists(),
        "the private cluster was left running"
    );
}

/// What root left there the server of that account could not read.
#[test]
fn root_is_refused_where_data_or_bodies_are_another_accounts() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let (dir, bodies) = (data_dir(), data_dir());
    let keys = testkit::kek::text();
    let blob_url = format!("file://{}", bodies.path().display());
    let settings =
        [("PILLARBOX_BLOB_URL", blob_url.as_str()), ("PILLARBOX_KEY_ENCRYPTION_KEYS", keys.as_str())];
    let nobody = 65_534;
    for (place, settings) in [(&dir, &[][..]), (&bodies, &settings[..])] {
        chown(place.path(), Some(nobody), Some(nobody)).unwrap();
        for command in [&["serve"][..], &["migrate"], &["recover"], &["keys", "rewrap"]] {
            let output = pillarbox(dir.path(), settings, command);
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{text}");
            let command = format!("runuser -u nobody -- env PILLARBOX_DATA_DIR={}", dir.path().display());
            for part in [&format!("{} belongs to the user nobody", place.path().display()), &command] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        for place in [&dir, &bodies] {
            assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "it began work");
        }
        chown(place.path(), Some(0), Some(0)).unwrap();
    }
    chown(dir.path(), Some(4_242), Some(4_242)).unwrap();
    let text = stderr(&pillarbox(dir.path(), &[], &["migrate"]));
    assert!(text.contains("belongs to user id 4242") && text.contains("setpriv --reuid=4242"), "{text}");
}

#[test]
fn a_postgres_that_may_lose_what_was_acknowledged_and_keys_that_others_may_read_are_warned_of() {
    let dir = data_dir();
    std::fs::create_dir(dir.path().join("postgres")).unwrap();
    std::fs::write(dir.path().join("postgres/local.conf"), "fsync = off\n").unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, testkit::kek::text()).unwrap();
    let settings = [("PILLARBOX_KEY_ENCRYPTION_KEYS_FILE", keys.to_str().unwrap())];
    for mode in [0o640, 0o600] {
        std::fs::set_permissions(&keys, Permissions::from_mode(mode)).unwrap();
        let output = pillarbox(dir.path(), &settings, &["migrate"]);
        let text = stderr(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("may lose mail") && text.contains("\"postgres.off\":\"fsync\""), "{text}");
        assert_eq!(text.contains("may read the key-encryption keys"), mode == 0o640, "{text}");
    }
}
