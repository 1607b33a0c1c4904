//! A TCP proxy that misbehaves, one way per connection: what lies between us and an S3 service on a bad day.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Everything goes through.
    None,
    /// A 503 after the head of the first request.
    ServiceUnavailable,
    /// The way back breaks off after so many bytes.
    CutAfter(u64),
    /// Requests are swallowed.
    Silence,
}

/// The proxy; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Front {
    /// Listens before `server`; the first connection has the first fault, each later one the next, all the rest the last.
    pub(crate) async fn start(server: SocketAddr, faults: &[Fault]) -> Front {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counter, faults) = (Arc::clone(&connections), faults.to_vec());
        let held = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let fault = faults.get(number).or(faults.last()).copied().unwrap_or(Fault::None);
                if matches!(fault, Fault::Silence) {
                    held.lock().unwrap().push(client);
                } else {
                    // Errors are the point of this proxy.
                    tokio::spawn(async move { drop(handle(client, server, fault).await) });
                }
            }
        });
        Front { address, connections, task: task.abort_handle() }
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(mut client: TcpStream, server: SocketAddr, fault: Fault) -> std::io::Result<()> {
    if let Fault::ServiceUnavailable = fault {
        let _part_of_the_request = client.read(&mut [0; 64 << 10]).await?;
        client
            .write_all(b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .await?;
        client.shutdown().await?;
        // Reading on until the client hangs up keeps a reset from overtaking the answer.
        while client.read(&mut [0; 64 << 10]).await? > 0 {}
        return Ok(());
    }
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let mut from_server = match fault {
        Fault::CutAfter(bytes) => from_server.take(bytes),
        _ => from_server.take(u64::MAX),
    };
    tokio::select! {
        result = tokio::io::copy(&mut from_client, &mut to_server) => result?,
        result = tokio::io::copy(&mut from_server, &mut to_client) => result?,
    };
    Ok(())
}
