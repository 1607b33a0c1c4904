use testkit::garage::{Garage, INSTALL};
use testkit::story::{Options, play, play_with};

use crate::{BINARY, data_dir};

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_end_to_end_on_embedded_defaults() {
    let dir = data_dir();
    let options =
        Options { binary: BINARY.into(), data_dir: dir.path().into(), mail: None, keep_running: false };
    play(options).await.unwrap();
    assert!(!dir.path().join("listen.json").exists(), "listen.json outlived the server");
}

/// Bodies on an S3 server that people run in production.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a garage binary: run by make e2e"]
async fn the_main_job_end_to_end_on_garage() {
    let binary = Garage::find().unwrap_or_else(|| panic!("no garage binary: {INSTALL}"));
    let (garage, dir) = (Garage::start(&binary).await.unwrap(), data_dir());
    let options =
        Options { binary: BINARY.into(), data_dir: dir.path().into(), mail: None, keep_running: false };
    let (blob_url, keys) = (garage.url("story"), testkit::kek::text());
    let mut settings =
        vec![("PILLARBOX_BLOB_URL", blob_url.as_str()), ("PILLARBOX_KEY_ENCRYPTION_KEYS", keys.as_str())];
    settings.extend(garage.env());
    play_with(options, &settings).await.unwrap();
    assert!(!dir.path().join("blobs").exists(), "bodies went to a directory");
}
