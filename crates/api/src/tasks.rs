//! Work that goes on when its connection has ended.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every such work of one router, so that a shutdown can wait for it: the database's pool is closed next. Cheap to
/// clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    running: TaskTracker,
    cut: CancellationToken,
}

impl Tasks {
    /// Starts work; its output is `None` when it was cut.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        self.running.spawn(self.cut.clone().run_until_cancelled_owned(work))
    }

    /// Waits until no work is left.
    pub(crate) async fn wait(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Drops all work, which rolls its transactions back.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// How much is under way.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }
}
