//! Where drills make the database anew: each in a folder of the data directory, with a Postgres of its own and all of the database in it, in the clear. One
//! that is killed leaves that behind, and the next drill, or the next server, stops and removes it.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use db::cluster;
use tempfile::TempDir;

use crate::files::{self, DataDir};

/// What a place is called, before some letters that tell it from others.
const PREFIX: &str = "drill-";
/// How many letters there are.
const LETTERS: usize = 6;
/// What is in it.
const CLUSTER: &str = "postgres";
/// Others may pass through to what is theirs: Postgres' account to its cluster.
const PASSABLE: u32 = 0o711;

/// The place of a drill that runs. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    // Before the lock, so that whoever gets that finds nothing.
    dir: TempDir,
    /// Locked for as long as the process runs.
    _running: File,
}

impl Place {
    /// Makes one, once what others have left is removed.
    pub(crate) async fn make(data_dir: &DataDir) -> Result<Self> {
        let waiting = data_dir.clone();
        let turn = tokio::task::spawn_blocking(move || waiting.lock_drills()).await??;
        remove_left(data_dir).await;
        let place = Self::make_in(data_dir.path()).context("making a place for a scratch database")?;
        files::unlock(&turn);
        Ok(place)
    }

    fn make_in(data_dir: &Path) -> io::Result<Self> {
        let mut named = tempfile::Builder::new();
        named.prefix(PREFIX).rand_bytes(LETTERS).permissions(Permissions::from_mode(PASSABLE));
        let dir = named.tempdir_in(data_dir)?;
        let running = File::open(dir.path())?;
        running.lock()?;
        Ok(Self { dir, _running: running })
    }

    /// Where its Postgres is to be.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.dir.path().join(CLUSTER)
    }
}

/// Stops and removes what drills have left that were killed. What cannot be removed is told, and left to the next.
pub(crate) async fn clear(data_dir: &DataDir) {
    match data_dir.try_lock_drills() {
        Ok(Some(turn)) => {
            remove_left(data_dir).await;
            files::unlock(&turn);
        }
        // A drill that begins does it.
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(error.as_ref()), "what drills may have left was not looked for");
        }
    }
}

/// As [`clear`], with the lock in hand.
async fn remove_left(data_dir: &DataDir) {
    let places = match places(data_dir.path()) {
        Ok(places) => places,
        Err(error) => {
            tracing::warn!(error.cause = %error, "what drills may have left was not looked for");
            return;
        }
    };
    for place in places {
        match remove(&place).await {
            Ok(true) => {
                tracing::warn!(drill.place = %place.display(), "removed what a drill that was killed had left");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(drill.place = %place.display(), error.cause = %kernel::error::chain(error.as_ref()), "what a drill had left was not removed");
            }
        }
    }
}

/// The folders that are called as those of drills are.
fn places(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut places = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let letters = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let is_called_so = letters.is_some_and(|letters| {
            letters.len() == LETTERS && letters.bytes().all(|letter| letter.is_ascii_alphanumeric())
        });
        if is_called_so && entry.file_type()?.is_dir() {
            places.push(entry.path());
        }
    }
    Ok(places)
}

/// Whether a drill had left it and it is gone now; one that is in use, or has anything else in it, stays.
async fn remove(place: &Path) -> Result<bool> {
    let running = match File::open(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.context("opening it")?,
    };
    match running.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error).context("locking it"),
    }
    for entry in fs::read_dir(place).context("looking into it")? {
        if entry.context("looking into it")?.file_name() != CLUSTER {
            return Ok(false);
        }
    }
    // A drill of an earlier version does not lock its place, but uses its cluster.
    let is_over = cluster::shut_down_abandoned(&place.join(CLUSTER)).await;
    if !is_over.context("stopping its postgres")? {
        return Ok(false);
    }
    tokio::fs::remove_dir_all(place).await.context("removing it")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_place_of_a_drill_that_runs_stays_and_what_another_left_goes() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::prepare(dir.path()).unwrap();
        let at = |name: &str| dir.path().join(name);
        // Killed before it came to its cluster; somebody's own; and what is only called so.
        for name in ["drill-a1B2c3", "drill-2026ab", "drill-"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("drill-2026ab/notes"), "mine").unwrap();
        fs::write(at("drill-a1B2c4"), "mine").unwrap();
        let place = Place::make(&data_dir).await.unwrap();
        assert!(!at("drill-a1B2c3").exists());
        let another = Place::make(&data_dir).await.unwrap();
        clear(&data_dir).await;
        assert!(place.dir.path().exists() && another.dir.path().exists());
        for name in ["drill-2026ab/notes", "drill-a1B2c4", "drill-"] {
            assert!(at(name).exists(), "{name}");
        }
        let was = place.dir.path().to_owned();
        drop(place);
        assert!(!was.exists() && another.dir.path().exists());
    }
}
