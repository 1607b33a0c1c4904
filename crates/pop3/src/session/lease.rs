//! Keeping the lease on a maildrop while its session lives, also in the middle of a long RETR.

use std::convert::Infallible;
use std::time::Duration;

use mailstore::maildrop::{self, Maildrop};
use tokio_util::sync::CancellationToken;

/// Renews the lease again and again; cancels `lost` when it turns out to be another's. Never returns: it is dropped
/// with the session's commands, beside which it runs.
pub(super) async fn keep(maildrop: &Maildrop, every: Duration, lost: &CancellationToken) -> Infallible {
    loop {
        tokio::time::sleep(every).await;
        match maildrop.renew().await {
            Ok(()) => {}
            Err(maildrop::Error::LeaseLost) => {
                tracing::warn!("pop3 lease lost");
                lost.cancel();
                return std::future::pending().await;
            }
            // A lease outlasts several renewals, and the update at the end checks it again.
            Err(error) => tracing::warn!(error = kernel::error::chain(&error), "pop3 lease not renewed"),
        }
    }
}
