//! One client's session: the states of RFC 9051 §3, and which command belongs to which.

mod command;
mod updates;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::RequestId;
use mailstore::MailStore;
use mailstore::message::Flags;
use socket::end::Reason;
use socket::listen::Mode;
use socket::login::FailedLogins;
use socket::plaintext_allowed;
use tenancy::delegate::Right;
use tenancy::policy::Capability;
use tenancy::{MailLogin, Origin};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::capability;
use crate::codec::command::{Command, Tagged};
use crate::connection::Connection;
use crate::enabled::Enabled;
use crate::op;
use crate::room::{Room, Taken};
use crate::selected::Selected;
use crate::server::Imap;
use crate::status::{self, Status};
use crate::uids::Lists;

/// Why a session ended.
pub(crate) type End = socket::end::End<Own>;

/// Reasons that IMAP alone has.
#[derive(Debug)]
pub(crate) enum Own {
    /// The client logged out.
    Logout,
    /// Too many commands were none.
    Nonsense,
    /// The folder that was open is not there any more.
    FolderGone,
}

impl Reason for Own {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Nonsense => "nonsense",
            Self::FolderGone => "folder_gone",
        }
    }
}

/// What the client is told before the connection is closed (RFC 9051 §7.1.5), if there is still someone to tell.
fn bye(end: &End) -> Option<&'static str> {
    match end {
        End::Own(Own::Nonsense) => Some("BYE too many commands that are none"),
        End::TooManyFailedLogins => Some("BYE too many failed logins"),
        End::Idle => Some("BYE no command came in time"),
        End::Own(Own::FolderGone) => Some("BYE the folder is not there any more"),
        End::LoginGone => Some("BYE [EXPIRED] the login is not good any more"),
        End::Shutdown => Some("BYE [UNAVAILABLE] the server is shutting down"),
        End::Own(Own::Logout) | End::Disconnected | End::Stalled | End::Io(_) | End::Tls(_) => None,
    }
}

/// Why a command did not come to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The session is over.
    End(End),
    /// It is answered so.
    Refused(Status),
    /// It was answered already, well.
    Answered,
    /// The mail store did not do it.
    Store(mailstore::Error),
}

impl Trouble {
    /// Whether the command was none.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Refused(status) if status.is_bad())
    }
}

