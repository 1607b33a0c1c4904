//! `listen.json`: where the server listens, for whoever started it on port 0. It is there exactly while the server is ready.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::files::{DataDir, remove_if_present, write_public};

/// The addresses in use.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) lmtp: SocketAddr,
    pub(crate) lookup: SocketAddr,
    pub(crate) imap: SocketAddr,
    pub(crate) imaps: SocketAddr,
    pub(crate) pop3: SocketAddr,
    pub(crate) pop3s: SocketAddr,
    pub(crate) submission: SocketAddr,
    pub(crate) submissions: SocketAddr,
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

    pub(crate) fn publish(&self, addresses: &Addresses) -> Result<()> {
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
