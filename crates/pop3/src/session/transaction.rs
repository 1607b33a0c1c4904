//! The TRANSACTION state (RFC 1939 §5) on a snapshot of the maildrop, and the way out of it.

use std::time::Instant;

use mailstore::maildrop::Maildrop;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::{End, Own, Session, lease};
use crate::codec::command::Command;
use crate::codec::response::{Code, Status};
use crate::marks::Marks;
use crate::op;
use crate::op::retr::Ahead;

/// A session with an open maildrop.
pub(crate) struct Transaction<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) maildrop: &'a Maildrop,
    pub(crate) marks: &'a mut Marks,
    /// The next message, for a client that asks for one after the other.
    pub(crate) ahead: Ahead,
}

impl Session {
    /// Answers commands until the client quits or is lost. Only QUIT deletes what was marked (RFC 1939 §6).
    pub(super) async fn transaction(&mut self, maildrop: Maildrop) -> End {
        // Without a login no maildrop is opened.
        let Some(login) = self.login.clone() else { return End::LoginGone };
        let holder = lease::Holder { auth: self.service.auth.clone(), login, origin: self.origin() };
        let mut marks = Marks::new(maildrop.entries().iter().map(|entry| entry.wire_size_bytes).collect());
        let lease_lost = CancellationToken::new();
        let renewal = self.service.limits.lease_renewal;
        let ahead = Ahead::default();
        let transaction = Transaction { session: self, maildrop: &maildrop, marks: &mut marks, ahead };
        let commands = transaction.run(&lease_lost);
        let end = tokio::select! {
            end = commands => end,
            end = lease::keep(&maildrop, &holder, renewal, &lease_lost) => end,
        };
        match end {
            End::Own(Own::Quit) if !holder.may_go_on().await => {
                op::quit::release(maildrop).await;
                let gone = Status::coded(Code::Auth, "the login is not good any more, nothing was deleted");
                self.reply(gone).await.err().unwrap_or(End::LoginGone)
            }
            End::Own(Own::Quit) => op::quit::update(self, maildrop, &marks.deleted()).await,
            end => {
                op::quit::release(maildrop).await;
                end
            }
        }
    }
}

impl Transaction<'_> {
    async fn run(mut self, lease_lost: &CancellationToken) -> End {
        loop {
            let command = match self.command().await {
                Ok(command) => command,
                Err(end) => return end,
            };
            // QUIT is answered by the update, which checks the lease in the transaction that deletes.
            if lease_lost.is_cancelled() && !matches!(command, Command::Quit) {
                let status =
                    Status::coded(Code::SysTemp, "the maildrop's lock was lost, nothing was deleted");
                return self.session.reply(status).await.err().unwrap_or(End::Own(Own::LeaseLost));
            }
            let started = Instant::now();
            let answered = self.answer(command).await;
            self.session.observe_duration(started);
            if let Err(end) = answered {
                return end;
            }
        }
    }

    /// The next command. A session that waits for it keeps no message.
    async fn command(&mut self) -> Result<Command, End> {
        let since = Instant::now();
        let in_time = match self.ahead.waits_until() {
            Some(until) => timeout_at(until, self.session.command()).await.ok(),
            None => None,
        };
        let command = match in_time {
            Some(command) => command,
            None => {
                self.ahead.let_go();
                self.session.command().await
            }
        };
        self.ahead.note_pause(since.elapsed());
        command
    }

    async fn answer(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Capa => op::capa::transaction(self.session).await,
            Command::Stat => op::stat::run(self).await,
            Command::List(message) => op::list::run(self, message).await,
            Command::Uidl(message) => op::uidl::run(self, message).await,
            Command::Retr(message) => op::retr::run(self, message).await,
            Command::Top { message, lines } => op::top::run(self, message, lines).await,
            Command::Dele(message) => op::dele::run(self, message).await,
            Command::Noop => self.session.reply(Status::ok("nothing done")).await,
            Command::Rset => op::rset::run(self).await,
            Command::Quit => Err(End::Own(Own::Quit)),
            Command::User(_) | Command::Pass(_) | Command::Auth(_) | Command::Stls => {
                self.session.reply(Status::err("already logged in")).await
            }
        }
    }
}
