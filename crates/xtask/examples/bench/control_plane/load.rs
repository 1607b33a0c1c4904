//! Calls of the REST API, as many as go.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::client::http::Http;

use super::CONNECTIONS;
use crate::bed::Bed;

/// One call; for how many things done it counts.
pub(super) trait Call: Clone + Send + Sync + 'static {
    fn call(&self, http: &Http) -> impl Future<Output = Result<u32>> + Send;
}

/// What the calls of so many clients come to in a second, each client with a connection of its own that stays open.
pub(super) async fn per_second<C: Call>(bed: &Bed, call: &C, duration: Duration) -> Result<f64> {
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let http = bed.http()?;
        // The connection, and its handshake.
        http.get("/healthz").await?.expect_bytes(200)?;
        clients.push(http);
    }
    let start = Instant::now();
    let tasks = clients.into_iter().map(|http| {
        let call = call.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while start.elapsed() < duration {
                done += call.call(&http).await?;
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
