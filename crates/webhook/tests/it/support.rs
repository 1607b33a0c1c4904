//! An HTTP server that says what a test tells it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::Env;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use webhook::{Delivery, Guard, Limits, Secret, Sender};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What to answer with.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// A good head, and a body that never ends.
    Endless,
    /// A good head, and then nothing.
    Stall,
    /// Nothing at all.
    Silence,
}

impl Answer {
    /// A status, header lines, and a body.
    pub(crate) fn of(status: &str, headers: &[&str], body: &[u8]) -> Self {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        Self::Bytes([head.as_bytes(), body].concat())
    }
}

/// A server on a port of its own; it ends with the test.
pub(crate) struct Server {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    connections: Arc<Mutex<usize>>,
    _task: JoinSet<()>,
}

impl Server {
    pub(crate) async fn new(answer: Answer) -> Self {
        Self::start(answer, None).await
    }

    pub(crate) async fn with_tls(answer: Answer, tls: TlsAcceptor) -> Self {
        Self::start(answer, Some(tls)).await
    }

    async fn start(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (log, count) = (heard.clone(), connections.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                let (answer, log, tls) = (answer.clone(), log.clone(), tls.clone());
                conversations.spawn(async move {
                    match tls {
                        None => converse(stream, answer, &log).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, answer, &log).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { port, heard, connections, _task: task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?tenant=acme", self.port)
    }

    /// The requests so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// How often somebody has connected.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// Hears one request and answers. `None` if the other end has gone, which is its right.
async fn converse<S>(mut stream: S, answer: Answer, log: &Mutex<Vec<Heard>>) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: HashMap<_, _> =
        lines.map(|l| l.split_once(": ").unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    log.lock().unwrap().push(Heard { line, headers, body });
    match answer {
        Answer::Bytes(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            stream.shutdown().await.ok()
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(&[b'x'; 4_096]).await.ok()?;
            }
        }
        Answer::Stall => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbegun").await.ok()?;
            std::future::pending().await
        }
        Answer::Silence => std::future::pending().await,
    }
}

/// A guard that lets tests reach themselves.
pub(crate) fn loopback() -> Guard {
    Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()])
}

/// Long enough for a busy machine.
pub(crate) fn patient() -> Limits {
    Limits { connect: Duration::from_secs(30), total: Duration::from_secs(60), ..Limits::default() }
}

/// For what is meant to time out.
pub(crate) fn hasty() -> Limits {
    Limits { total: Duration::from_millis(300), ..patient() }
}

pub(crate) fn sender(guard: Guard, limits: Limits) -> Sender {
    Sender::new(guard, limits).unwrap()
}

pub(crate) fn delivery(url: String) -> Delivery {
    Delivery {
        url,
        id: "evt_01jz8x5m3d".to_owned(),
        timestamp: now(),
        secrets: vec![Secret::generate(&Env::system())],
        body: br#"{"type":"message.received"}"#.as_slice().into(),
    }
}

pub(crate) fn now() -> DateTime<Utc> {
    "2026-07-01T12:00:00Z".parse().unwrap()
}