impl From<End> for Trouble {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl From<mailstore::Error> for Trouble {
    fn from(error: mailstore::Error) -> Self {
        Self::Store(error)
    }
}

impl From<tenancy::Error> for Trouble {
    fn from(error: tenancy::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How a command is answered.
pub(crate) type Answer = Result<Status, Trouble>;

/// What a session has in all its states.
pub(crate) struct Session {
    pub(crate) service: Arc<Imap>,
    pub(crate) connection: Connection,
    pub(crate) request_id: RequestId,
    pub(crate) shutdown: CancellationToken,
    /// Room for messages, shared with the listener's other sessions.
    room: Arc<Room>,
    /// The UIDs of folders that are open, shared with them as well.
    lists: Arc<Lists>,
    /// Held while the connection is compressed.
    compressor: Option<OwnedSemaphorePermit>,
    /// The other end; decides whether it may log in without TLS.
    peer: IpAddr,
    login: Option<MailLogin>,
    /// When the login was found to be good.
    checked: Instant,
    pub(crate) selected: Option<Selected>,
    pub(crate) enabled: Enabled,
    pub(crate) failed_logins: FailedLogins,
}

impl Session {
    pub(crate) fn new(
        service: Arc<Imap>,
        connection: Connection,
        peer: IpAddr,
        room: Arc<Room>,
        lists: Arc<Lists>,
        shutdown: CancellationToken,
    ) -> Self {
        let request_id = service.auth.db().env().new_id();
        Self {
            service,
            connection,
            request_id,
            shutdown,
            room,
            lists,
            compressor: None,
            peer,
            login: None,
            checked: Instant::now(),
            selected: None,
            enabled: Enabled::default(),
            failed_logins: FailedLogins::default(),
        }
    }

    /// Where its calls come from.
    pub(crate) fn origin(&self) -> Origin {
        Origin { request_id: self.request_id, network: Some(self.peer) }
    }

    /// Plays the session to its end.
    pub(crate) async fn run(mut self: Box<Self>, mode: Mode) {
        let started = Instant::now();
        let end = match self.play(mode).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some(bye) = bye(&end) {
            self.connection.untagged(bye);
        }
        end.report("imap", started, self.connection.sent_bytes());
        let is_orderly = bye(&end).is_some() || matches!(end, End::Own(Own::Logout));
        if is_orderly && let Err(end) = self.connection.close().await {
            tracing::debug!(session.end = end.as_str(), "imap goodbye not taken");
        }
    }

    /// Greets, and answers commands.
    async fn play(&mut self, mode: Mode) -> Result<std::convert::Infallible, End> {
        if matches!(mode, Mode::Implicit) {
            self.upgrade().await?;
        }
        let greeting = format!("OK [CAPABILITY {}] {} ready", capability::of(self), self.service.hostname);
        self.connection.untagged(&greeting);
        loop {
            // What its literals take is theirs until it is answered.
            let (tagged, _held) = self.command().await?;
            // Others have their turn too, however many commands have come at once.
            tokio::task::consume_budget().await;
            let (name, started) = (tagged.command.name(), Instant::now());
            let status = self.answer(tagged).await?;
            metrics::counter!("pillarbox_imap_replies_total", "command" => name, "result" => status)
                .increment(1);
            metrics::histogram!("pillarbox_imap_command_duration_seconds", "command" => name)
                .record(started.elapsed());
            if self.failed_logins.are(self.service.limits.max_failed_logins) {
                return Err(End::TooManyFailedLogins);
            }
        }
    }

    /// Answers a command, after what else there is to tell.
    async fn answer(&mut self, tagged: Tagged) -> Result<&'static str, End> {
        let Tagged { tag, command } = tagged;
        let may_expunge = allows_expunge(&command);
        let names_modseq = self.enabled.qresync && removes(&command);
        let answer = self.carry_out(&tag, command).await;
        let told = match answer {
            Err(Trouble::End(_) | Trouble::Answered) => Ok(()),
            _ => self.tell_or_wait(may_expunge).await,
        };
        let status = match answer {
            Ok(status) if names_modseq => self.with_modseq(status),
            Ok(status) => status,
            Err(Trouble::End(end)) => return Err(end),
            Err(Trouble::Answered) => return Ok("OK"),
            Err(Trouble::Refused(status)) => status,
            Err(Trouble::Store(error)) => status::failed(&error, self.request_id),
        };
        self.connection.tagged(&tag, &status).await?;
        // Only now: what was done is answered, or the client would do it again.
        told?;
        Ok(status.as_str())
    }

    async fn carry_out(&mut self, tag: &str, command: Command) -> Answer {
        if !matches!(command, Command::Capability | Command::Logout | Command::Id) {
            self.check_login().await?;
        }
        if let Some(selected) = &mut self.selected
            && !matches!(command, Command::Fetch(_))
        {
            selected.ahead.clear();
            selected.piecemeal.clear();
        }
        // What a command needs is there while it runs and no longer: most sessions wait, in IDLE or between commands.
        match command {
            Command::Capability => Ok(op::capability(self)),
            Command::Noop => Ok(Status::ok("done")),
            Command::Check => op::check(self),
            Command::Logout => Box::pin(op::logout(self, tag)).await,
            Command::Id => Ok(op::id(self)),
            Command::StartTls => Box::pin(op::starttls::run(self, tag)).await,
            Command::Authenticate { mechanism, initial } => {
                Box::pin(op::authenticate::run(self, &mechanism, initial.as_ref())).await
            }
            Command::Login { username, password } => {
                Box::pin(op::login::run(self, &username, password)).await
            }
            Command::Enable(names) => op::enable::run(self, &names),
            Command::Select { mailbox, is_read_only, parameters } => {
                Box::pin(op::select::run(self, &mailbox, is_read_only, &parameters)).await
            }
            Command::Create { mailbox, uses } => Box::pin(op::create::run(self, &mailbox, &uses)).await,
            Command::Delete(mailbox) => Box::pin(op::delete::run(self, &mailbox)).await,
            Command::Rename { from, to } => Box::pin(op::rename::run(self, &from, &to)).await,
            Command::Subscribe { mailbox, is_subscribed } => {
                Box::pin(op::subscribe::run(self, &mailbox, is_subscribed)).await
            }
            Command::List(list) => Box::pin(op::list::run(self, &list)).await,
            Command::Lsub { reference, pattern } => {
                Box::pin(op::list::lsub(self, &reference, &pattern)).await
            }
            Command::Namespace => op::namespace(self),
            Command::Status { mailbox, items } => Box::pin(op::status::run(self, &mailbox, &items)).await,
            Command::Append { mailbox, messages } => {
                Box::pin(op::append::run(self, &mailbox, messages)).await
            }
            Command::Compress { mechanism } => Box::pin(op::compress::run(self, tag, &mechanism)).await,
            Command::Idle => Box::pin(op::idle::run(self)).await,
            Command::Close => Box::pin(op::close::run(self, true)).await,
            Command::Unselect => Box::pin(op::close::run(self, false)).await,
            Command::Expunge(set) => Box::pin(op::expunge::run(self, set.as_ref())).await,
            Command::Search(search) => Box::pin(op::search::run(self, tag, search)).await,
            Command::Sort(sort) => Box::pin(op::sort::run(self, tag, &sort)).await,
            Command::Thread(thread) => Box::pin(op::thread::run(self, &thread)).await,
            Command::Fetch(fetch) => Box::pin(op::fetch::run(self, &fetch)).await,
            Command::Store(store) => Box::pin(op::store::run(self, &store)).await,
            Command::Copy { by_uid, set, mailbox, is_move } => {
                Box::pin(op::copy::run(self, by_uid, &set, &mailbox, is_move)).await
            }
            Command::MyRights(mailbox) => Box::pin(op::acl::mine(self, &mailbox)).await,
            Command::GetAcl(mailbox)
            | Command::SetAcl(mailbox)
            | Command::DeleteAcl(mailbox)
            | Command::ListRights(mailbox) => Box::pin(op::acl::administer(self, &mailbox)).await,
            Command::GetQuota(root) => Box::pin(op::quota::get(self, &root)).await,
            Command::GetQuotaRoot(mailbox) => Box::pin(op::quota::root(self, &mailbox)).await,
        }
    }

    /// Asks now and then whether the session's user may still have it, and what they may do in others' mailboxes: who was suspended, or changed their
    /// password, has it no more.
    pub(crate) async fn check_login(&mut self) -> Result<(), Trouble> {
        if self.checked.elapsed() < self.service.limits.recheck {
            return Ok(());
        }
        self.renew_login().await
    }

    async fn renew_login(&mut self) -> Result<(), Trouble> {
        let Some(login) = &self.login else { return Ok(()) };
        let renewed = Box::pin(self.service.auth.renewed(Capability::Imap, login, self.origin())).await?;
        let login = self.login.insert(renewed.ok_or(End::LoginGone)?);
        self.checked = Instant::now();
        let Some(selected) = &mut self.selected else { return Ok(()) };
        match login.right_to(selected.mailbox_id) {
            Some(Right::FullAccess) => {}
            Some(Right::Read) if selected.is_read_only => {}
            Some(Right::Read) => {
                // RFC 9051 §7.1: it can be opened for more again, once that is allowed.
                selected.is_read_only = true;
                self.connection.untagged("OK [READ-ONLY] the folder can be read only from now on");
                self.connection.untagged("OK [PERMANENTFLAGS ()] flags that are kept");
            }
            Some(Right::SendAs | Right::SendOnBehalf) | None => {
                return Err(End::Own(Own::FolderGone).into());
            }
        }
        Ok(())
    }

    /// The login, with what its user may do in others' mailboxes at this very moment.
    pub(crate) async fn present_login(&mut self) -> Result<MailLogin, Trouble> {
        self.renew_login().await?;
        Ok(self.login()?)
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        self.login.is_some()
    }

    /// Whose mailbox it is.
    pub(crate) fn login(&self) -> Result<MailLogin, Status> {
        self.login.clone().ok_or_else(|| Status::bad("log in first"))
    }

    pub(crate) fn log_in(&mut self, login: MailLogin) {
        (self.login, self.checked) = (Some(login), Instant::now());
        self.connection.may_last();
    }

    /// The folder that is open.
    pub(crate) fn selected(&self) -> Result<&Selected, Status> {
        self.selected.as_ref().ok_or_else(|| Status::bad("open a folder first"))
    }

    /// The login by which to change the folder that is open. In another's mailbox, its user is asked for the right to that each time: one that was
    /// taken away is none.
    pub(crate) async fn login_to_change(&mut self) -> Result<MailLogin, Trouble> {
        let (mut login, selected) = (self.login()?, self.selected()?);
        let (mailbox_id, is_read_only) = (selected.mailbox_id, selected.is_read_only);
        if !is_read_only && mailbox_id != login.mailbox_id {
            login = self.present_login().await?;
        }
        match login.right_to(mailbox_id) {
            Some(Right::FullAccess) if !is_read_only => Ok(login),
            Some(Right::FullAccess) => {
                Err(Status::no("the folder was opened to be read only").with("CANNOT").into())
            }
            Some(Right::Read | Right::SendAs | Right::SendOnBehalf) | None => {
                Err(status::not_permitted().into())
            }
        }
    }

    /// As [`Self::login_to_change`], for what a command does beside what it is for; `None` where the folder cannot be changed.
    pub(crate) async fn if_changeable(&mut self) -> Result<Option<MailLogin>, Trouble> {
        match self.login_to_change().await {
            Ok(login) => Ok(Some(login)),
            Err(Trouble::Refused(status)) if !status.is_bad() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Tells what has changed. What cannot be told now is told later, and undoes nothing of what was done.
    pub(crate) async fn tell_or_wait(&mut self, may_expunge: bool) -> Result<(), End> {
        match Box::pin(self.tell(may_expunge)).await {
            Err(Trouble::End(end)) => Err(end),
            Err(Trouble::Store(error)) => {
                tracing::warn!(error = kernel::error::chain(&error), "imap client not told of changes yet");
                Ok(())
            }
            Ok(()) | Err(Trouble::Refused(_) | Trouble::Answered) => Ok(()),
        }
    }

    /// Tells the flags that there are, where a message has one that the client was not told of.
    pub(crate) fn introduce(&mut self, flags: &Flags) {
        if let Some(selected) = &mut self.selected
            && selected.learn(flags)
        {
            let line = selected.flags_line();
            self.connection.untagged(&line);
        }
    }

    /// A status with the modification sequence up to which the client knows the folder, if it knows all (RFC 7162 §3.2.9).
    fn with_modseq(&self, status: Status) -> Status {
        match self.selected.as_ref().and_then(Selected::known_modseq) {
            Some(modseq) => status.with(format!("HIGHESTMODSEQ {modseq}")),
            None => status,
        }
    }

    /// Notes that the folder that is open may have changed.
    pub(crate) fn note_change(&mut self) {
        if let Some(selected) = &mut self.selected {
            selected.is_stale = true;
        }
    }

    pub(crate) fn store(&self) -> MailStore {
        self.service.store.clone()
    }

    pub(crate) fn lists(&self) -> Arc<Lists> {
        self.lists.clone()
    }

    /// Whether this connection may carry a password.
    pub(crate) fn login_allowed(&self) -> bool {
        plaintext_allowed(self.peer, self.connection.is_tls())
    }

    /// Plays the server's part of a TLS handshake, unless the server shuts down first.
    pub(crate) async fn upgrade(&mut self) -> Result<(), End> {
        tokio::select! {
            () = self.shutdown.cancelled() => Err(End::Shutdown),
            upgraded = self.connection.upgrade(self.service.tls.clone()) => upgraded,
        }
    }

    /// Whether the connection may be compressed from now on.
    pub(crate) fn take_compressor(&mut self) -> bool {
        self.compressor = self.room.compressor();
        self.compressor.is_some()
    }

    /// Room for so many bytes of messages, as long as it is held.
    pub(crate) async fn room_for(&self, bytes: u64) -> Result<Taken, Status> {
        self.room.take(self.login()?.mailbox_id, bytes, self.service.limits.body_wait).await
    }

    /// As [`Self::room_for`], for whoever holds some already: they do not wait, or two could wait for each other.
    pub(crate) async fn room_for_more(&self, bytes: u64) -> Result<Taken, Status> {
        self.room.take(self.login()?.mailbox_id, bytes, Duration::ZERO).await
    }
}

/// Whether a command takes messages out of the folder that is open, and tells that.
fn removes(command: &Command) -> bool {
    matches!(command, Command::Expunge(_) | Command::Copy { is_move: true, .. })
}

/// RFC 9051 §7.5.1: not while message numbers are under way. What a UID command is told by number, its client takes by UID.
fn allows_expunge(command: &Command) -> bool {
    match command {
        Command::Fetch(fetch) => fetch.by_uid,
        Command::Store(store) => store.by_uid,
        Command::Search(search) => search.by_uid,
        Command::Sort(sort) => sort.by_uid,
        Command::Thread(thread) => thread.by_uid,
        _ => true,
    }
}
