//! A way to Postgres that is cut at a chosen statement, as when a process is killed there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use url::Url;

/// On which side of a statement the way is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server never sees it.
    Before,
    /// The server has done it, and nobody hears of it.
    After,
}

/// A proxy on loopback that forwards to a database, counts what is asked of the server, and at one of these closes every
/// connection for good.
#[derive(Debug)]
pub struct Cut {
    url: String,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    asked: AtomicU64,
    /// The count at which it cuts; 0 for never.
    at: AtomicU64,
    side: Side,
    happened: CancellationToken,
}

impl Cut {
    /// A way to the database at `url` that is not cut yet.
    ///
    /// # Panics
    /// Without a free port on loopback.
    pub async fn new(url: &str, side: Side) -> Self {
        let target: PgConnectOptions = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
        let listener =
            TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|e| panic!("binding a port: {e}"));
        let port = listener.local_addr().unwrap_or_else(|e| panic!("the port bound: {e}")).port();
        let happened = CancellationToken::new();
        let state = Arc::new(State { asked: AtomicU64::new(0), at: AtomicU64::new(0), side, happened });
        tokio::spawn(accept(listener, target, state.clone()));
        let mut own = Url::parse(url).unwrap_or_else(|e| panic!("{url}: {e}"));
        let is_set = own.set_host(Some("127.0.0.1")).is_ok() && own.set_port(Some(port)).is_ok();
        assert!(is_set, "{url} takes no host and port");
        own.set_query(Some("sslmode=disable"));
        Self { url: own.into(), state }
    }

    /// The database's URL by this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts at the `nth` thing that is asked of the server from now on.
    pub fn arm(&self, nth: u64) {
        self.state.asked.store(0, Ordering::SeqCst);
        self.state.at.store(nth, Ordering::SeqCst);
    }

    /// Returns when it has cut.
    pub async fn happened(&self) {
        self.state.happened.cancelled().await;
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.state.happened.cancel();
    }
}

async fn accept(listener: TcpListener, target: PgConnectOptions, state: Arc<State>) {
    let happened = state.happened.clone();
    happened
        .run_until_cancelled(async {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target.clone(), state.clone()));
            }
        })
        .await;
}

async fn serve(client: TcpStream, target: PgConnectOptions, state: Arc<State>) {
    let (host, port) = (target.get_host().to_owned(), target.get_port());
    let happened = state.happened.clone();
    let forwarding = async {
        let socket =
            target.get_socket().cloned().or_else(|| host.starts_with('/').then(|| host.clone().into()));
        match socket {
            Some(directory) => {
                let server = UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await?;
                let (from, to) = server.into_split();
                forward(client, from, to, &state).await
            }
            None => {
                let server = TcpStream::connect((host.as_str(), port)).await?;
                server.set_nodelay(true)?;
                let (from, to) = server.into_split();
                forward(client, from, to, &state).await
            }
        }
    };
    // A connection that fails fails its client, which is what a test looks at.
    happened.run_until_cancelled(forwarding).await;
}

async fn forward(
    client: TcpStream,
    mut from_server: impl AsyncRead + Unpin,
    mut to_server: impl AsyncWrite + Unpin,
    state: &State,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let is_last = AtomicBool::new(false);
    let asking = async {
        let mut is_started = false;
        loop {
            let (message, is_asked) = message(&mut from_client, is_started).await?;
            is_started = true;
            let count = if is_asked { state.asked.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            let at = state.at.load(Ordering::SeqCst);
            if at > 0 && count > at {
                // While another connection waits for the answer of the one at which it cuts, which may be a rollback that nobody waits for,
                // nothing more is asked.
                return std::future::pending().await;
            }
            if count > 0 && count == at {
                if state.side == Side::Before {
                    state.happened.cancel();
                    return Ok(());
                }
                is_last.store(true, Ordering::SeqCst);
            }
            to_server.write_all(&message).await?;
        }
    };
    let answering = async {
        let mut buffer = [0; 8192];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if is_last.load(Ordering::SeqCst) {
                state.happened.cancel();
            }
            if read == 0 || is_last.load(Ordering::SeqCst) {
                return Ok(());
            }
            to_client.write_all(buffer.get(..read).unwrap_or_default()).await?;
        }
    };
    tokio::select! {
        ended = asking => ended,
        ended = answering => ended,
    }
}

/// The next message of a client, and whether the server acts on it: a simple query, or the end of an extended one. The first of a
/// connection has no type ("Message Formats" of PostgreSQL's protocol 3.0).
async fn message(
    client: &mut (impl AsyncRead + Unpin),
    is_started: bool,
) -> std::io::Result<(Vec<u8>, bool)> {
    let mut message = Vec::new();
    if is_started {
        message.push(client.read_u8().await?);
    }
    let is_asked = matches!(message.first(), Some(b'Q' | b'S'));
    let length = client.read_u32().await?;
    message.extend(length.to_be_bytes());
    let body = u64::from(length.saturating_sub(4));
    client.take(body).read_to_end(&mut message).await?;
    Ok((message, is_asked))
}
