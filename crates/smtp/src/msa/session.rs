//! One client, from its greeting to its end; and what may follow what (RFC 5321 §4.1.4, RFC 6409 §4.3).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use kernel::RequestId;
use socket::listen::Mode;
use socket::login::{FailedLogins, ShuttingDown};
use submission::Addressee;
use tenancy::{MailLogin, Origin};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::data::Rooms;
use super::turns::Turns;
use super::{Msa, auth, data, hello, mail, rcpt, starttls};
use crate::codec::command::{self, Command, Dialect};
use crate::codec::envelope::Mail;
use crate::codec::line::Frame;
use crate::reply::Reply;
use crate::wire::{Interruption, Wire};

/// One client's session.
pub(crate) struct Session {
    pub(super) service: Arc<Msa>,
    pub(super) wire: Wire,
    pub(super) rooms: Arc<Rooms>,
    pub(super) turns: Turns,
    pub(super) peer: IpAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) request_id: RequestId,
    /// Whether it has said who it is.
    pub(super) is_greeted: bool,
    pub(super) login: Option<Login>,
    pub(super) failed_logins: FailedLogins,
    /// How many recipients nobody is.
    pub(super) unknown: u32,
    pub(super) transaction: Option<Transaction>,
    login_by: Instant,
    faults: u32,
}

/// Who has signed in.
pub(super) struct Login {
    pub(super) login: MailLogin,
    /// When it was last sure that they may send.
    pub(super) sure_at: Instant,
}

/// A message on its way, from MAIL on.
pub(super) struct Transaction {
    /// Under which it is logged and traced.
    pub(super) id: RequestId,
    pub(super) mail: Mail,
    pub(super) recipients: Vec<Addressee>,
}

/// How a session ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said goodbye, or was told why not to go on; the last reply is queued.
    Told(&'static str),
    /// It closed the connection.
    Disconnected,
    /// It took too long.
    TimedOut,
    /// The server shuts down.
    Shutdown,
    /// The connection broke.
    Io(io::Error),
    /// The handshake failed.
    Tls(io::Error),
}

impl End {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Told(reason) => reason,
            Self::Disconnected => "disconnected",
            Self::TimedOut => "timed_out",
            Self::Shutdown => "shutdown",
            Self::Io(_) => "io",
            Self::Tls(_) => "tls",
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::TimedOut } else { Self::Io(error) }
    }
}

impl From<ShuttingDown> for End {
    fn from(ShuttingDown: ShuttingDown) -> Self {
        Self::Shutdown
    }
}

impl From<Interruption> for End {
    fn from(interruption: Interruption) -> Self {
        match interruption {
            Interruption::Closed => Self::Disconnected,
            Interruption::Shutdown => Self::Shutdown,
            Interruption::Failed(error) => error.into(),
        }
    }
}

impl Session {
    pub(super) fn new(
        service: Arc<Msa>,
        stream: TcpStream,
        peer: IpAddr,
        (rooms, turns): (Arc<Rooms>, Turns),
        shutdown: CancellationToken,
    ) -> Self {
        let limits = &service.limits;
        Self {
            wire: Wire::new(stream, sasl::LINE_MAX_OCTETS, limits.command_timeout),
            login_by: Instant::now() + limits.login_timeout,
            request_id: service.auth.db().env().new_id(),
            service,
            rooms,
            turns,
            peer,
            shutdown,
            is_greeted: false,
            login: None,
            failed_logins: FailedLogins::default(),
            unknown: 0,
            transaction: None,
            faults: 0,
        }
    }

    /// Where its calls come from.
    pub(super) fn origin(&self) -> Origin {
        Origin { request_id: self.request_id, network: Some(self.peer) }
    }

