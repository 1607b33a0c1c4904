//! What each crate's `fuzz` module is tested with, on every toolchain: the seeds, what fuzzing has found among them, and mail.

use std::path::{Path, PathBuf};

/// How many beginnings of a file are tried beside all of it.
const BEGINNINGS: usize = 40;

/// Gives an entry each file in `crates/fuzz/seeds/NAME` and each mail of the test kit, whole and cut short.
pub(crate) fn play(name: &str, entry: fn(&[u8])) {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let seeds = files(&crates.join("fuzz/seeds").join(name));
    assert!(!seeds.is_empty(), "there are no seeds of {name}");
    for path in seeds.into_iter().chain(files(&crates.join("testkit/mail"))) {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // Shown if the test fails.
        println!("{name}: {}", path.display());
        entry(&bytes);
        for end in (0..bytes.len()).step_by(bytes.len() / BEGINNINGS + 1) {
            entry(bytes.get(..end).unwrap_or_default());
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(dir).into_iter().flatten();
    read.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}
