//! What lies between us and an S3 service on a bad day: a proxy on loopback that is told which requests go wrong, and how.
//!
//! Each connection carries one request; the request and its answer go through byte for byte, so signatures hold.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::fake::lock;

const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The service never sees it; the answer has this status, these header lines (each with its CRLF) and this body.
    Answer(u16, &'static str, &'static str),
    /// The service never sees it, and nobody answers.
    Silence,
    /// The service sees it so much later, whether or not somebody still waits for the answer.
    Late(Duration),
    /// So many bytes of its body reach the service, then both connections end.
    CutUpload(usize),
    /// The service does what is asked; so many bytes of the answer (head and body) come back, then the connection ends.
    CutAnswer(usize),
}

impl Fault {
    /// A 500 as S3 words it.
    pub const INTERNAL_ERROR: Self =
        Self::Answer(500, "", "<Error><Code>InternalError</Code><Message>We broke</Message></Error>");
    /// A 503 without a word, as a load balancer has it.
    pub const UNAVAILABLE: Self = Self::Answer(503, "", "");
    /// A 503 that asks for patience.
    pub const SLOW_DOWN: Self = Self::Answer(
        503,
        "Retry-After: 3600\r\nx-amz-retry-after: 3600000\r\n",
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
    );
    /// Temporary credentials have run out.
    pub const EXPIRED_TOKEN: Self =
        Self::Answer(403, "", "<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>");
    /// The same with the status that AWS documents.
    pub const EXPIRED_TOKEN_AWS: Self =
        Self::Answer(400, "", "<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>");
    /// The service's clock and ours are too far apart.
    pub const SKEWED: Self = Self::Answer(
        403,
        "",
        "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>",
    );
    /// Whoever asks is known, and may not do this: a policy lacks the permission for it.
    pub const DENIED: Self =
        Self::Answer(403, "", "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
    /// The service has done it, and nobody hears of it.
    pub const LOST_ANSWER: Self = Self::CutAnswer(0);
}

/// Which requests a fault happens to.
#[derive(Debug, Clone)]
pub struct Rule {
    method: &'static str,
    part: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

impl Rule {
    /// Every request by `method` (empty for any) whose target contains `part`.
    pub fn new(method: &'static str, part: &str, fault: Fault) -> Self {
        Self { method, part: part.to_owned(), skip: 0, times: usize::MAX, fault }
    }

    /// Only after so many that match have gone through.
    #[must_use]
    pub fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// Only so many of them.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Whether the rule is for this request; it is counted then.
    fn takes(&mut self, request: &Request) -> bool {
        let is_meant = (self.method.is_empty() || self.method == request.method)
            && request.target.contains(&self.part)
            && self.times > 0;
        if !is_meant {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// A request that came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Such as `PUT`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whether it has one of the headers `If-*`, which some services ignore.
    pub is_conditional: bool,
    /// What happened to it.
    pub fault: Option<Fault>,
}

/// The proxy; it stops when dropped.
#[derive(Debug)]
pub struct Faults {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Request>,
    /// How many requests have come and are not over.
    under_way: usize,
}

/// A request that is not over.
struct UnderWay<'a>(&'a Mutex<State>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(self.0).under_way -= 1;
    }
}

impl Faults {
    /// Listens before `server`; everything goes through so far.
    ///
    /// # Panics
    /// Without a free port on loopback.
    pub async fn before(server: SocketAddr) -> Self {
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).await.unwrap_or_else(|e| panic!("binding a port: {e}"));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("the port bound: {e}"));
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(accept(listener, server, state.clone()));
        Self { address, state, task: task.abort_handle() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of what is behind it, by way of it. The region is this proxy's own: AWS's client counts what it may still send again
    /// by process and region, and one test's faults are not to use up another's.
    pub fn url(&self, prefix: &str) -> String {
        let region = format!("port-{}", self.address.port());
        crate::s3::url(self.address, &region, prefix)
    }

    /// From now on requests go wrong as the first rule that takes them says, and no other way.
    pub fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        lock(&self.state).rules = rules.into_iter().collect();
    }

