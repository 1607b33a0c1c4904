//! One client's session: the states of RFC 1939 §3 and which command leads where.

mod authorization;
mod lease;
mod transaction;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use kernel::{MailboxId, RequestId};
use socket::end::Reason;
use socket::listen::Mode;
use socket::login::FailedLogins;
use socket::plaintext_allowed;
use socket::room::Room;
use tenancy::{MailLogin, Origin};
use tokio_util::sync::CancellationToken;

use crate::codec::command::{self, Command};
use crate::codec::line::{self, Frame, LINE_MAX_OCTETS};
use crate::codec::response::{Code, Status};
use crate::connection::Connection;
use crate::server::Pop3;
pub(crate) use transaction::Transaction;

/// Why a session ended.
pub(crate) type End = socket::end::End<Own>;

/// Reasons that POP3 alone has.
#[derive(Debug)]
pub(crate) enum Own {
    /// The client quit.
    Quit,
    /// The lease on the maildrop was lost.
    LeaseLost,
}

impl Reason for Own {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// Whether there is still someone to take what is queued, and a goodbye.
fn is_orderly(end: &End) -> bool {
    matches!(end, End::Own(_) | End::TooManyFailedLogins | End::LoginGone | End::Shutdown)
}

/// What a session has in all its states.
pub(crate) struct Session {
    pub(crate) service: Arc<Pop3>,
    pub(crate) connection: Connection,
    /// Room for messages being sent, shared with the listener's other sessions.
    pub(crate) room: Arc<Room<MailboxId>>,
    pub(crate) request_id: RequestId,
    pub(crate) shutdown: CancellationToken,
    /// The other end; decides whether it may log in without TLS.
    peer: IpAddr,
    /// What a USER command just before named.
    pub(crate) user: Option<String>,
    /// Who has signed in.
    pub(crate) login: Option<MailLogin>,
    pub(crate) failed_logins: FailedLogins,
    /// The command being answered, for metrics.
    command: &'static str,
}

impl Session {
    pub(crate) fn new(
        service: Arc<Pop3>,
        connection: Connection,
        peer: IpAddr,
        room: Arc<Room<MailboxId>>,
        shutdown: CancellationToken,
    ) -> Self {
        let request_id = service.auth.db().env().new_id();
        Self {
            service,
            connection,
            room,
            request_id,
            shutdown,
            peer,
            user: None,
            login: None,
            failed_logins: FailedLogins::default(),
            command: "none",
        }
    }

    /// Where its calls come from.
    pub(crate) fn origin(&self) -> Origin {
        Origin { request_id: self.request_id, network: Some(self.peer) }
    }

    /// Plays the session to its end.
    pub(crate) async fn run(mut self, mode: Mode) {
        let started = Instant::now();
        let end = self.play(mode).await;
        let sent_bytes = self.connection.sent_bytes();
        if matches!(end, End::Shutdown) {
            let goodbye = Status::coded(Code::SysTemp, "the server is shutting down, nothing was deleted");
            // The client may be gone already, and the session ends either way.
            let _ = self.connection.status(&goodbye).await;
        }
        end.report("pop3", started, sent_bytes);
        if is_orderly(&end)
            && let Err(end) = self.connection.close().await
        {
            tracing::debug!(session.end = end.as_str(), "pop3 goodbye not taken");
        }
    }

    async fn play(&mut self, mode: Mode) -> End {
        match self.authorization(mode).await {
            Ok(maildrop) => {
                self.connection.may_last();
                self.transaction(maildrop).await
            }
            Err(end) => end,
        }
    }

    /// Whether this connection may carry a password.
    pub(crate) fn login_allowed(&self) -> bool {
        plaintext_allowed(self.peer, self.connection.is_tls())
    }

    /// Queues a status line and counts it.
    pub(crate) async fn reply(&mut self, status: Status) -> Result<(), End> {
        let result = if status.is_positive() { "ok" } else { "err" };
        metrics::counter!("pillarbox_pop3_replies_total", "command" => self.command, "result" => result)
            .increment(1);
        self.connection.status(&status).await
    }

    /// The next line, unless the server shuts down first.
    pub(crate) async fn line(&mut self, max_octets: usize) -> Result<Frame, End> {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(End::Shutdown),
            line = self.connection.line(max_octets) => line,
        }
    }

    /// Plays the server's part of a TLS handshake, unless the server shuts down first.
    pub(crate) async fn upgrade(&mut self) -> Result<(), End> {
        tokio::select! {
            () = self.shutdown.cancelled() => Err(End::Shutdown),
            upgraded = self.connection.upgrade(self.service.tls.clone()) => upgraded,
        }
    }

    /// The next command. Lines that are no command are answered here, and the session goes on. Cancel-safe.
    async fn command(&mut self) -> Result<Command, End> {
        loop {
            let status = match self.line(sasl::LINE_MAX_OCTETS).await? {
                Frame::Line(line) if line::is_fitting(&line) => match command::parse(&line) {
                    Ok(command) => {
                        self.command = command.keyword();
                        return Ok(command);
                    }
                    Err(error) => Status::err(error),
                },
                Frame::Line(_) | Frame::TooLong => {
                    Status::err(format_args!("line too long: a command has at most {LINE_MAX_OCTETS} octets"))
                }
            };
            self.command = "invalid";
            self.user = None;
            self.reply(status).await?;
        }
    }

    fn observe_duration(&self, started: Instant) {
        metrics::histogram!("pillarbox_pop3_command_duration_seconds", "command" => self.command)
            .record(started.elapsed());
    }
}
