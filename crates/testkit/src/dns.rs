//! A name server in this process, on a loopback port over UDP and TCP, whose records tests change while it runs.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use hickory_resolver::proto::op::{Message, Metadata, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, MX, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;

/// Long, and for absence too, so that a test notices a cache that should not be there.
const TTL_SECONDS: u32 = 3600;

/// A running server that is the authority for every name; it stops when dropped.
///
/// A name is in whatever case and script, with or without the final dot. What was never set does not exist.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Zone>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Starts a server on a free port of 127.0.0.1, on a thread of its own, so that a test that blocks does not stop it.
    pub async fn start() -> DnsServer {
        tokio::task::spawn_blocking(start)
            .await
            .expect("the name server's start does not panic")
            .expect("a name server starts on 127.0.0.1: is the loopback up?")
    }

    /// Where the server listens, for UDP and for TCP.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the TXT records at a name, of any length each.
    pub fn set_txt(&self, name: &str, records: &[&str]) {
        self.zone.set(name, |node| node.txt = records.iter().map(|&record| record.to_owned()).collect());
    }

    /// Replaces the MX records at a name: preferences and hosts. `(0, ".")` is the null MX.
    pub fn set_mx(&self, name: &str, records: &[(u16, &str)]) {
        let records = records.iter().map(|(preference, host)| (*preference, absolute(host))).collect();
        self.zone.set(name, |node| node.mx = records);
    }

    /// Makes a name an alias (CNAME) of another.
    pub fn set_alias(&self, name: &str, target: &str) {
        self.zone.set(name, |node| node.alias = Some(absolute(target)));
    }

    /// Forgets all that was set for a name.
    pub fn remove(&self, name: &str) {
        self.zone.nodes().remove(&absolute(name));
    }

    /// Answers SERVFAIL for a name until its records are set or it is removed.
    pub fn fail(&self, name: &str) {
        self.zone.set(name, |node| node.ails = Some(Ailment::Fails));
    }

    /// Answers REFUSED for a name until its records are set or it is removed.
    pub fn refuse(&self, name: &str) {
        self.zone.set(name, |node| node.ails = Some(Ailment::Refuses));
    }

    /// Answers nothing at all for a name until its records are set or it is removed.
    pub fn silence(&self, name: &str) {
        self.zone.set(name, |node| node.ails = Some(Ailment::IsSilent));
    }

    /// How many queries came over TCP so far.
    pub fn tcp_queries(&self) -> usize {
        self.zone.tcp_queries.load(Ordering::SeqCst)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; a second one here would abort the test run.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Zone {
    nodes: Mutex<HashMap<Name, Node>>,
    tcp_queries: AtomicUsize,
}

/// What there is at a name.
#[derive(Debug, Default)]
struct Node {
    txt: Vec<String>,
    mx: Vec<(u16, Name)>,
    alias: Option<Name>,
    ails: Option<Ailment>,
}

#[derive(Debug, Clone, Copy)]
enum Ailment {
    Fails,
    Refuses,
    IsSilent,
}

impl Zone {
    fn nodes(&self) -> MutexGuard<'_, HashMap<Name, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, name: &str, change: impl FnOnce(&mut Node)) {
        let mut nodes = self.nodes();
        let node = nodes.entry(absolute(name)).or_default();
        node.ails = None;
        change(node);
    }

    /// The bytes to send back, if any; what does not fit `limit_bytes` is left out and marked so (RFC 1035 §4.2.1).
    fn answer(&self, request: &[u8], limit_bytes: impl FnOnce(&Message) -> usize) -> Option<Vec<u8>> {
        let request = Message::from_vec(request).ok()?;
        let query = request.queries.first()?;
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata = Metadata::response_from_request(&request.metadata);
        response.metadata.authoritative = true;
        response.metadata.recursion_available = true;
        response.add_query(query.clone());
        if let Some(edns) = &request.edns {
            response.set_edns(edns.clone());
        }
        self.fill(&mut response, query)?;
        let bytes = response.to_vec().expect("a response is encoded");
        if bytes.len() <= limit_bytes(&request) {
            return Some(bytes);
        }
        Some(response.truncate().to_vec().expect("a response without records is encoded"))
    }

    fn fill(&self, response: &mut Message, query: &Query) -> Option<()> {
        let nodes = self.nodes();
        let name = query.name();
        match nodes.get(name).and_then(|node| node.ails) {
            Some(Ailment::IsSilent) => return None,
            Some(Ailment::Fails) => response.metadata.response_code = ResponseCode::ServFail,
            Some(Ailment::Refuses) => response.metadata.response_code = ResponseCode::Refused,
            None => {
                response.add_answers(records(&nodes, name, query.query_type()));
                if response.answers.is_empty() {
                    // RFC 8020: a name above one that exists does exist.
                    if !nodes.keys().any(|known| name.zone_of(known)) {
                        response.metadata.response_code = ResponseCode::NXDomain;
                    }
                    response.add_authority(start_of_authority());
                }
            }
        }
        Some(())
    }
}

