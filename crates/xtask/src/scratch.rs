//! Places and databases for the length of one chore.

use std::path::Path;

use anyhow::Context;
use db::cluster::{Cluster, Options, Profile};
use tempfile::TempDir;

/// A fresh directory that Postgres' account can get to, which it cannot below /root and maybe not below a checkout.
pub(crate) fn dir(name: &str) -> anyhow::Result<TempDir> {
    let base = Path::new("/var/tmp");
    let prefix = format!("pillarbox-{name}-");
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(base)
        .context("making a temporary directory in /var/tmp")
}

/// A Postgres cluster for tests, in a directory that goes with it.
pub(crate) struct TestCluster {
    cluster: Cluster,
    dir: TempDir,
}

impl TestCluster {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let dir = dir("test")?;
        let options = Options { dir: dir.path().to_owned(), profile: Profile::Test };
        let cluster = Cluster::start(options).await.context("starting a postgres for tests")?;
        Ok(Self { cluster, dir })
    }

    pub(crate) fn url(&self) -> &str {
        self.cluster.url()
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.cluster.stop().await.context("stopping the postgres for tests")?;
        self.dir.close().context("removing the directory of the postgres for tests")
    }
}
