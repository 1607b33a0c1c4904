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