fn records(nodes: &HashMap<Name, Node>, name: &Name, kind: RecordType) -> Vec<Record> {
    let Some(node) = nodes.get(name) else { return Vec::new() };
    let record = |data| Record::from_rdata(name.clone(), TTL_SECONDS, data);
    if let Some(target) = &node.alias {
        let alias = record(RData::CNAME(CNAME(target.clone())));
        return [vec![alias], records(nodes, target, kind)].concat();
    }
    match kind {
        RecordType::TXT => node.txt.iter().map(|text| record(RData::TXT(strings(text)))).collect(),
        RecordType::MX => {
            let data = node.mx.iter().map(|(preference, host)| MX::new(*preference, host.clone()));
            data.map(|mx| record(RData::MX(mx))).collect()
        }
        _ => Vec::new(),
    }
}

/// A text as strings of at most 255 octets (RFC 1035 §3.3), of which there is one at least.
fn strings(text: &str) -> TXT {
    let mut strings = text.as_bytes().chunks(255).collect::<Vec<_>>();
    if strings.is_empty() {
        strings.push(b"");
    }
    TXT::from_bytes(strings)
}

fn start_of_authority() -> Record {
    let seconds = 3600;
    let soa = SOA::new(Name::root(), Name::root(), 1, seconds, seconds, seconds, TTL_SECONDS);
    Record::from_rdata(Name::root(), TTL_SECONDS, RData::SOA(soa))
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_str_relaxed(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    name.set_fqdn(true);
    name
}

fn start() -> anyhow::Result<DnsServer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (udp, tcp) = runtime.block_on(bind())?;
    let address = udp.local_addr()?;
    let zone = Arc::new(Zone::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let served = Arc::clone(&zone);
    let thread = std::thread::Builder::new().name("dns-server".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = serve_udp(udp, &served) => {}
                () = accept(tcp, &served) => {}
                // The sender is dropped, never used.
                _ = stopped => {}
            }
        });
        runtime.shutdown_background();
    })?;
    Ok(DnsServer { address, zone, stop: Some(stop), thread: Some(thread) })
}

/// One port for both: clients know only one.
async fn bind() -> anyhow::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..20 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            // Somebody has that port for UDP.
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("not tried"))).context("binding UDP and TCP to one port")
}

async fn serve_udp(socket: UdpSocket, zone: &Zone) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        // An error is about an earlier response that its client no longer wanted.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let limit = |request: &Message| usize::from(request.max_payload());
        if let Some(response) = zone.answer(&buffer[..length], limit) {
            // A client that is gone needs no answer.
            let _ = socket.send_to(&response, client).await;
        }
    }
}

async fn accept(listener: TcpListener, zone: &Arc<Zone>) {
    while let Ok((socket, _)) = listener.accept().await {
        let zone = Arc::clone(zone);
        // A client that goes away ends its connection with an error; that is the client's matter.
        tokio::spawn(async move { drop(serve_tcp(socket, &zone).await) });
    }
}

/// RFC 1035 §4.2.2: each message behind its length.
async fn serve_tcp(mut socket: TcpStream, zone: &Zone) -> io::Result<()> {
    loop {
        let length = socket.read_u16().await?;
        let mut request = vec![0; usize::from(length)];
        socket.read_exact(&mut request).await?;
        zone.tcp_queries.fetch_add(1, Ordering::SeqCst);
        if let Some(response) = zone.answer(&request, |_| usize::from(u16::MAX)) {
            let length = u16::try_from(response.len()).map_err(io::Error::other)?;
            socket.write_all(&[&length.to_be_bytes(), &response[..]].concat()).await?;
        }
    }
}
