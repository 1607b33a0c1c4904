//! Plays the story for `cargo xtask demo`: `demo BINARY DATA_DIR stay|stop [MAIL]`.

use std::path::PathBuf;

use anyhow::bail;
use testkit::story::{Options, play};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (binary, data_dir, then, mail) = match arguments.as_slice() {
        [binary, data_dir, then] => (binary, data_dir, then, None),
        [binary, data_dir, then, mail] => (binary, data_dir, then, Some(PathBuf::from(mail))),
        _ => bail!("usage: demo BINARY DATA_DIR stay|stop [MAIL]"),
    };
    let options =
        Options { binary: binary.into(), data_dir: data_dir.into(), mail, keep_running: then == "stay" };
    play(options).await
}
