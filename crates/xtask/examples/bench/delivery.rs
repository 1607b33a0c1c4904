//! Messages that a measure finds in a mailbox.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use testkit::client::lmtp::Lmtp;

/// How many connections deliver them.
const CONNECTIONS: usize = 16;

/// Delivers so many messages to an address, each made from its number.
pub(crate) async fn fill(
    lmtp: SocketAddr,
    address: &str,
    count: usize,
    message: impl Fn(usize) -> Vec<u8>,
) -> Result<()> {
    let message = &message;
    let deliveries = futures::stream::iter(0..CONNECTIONS).map(|first| async move {
        let mut client = Lmtp::connect(lmtp).await?;
        for number in (first..count).step_by(CONNECTIONS) {
            let delivery = client.deliver("a@example.org", &[address], &message(number)).await?;
            ensure!(delivery.is_complete(), "refused: {:?}", delivery.outcomes);
        }
        client.quit().await
    });
    deliveries.buffer_unordered(CONNECTIONS).collect::<Vec<_>>().await.into_iter().collect()
}
