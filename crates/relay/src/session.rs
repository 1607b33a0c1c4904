//! A connection that may carry transactions: greeted, encrypted, signed in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mail_send::SmtpClient;
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, EXT_SIZE, EXT_START_TLS, EhloResponse};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::deadlines::Timer;
use crate::fault::{Phase, RouteFault, garbled};
use crate::reply::{Class, Reply};
use crate::smarthost::{Credentials, Smarthost};
use crate::wire::Wire;

/// How long a farewell may take.
const QUIT_LIMIT: Duration = Duration::from_secs(5);

/// What it takes to open a session.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) smarthost: Smarthost,
    /// Whose certificates are trusted.
    pub(crate) tls: Arc<ClientConfig>,
    /// How we introduce ourselves.
    pub(crate) hostname: String,
    /// The smarthost's name, as replies have it.
    pub(crate) remote: Arc<str>,
}

/// What a smarthost offers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    /// `smtp_proto`'s `EXT_*`.
    pub(crate) bits: u32,
    /// The largest message, in octets, if it told (RFC 1870 §4; 0 is no limit).
    pub(crate) size_limit: Option<usize>,
}

impl Features {
    /// Whether it offers an extension, one of `smtp_proto`'s `EXT_*`.
    pub(crate) fn has(&self, extension: u32) -> bool {
        self.bits & extension != 0
    }

    fn of(ehlo: &EhloResponse<String>) -> Self {
        let is_limited = ehlo.capabilities & EXT_SIZE != 0 && ehlo.size > 0;
        Self { bits: ehlo.capabilities, size_limit: is_limited.then_some(ehlo.size) }
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) wire: Wire,
    pub(crate) features: Features,
    pub(crate) remote: Arc<str>,
    /// How many transactions it has begun.
    pub(crate) transactions: u32,
    /// Whether the present transaction's MAIL has got its reply.
    pub(crate) mail_is_answered: bool,
    /// Whether it can carry no further transaction.
    pub(crate) is_spent: bool,
}

impl Session {
    /// Opens one.
    ///
    /// # Errors
    /// [`RouteFault`]: the way is closed.
    pub(crate) async fn open(way: &Way, timer: &Timer) -> Result<Self, RouteFault> {
        let host = &way.smarthost;
        let connecting = async {
            let stream = TcpStream::connect((host.host.as_str(), host.port)).await?;
            stream.set_nodelay(true)?;
            let is_local = stream.peer_addr()?.ip().is_loopback();
            Ok((stream, is_local))
        };
        let (stream, is_local) = timer.within(Phase::Connect, timer.deadlines.connect, connecting).await?;
        let mut wire =
            if host.is_implicit { encrypt(stream, way, timer).await? } else { Wire::plain(stream) };
        let greeting =
            timer.within(Phase::Greeting, timer.deadlines.greeting, wire.reply(&way.remote)).await?;
        expect(Phase::Greeting, greeting, Class::Positive)?;
        let mut ehlo = hello(&mut wire, way, timer).await?;
        if !host.is_implicit {
            if ehlo.capabilities & EXT_START_TLS != 0 {
                wire = start_tls(wire, way, timer).await?;
                // RFC 3207 §4.2: what was said in plain text is forgotten.
                ehlo = hello(&mut wire, way, timer).await?;
            } else if !(host.is_loopback && is_local) {
                return Err(RouteFault::NoStartTls);
            }
        }
        if let Some(credentials) = &host.credentials {
            sign_in(&mut wire, credentials, ehlo.auth_mechanisms, way, timer).await?;
        }
        Ok(Self {
            wire,
            features: Features::of(&ehlo),
            remote: way.remote.clone(),
            transactions: 0,
            mail_is_answered: false,
            is_spent: false,
        })
    }