    /// Everything that comes goes through again.
    pub fn lift(&self) {
        self.set([]);
    }

    /// What has come by.
    pub fn seen(&self) -> Vec<Request> {
        lock(&self.state).seen.clone()
    }

    /// Returns when no request is under way, not even one that nobody waits for any more.
    ///
    /// # Panics
    /// When that takes more than a minute.
    pub async fn settle(&self) {
        let settled = async {
            while lock(&self.state).under_way > 0 {
                tokio::time::sleep(POLL).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, settled).await.is_ok(), "requests are under way for ever");
    }

    /// How many requests went wrong so far.
    pub fn happened(&self) -> usize {
        lock(&self.state).seen.iter().filter(|request| request.fault.is_some()).count()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: Arc<Mutex<State>>) {
    while let Ok((client, _)) = listener.accept().await {
        let state = state.clone();
        // A connection that fails fails its client, which is what a test looks at.
        tokio::spawn(async move { drop(serve(client, server, &state).await) });
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, state: &Mutex<State>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let Some((head, mut body)) = read_head(&mut client).await? else { return Ok(()) };
    let (mut request, length) = parse(&head)?;
    let fault = {
        let mut state = lock(state);
        let rule = state.rules.iter_mut().find_map(|rule| rule.takes(&request).then_some(rule.fault));
        request.fault = rule;
        state.seen.push(request);
        state.under_way += 1;
        rule
    };
    let _under_way = UnderWay(state);
    let wanted = match fault {
        Some(Fault::CutUpload(bytes)) => length.min(bytes),
        _ => length,
    };
    let missing = wanted.saturating_sub(body.len());
    let came = (&mut client).take(missing as u64).read_to_end(&mut body).await?;
    body.truncate(wanted);
    if came < missing {
        // Whoever asked has gone; half a request is nobody's.
        return Ok(());
    }
    let limit = match fault {
        Some(Fault::Answer(status, headers, text)) => return answer(client, status, headers, text).await,
        Some(Fault::Silence) => return hang_up_with(&mut client).await,
        Some(Fault::Late(by)) => {
            tokio::time::sleep(by).await;
            usize::MAX
        }
        Some(Fault::CutUpload(_)) => {
            let mut server = TcpStream::connect(server).await?;
            server.write_all(&head).await?;
            return server.write_all(&body).await;
        }
        Some(Fault::CutAnswer(bytes)) => bytes,
        None => usize::MAX,
    };
    let answer = ask(server, &head, &body).await?;
    client.write_all(answer.get(..limit).unwrap_or(&answer)).await?;
    client.shutdown().await
}

/// The whole answer of the service.
async fn ask(server: SocketAddr, head: &[u8], body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    // So that the answer ends with the connection. Nobody signs this header.
    let end = head.len() - 2;
    server.write_all(&[&head[..end], b"connection: close\r\n\r\n", body].concat()).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn answer(mut client: TcpStream, status: u16, headers: &str, text: &str) -> std::io::Result<()> {
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status} Told\r\n{headers}content-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    client.write_all((head + text).as_bytes()).await?;
    client.shutdown().await?;
    hang_up_with(&mut client).await
}

/// Reads until the client hangs up: a reset must not overtake an answer.
async fn hang_up_with(client: &mut TcpStream) -> std::io::Result<()> {
    while client.read(&mut [0; 64 << 10]).await? > 0 {}
    Ok(())
}

/// The head with its empty line, and what came with it; `None` if nothing comes.
async fn read_head(client: &mut TcpStream) -> std::io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(at + 4);
            return Ok(Some((bytes, body)));
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// The request and the length of its body.
fn parse(head: &[u8]) -> std::io::Result<(Request, usize)> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut part = || first.next().unwrap_or_default().to_owned();
    let mut request = Request { method: part(), target: part(), is_conditional: false, fault: None };
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(std::io::Error::other)?,
            // Lengths in chunks are more than is needed here: nothing of ours sends them.
            "transfer-encoding" => return Err(std::io::Error::other("a body in chunks")),
            name => request.is_conditional |= name.starts_with("if-"),
        }
    }
    Ok((request, length))
}
