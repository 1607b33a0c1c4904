//! Futures that are carried to their end, also when nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A future that goes on by itself if it is dropped before its end; what comes of it is dropped then.
///
/// sqlx 0.9 lets a connection whose `begin` was given up back into its pool with the transaction open: the next one to have it would go on
/// in a transaction of another's beginning, with its isolation level and whatever else is local to it.
pub(crate) struct Whole<T: Send + 'static>(Option<Boxed<T>>);

impl<T: Send + 'static> Whole<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<T: Send + 'static> Future for Whole<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Whole<T> {
    fn drop(&mut self) {
        // Without a runtime there is nothing any more to have the connection.
        if let (Some(future), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { drop(future.await) });
        }
    }
}
