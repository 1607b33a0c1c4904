//! Postfix's questions, by socketmap: which domains are ours (`domains`), and which addresses take mail (`recipients`). What it is told of an
//! address is what LMTP's RCPT would say.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kernel::{DomainName, RequestId};
use socket::listen::{Listen, Mode};
use tenancy::Error;
use tenancy::recipient::Recipients;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::codec::netstring::{self, Answer, Request};
use crate::codec::path::{self, ForwardPath};
use crate::reply::is_ours;

/// How much is read at once: a request is mostly less than a hundred octets.
const BLOCK_BYTES: usize = 1 << 10;

/// What a lookup server is made of.
#[derive(Debug)]
pub struct Lookup {
    /// Finds the mailbox of an address.
    pub recipients: Recipients,
    /// What a client may use up.
    pub limits: Limits,
}

/// The limits of a lookup server; each has a default fit for production.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; one more is answered TEMP.
    pub max_connections: usize,
    /// How long a connection may be without a whole request, and an answer unread. Postfix keeps its own for 100 seconds at most, and 10 idle.
    pub command_timeout: Duration,
    /// How long a request in hand may take, at shutdown, to be answered.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            command_timeout: Duration::from_secs(120),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// Answers on `listener` until `shutdown`. Then no connection is accepted any more, requests in hand are answered, and those that take longer than
/// the grace are cut off.
pub async fn serve(listener: TcpListener, service: Arc<Lookup>, shutdown: CancellationToken) {
    let listen = Listen {
        protocol: "lookup",
        mode: Mode::Plain,
        max_connections: service.limits.max_connections,
        // All come from the MTA.
        max_connections_per_peer: service.limits.max_connections,
        shutdown_grace: service.limits.shutdown_grace,
        too_many: "25:TEMP too many connections,",
    };
    // Who looks for a rise sees the first one too.
    for answer in ["found", "not_found", "later", "never", "malformed"] {
        requests(answer).increment(0);
    }
    let session = |stream, _: IpAddr| {
        let id = service.recipients.env().new_id();
        let span = tracing::info_span!("lookup.session", request.id = %id);
        let (service, shutdown) = (service.clone(), shutdown.clone());
        async move {
            if let Err(error) = talk(&service, stream, id, &shutdown).await {
                tracing::debug!(error.cause = %error, "connection lost");
            }
        }
        .instrument(span)
    };
    listen.serve(listener, shutdown.clone(), session).await;
}

/// Answers one request after the other; returns when the client closes, is idle for too long or asks what is no request, or at shutdown.
async fn talk(
    service: &Lookup,
    mut stream: TcpStream,
    id: RequestId,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    while let Some(request) = request(service, &mut stream, &mut input, shutdown).await? {
        let answer = answer(service, &request, id).await;
        count(match answer {
            Answer::Found(_) => "found",
            Answer::NotFound => "not_found",
            Answer::Later(_) => "later",
            Answer::Never(_) => "never",
        });
        answer.render(&mut output);
        timeout(service.limits.command_timeout, stream.write_all_buf(&mut output)).await??;
    }
    Ok(())
}

/// The next request. The time limit is for all of it, however its bytes trickle in.
async fn request(
    service: &Lookup,
    stream: &mut TcpStream,
    input: &mut BytesMut,
    shutdown: &CancellationToken,
) -> io::Result<Option<Request>> {
    let deadline = tokio::time::Instant::now() + service.limits.command_timeout;
    loop {
        if shutdown.is_cancelled() {
            return Ok(None);
        }
        match netstring::next(input) {
            Ok(Some(request)) => return Ok(Some(request)),
            Ok(None) => {}
            Err(malformed) => {
                count("malformed");
                tracing::warn!(error.cause = %malformed, "not asked by socketmap, closing");
                return Ok(None);
            }
        }
        input.reserve(BLOCK_BYTES);
        let read = tokio::select! {
            read = tokio::time::timeout_at(deadline, stream.read_buf(input)) => read,
            () = shutdown.cancelled() => return Ok(None),
        };
        match read {
            Ok(Ok(0)) | Err(_) => return Ok(None),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// What is said of one key. A failure of ours is never a "no": mail would bounce.
async fn answer(service: &Lookup, request: &Request, id: RequestId) -> Answer {
    let key = std::str::from_utf8(&request.key).ok();
    let found = match &*request.map {
        b"domains" => domain(&service.recipients, key).await,
        b"recipients" => recipient(&service.recipients, key, id).await,
        _ => return Answer::Never("there are the maps domains and recipients"),
    };
    match found {
        Ok(Some(value)) => Answer::Found(value),
        Ok(None) | Err(Error::NotFound) => Answer::NotFound,
        Err(error) => {
            if is_ours(error.kind()) {
                tracing::error!(error.cause = %kernel::error::chain(&error), "lookup failed");
            }
            Answer::Later("the directory cannot be read now")
        }
    }
}

/// Whether a domain is ours, also of a tenant that may not receive: nobody else is to get its mail, and `recipients` says that no address takes any.
async fn domain(recipients: &Recipients, key: Option<&str>) -> Result<Option<String>, Error> {
    let Some(Ok(domain)) = key.map(str::parse::<DomainName>) else { return Ok(None) };
    Ok(recipients.is_ours(&domain).await?.then(|| domain.to_string()))
}

/// Who gets mail for an address. Postfix quotes a local part where SMTP does, so the key is what stands in RCPT's path.
async fn recipient(
    recipients: &Recipients,
    key: Option<&str>,
    id: RequestId,
) -> Result<Option<String>, Error> {
    let Some(path) = key.map(|key| format!("<{key}>")) else { return Ok(None) };
    let Ok((ForwardPath::Mailbox(mailbox), "")) = path::forward(&path) else { return Ok(None) };
    let Some(address) = mailbox.address() else { return Ok(None) };
    let Some(found) = recipients.resolve(&address, id).await? else { return Ok(None) };
    Ok(Some(match found.mailbox_ids.as_slice() {
        [mailbox_id] => mailbox_id.to_string(),
        several => format!("{} mailboxes", several.len()),
    }))
}

fn count(answer: &'static str) {
    requests(answer).increment(1);
}

fn requests(answer: &'static str) -> metrics::Counter {
    metrics::counter!("pillarbox_lookup_requests_total", "answer" => answer)
}