    /// Plays the session to its end.
    pub(super) async fn run(mut self, mode: Mode) {
        let end = match self.play(mode).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let broken = match &end {
            End::Io(cause) | End::Tls(cause) => Some(cause.kind()),
            _ => None,
        };
        tracing::info!(
            session.end = end.as_str(),
            session.error = broken.map(tracing::field::debug),
            "submission session ended"
        );
        metrics::counter!("pillarbox_submission_sessions_ended_total", "reason" => end.as_str()).increment(1);
        let goodbye = match &end {
            End::Shutdown => Some(Reply::shutdown()),
            End::TimedOut => Some(Reply::timeout()),
            End::Told(_) => None,
            End::Disconnected | End::Io(_) | End::Tls(_) => return,
        };
        // The client may be gone already, and the session ends either way.
        if let Some(goodbye) = goodbye
            && self.wire.reply(&goodbye).await.is_err()
        {
            return;
        }
        self.wire.close().await;
    }

    async fn play(&mut self, mode: Mode) -> Result<std::convert::Infallible, End> {
        if mode == Mode::Implicit {
            starttls::handshake(self).await?;
        }
        self.reply(Reply::msa_greeting(self.service.submission.hostname())).await?;
        loop {
            let reply = match self.command().await? {
                Ok(Command::Starttls) => starttls::starttls(self).await?,
                Ok(command) => Some(self.execute(command).await?),
                Err(reply) => Some(reply),
            };
            if let Some(reply) = reply {
                self.reply(reply).await?;
            }
        }
    }

    /// Queues a reply; whoever makes too many mistakes is told so and has to go.
    async fn reply(&mut self, reply: Reply) -> Result<(), End> {
        self.wire.reply(&reply).await?;
        if reply.is_fault() {
            self.faults = self.faults.saturating_add(1);
            if self.faults > self.service.limits.faults {
                return self.end("too_many_faults", &Reply::too_many_faults()).await;
            }
        }
        Ok(())
    }

    /// Ends the session with a last reply.
    pub(super) async fn end<T>(&mut self, reason: &'static str, reply: &Reply) -> Result<T, End> {
        self.wire.reply(reply).await?;
        Err(End::Told(reason))
    }

    /// The next line. Who has not signed in has no longer than until the deadline.
    pub(super) async fn line(&mut self) -> Result<Frame, End> {
        let frame = self.wire.frame(&self.shutdown);
        match &self.login {
            Some(_) => Ok(frame.await?),
            None => Ok(timeout_at(self.login_by, frame).await.map_err(|_| End::TimedOut)??),
        }
    }

    async fn command(&mut self) -> Result<Result<Command, Reply>, End> {
        Ok(match self.line().await? {
            Frame::Line(line) => command::parse(&line, Dialect::Submission).map_err(Reply::from),
            Frame::TooLong => Err(Reply::line_too_long()),
            Frame::BareLineFeed => Err(Reply::bare_line_feed()),
        })
    }

    async fn execute(&mut self, command: Command) -> Result<Reply, End> {
        Ok(match command {
            // LMTP's, which is no line of this dialect.
            Command::Lhlo(_) | Command::Ehlo => hello::ehlo(self),
            Command::Helo => hello::helo(self),
            // It has no reply of its own.
            Command::Starttls => Reply::tls_already(),
            Command::Auth(auth) => auth::auth(self, auth).await?,
            Command::Mail(mail) => mail::mail(self, mail).await?,
            Command::Rcpt(rcpt) => rcpt::rcpt(self, rcpt).await?,
            Command::Data => data::data(self).await?,
            Command::Rset => {
                self.transaction = None;
                Reply::ok()
            }
            Command::Noop => Reply::ok(),
            // RFC 5321 §3.5.3: telling addresses to whoever asks serves harvesters only.
            Command::Vrfy => Reply::cannot_verify(),
            Command::Help => Reply::msa_help(),
            Command::Quit => return self.end("quit", &Reply::bye()).await,
        })
    }

    /// What was said before is forgotten, whoever said it (RFC 3207 §4.2).
    pub(super) fn start_over(&mut self) {
        if self.login.take().is_some() {
            self.login_by = Instant::now() + self.service.limits.login_timeout;
        }
        (self.is_greeted, self.transaction) = (false, None);
    }

    /// Mistakes are counted between two messages.
    pub(super) fn forgive(&mut self) {
        self.faults = 0;
    }
}
