//! A server on loopback that plays somebody else's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The server; it ends, with its conversations, when it is dropped.
#[derive(Debug)]
pub(crate) struct Fake<S> {
    pub(crate) port: u16,
    state: Arc<Mutex<S>>,
    _task: JoinSet<()>,
}

impl<S: Default + Send + 'static> Fake<S> {
    /// Starts it on a free port of 127.0.0.1. `converse` plays each connection to its end, with the state that all share.
    pub(crate) async fn start<F>(
        converse: impl Fn(TcpStream, Arc<Mutex<S>>) -> F + Send + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else { panic!("a port on loopback") };
        let Ok(address) = listener.local_addr() else { panic!("the port's number") };
        let state = Arc::new(Mutex::new(S::default()));
        let shared = state.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                conversations.spawn(converse(stream, shared.clone()));
            }
        });
        Arc::new(Self { port: address.port(), state, _task: task })
    }

    /// What its conversations share.
    pub(crate) fn state(&self) -> MutexGuard<'_, S> {
        lock(&self.state)
    }
}

/// Locks it, also where a panic left it locked: that fails its own test.
pub(crate) fn lock<S>(state: &Mutex<S>) -> MutexGuard<'_, S> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
