//! `listen.json`: where the server listens, for whoever started it on port 0. It is there while the server is ready; one that is
//! killed leaves it to the next.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::files::{DataDir, remove_if_present, write_public};

/// What there is of each port: its listener, or the address in use.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Ports<T> {
    pub(crate) http: T,
    pub(crate) lmtp: T,
    pub(crate) lookup: T,
    pub(crate) imap: T,
    pub(crate) imaps: T,
    pub(crate) pop3: T,
    pub(crate) pop3s: T,
    pub(crate) submission: T,
    pub(crate) submissions: T,
}

/// The file, absent until [`ListenFile::publish`] and again after the drop.
#[derive(Debug)]
pub(crate) struct ListenFile(PathBuf);

impl ListenFile {
    /// Removes what a killed server left behind. Only with the lock of the data directory in hand.
    pub(crate) fn vacate(data_dir: &DataDir) -> Result<Self> {
        let path = data_dir.join("listen.json");
        remove_if_present(&path).with_context(|| format!("removing {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn publish(&self, addresses: &Ports<SocketAddr>) -> Result<()> {
        write_public(&self.0, &serde_json::to_vec(addresses)?)
    }
}

impl Drop for ListenFile {
    fn drop(&mut self) {
        if let Err(error) = remove_if_present(&self.0) {
            tracing::warn!(error.cause = %error, "listen.json is left behind");
        }
    }
}