    /// The reply to what was asked before.
    ///
    /// # Errors
    /// [`RouteFault`] when there is none, or it ends the session (421, RFC 5321 §3.8).
    pub(crate) async fn reply(
        &mut self,
        phase: Phase,
        limit: Duration,
        timer: &Timer,
    ) -> Result<Reply, RouteFault> {
        let reply = timer.within(phase, limit, self.wire.reply(&self.remote)).await?;
        if reply.code == 421 { Err(RouteFault::Refused { phase, reply }) } else { Ok(reply) }
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// [`RouteFault`]: the connection broke, or takes nothing.
    pub(crate) async fn send(
        &mut self,
        octets: &[u8],
        phase: Phase,
        limit: Duration,
        timer: &Timer,
    ) -> Result<(), RouteFault> {
        timer.within(phase, limit, write(&mut self.wire, octets)).await
    }

    /// Says goodbye, and does not insist on hearing it back (RFC 5321 §4.1.1.10).
    pub(crate) async fn quit(mut self) {
        let farewell = async {
            write(&mut self.wire, b"QUIT\r\n").await?;
            self.wire.reply(&self.remote).await?;
            self.wire.shutdown().await
        };
        if let Ok(Err(error)) = tokio::time::timeout(QUIT_LIMIT, farewell).await {
            tracing::debug!(%error, "the smarthost did not say goodbye");
        }
    }
}

/// Writes all of it, and does not leave it in a buffer.
async fn write(wire: &mut Wire, octets: &[u8]) -> io::Result<()> {
    wire.write_all(octets).await?;
    wire.flush().await
}

/// A reply of the class that is needed to go on.
fn expect(phase: Phase, reply: Reply, class: Class) -> Result<(), RouteFault> {
    if reply.class() == class { Ok(()) } else { Err(RouteFault::Refused { phase, reply }) }
}

async fn encrypt(stream: TcpStream, way: &Way, timer: &Timer) -> Result<Wire, RouteFault> {
    let handshake = TlsConnector::from(way.tls.clone()).connect(way.smarthost.tls_name.clone(), stream);
    Ok(Wire::tls(timer.within(Phase::Tls, timer.deadlines.connect, handshake).await?))
}

async fn start_tls(mut wire: Wire, way: &Way, timer: &Timer) -> Result<Wire, RouteFault> {
    let asking = async {
        write(&mut wire, b"STARTTLS\r\n").await?;
        wire.reply(&way.remote).await
    };
    let reply = timer.within(Phase::StartTls, timer.deadlines.greeting, asking).await?;
    expect(Phase::StartTls, reply, Class::Positive)?;
    encrypt(wire.into_quiet_plain().ok_or(RouteFault::Injected)?, way, timer).await
}

async fn hello(wire: &mut Wire, way: &Way, timer: &Timer) -> Result<EhloResponse<String>, RouteFault> {
    let mut client = SmtpClient { stream: wire, timeout: timer.left(timer.deadlines.greeting) };
    client.ehlo(&way.hostname).await.map_err(|error| fault(Phase::Ehlo, error, way))
}

/// AUTH PLAIN, or else LOGIN. The connection is encrypted, or does not leave the machine.
async fn sign_in(
    wire: &mut Wire,
    credentials: &Credentials,
    offered: u64,
    way: &Way,
    timer: &Timer,
) -> Result<(), RouteFault> {
    let Credentials { user, password } = credentials;
    let credentials = mail_send::Credentials::new(user.as_str(), password.expose_secret());
    // It tries what is offered from the highest bit down, even what it was built without. PLAIN's is above LOGIN's.
    let offered =
        EhloResponse { auth_mechanisms: offered & (AUTH_PLAIN | AUTH_LOGIN), ..EhloResponse::default() };
    let mut client = SmtpClient { stream: wire, timeout: timer.left(timer.deadlines.greeting) };
    client.authenticate(&credentials, &offered).await.map_err(|error| fault(Phase::Auth, error, way))?;
    Ok(())
}

/// What mail-send found.
fn fault(phase: Phase, error: mail_send::Error, way: &Way) -> RouteFault {
    use mail_send::Error;
    match error {
        Error::UnexpectedReply(response) | Error::AuthenticationFailed(response) => {
            RouteFault::Refused { phase, reply: Reply::read_by_library(&response, &way.remote) }
        }
        Error::Timeout => RouteFault::TimedOut(phase),
        Error::UnsupportedAuthMechanism => RouteFault::NoAuth,
        Error::Io(source) => RouteFault::Broken { phase, source },
        _ => RouteFault::Broken { phase, source: garbled() },
    }
}
