//! Calls of the REST API, as many as go.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::CONNECTIONS;
use super::wire::Wire;
use crate::bed::Bed;

/// One call.
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// JSON, or nothing.
    pub(super) body: String,
    /// The status of the answer that it is to get.
    pub(super) status: u16,
}

/// How many calls of so many clients are answered in a second, each client with a connection of its own that stays open.
pub(super) async fn per_second(
    bed: &Bed,
    next: impl Fn() -> Call + Clone + Send + 'static,
    duration: Duration,
) -> Result<f64> {
    let mut wires = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        wires.push(Wire::connect(bed.address(), &bed.place().secret).await?);
    }
    let start = Instant::now();
    let tasks = wires.into_iter().map(|mut wire| {
        let next = next.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while start.elapsed() < duration {
                wire.call(&next()).await?;
                done += 1;
            }
            anyhow::Ok(done)
        })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        done += task.await??;
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}
