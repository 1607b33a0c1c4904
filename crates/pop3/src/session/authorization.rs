//! The AUTHORIZATION state (RFC 1939 §4): until a login opens a maildrop.

use std::time::Instant;

use mailstore::maildrop::Maildrop;
use socket::listen::Mode;

use super::{End, Own, Session};
use crate::codec::command::Command;
use crate::codec::response::Status;
use crate::op;

impl Session {
    /// Greets, and answers commands until a login succeeds.
    pub(super) async fn authorization(&mut self, mode: Mode) -> Result<Maildrop, End> {
        if matches!(mode, Mode::Implicit) {
            self.upgrade().await?;
        }
        // No timestamp in angle brackets: that would offer APOP (RFC 1939 §7).
        let greeting = Status::ok(format_args!("{} Pillarbox POP3 server ready", self.service.hostname));
        self.reply(greeting).await?;
        loop {
            let command = self.command().await?;
            let started = Instant::now();
            let opened = self.authorize(command).await;
            self.observe_duration(started);
            if let Some(maildrop) = opened? {
                return Ok(maildrop);
            }
        }
    }

    async fn authorize(&mut self, command: Command) -> Result<Option<Maildrop>, End> {
        // PASS is to follow a successful USER at once (RFC 1939 §7); whatever else comes makes it start over.
        let user = self.user.take();
        match command {
            Command::Capa => op::capa::authorization(self).await?,
            Command::User(name) => op::user::run(self, name).await?,
            Command::Pass(password) => return op::pass::run(self, user, password).await,
            Command::Auth(None) => op::auth::list(self).await?,
            Command::Auth(Some(auth)) => return op::auth::run(self, auth).await,
            Command::Stls => op::stls::run(self).await?,
            Command::Quit => {
                self.reply(Status::ok("goodbye")).await?;
                return Err(End::Own(Own::Quit));
            }
            Command::Stat
            | Command::List(_)
            | Command::Uidl(_)
            | Command::Retr(_)
            | Command::Top { .. }
            | Command::Dele(_)
            | Command::Noop
            | Command::Rset => self.reply(Status::err("log in first")).await?,
        }
        Ok(None)
    }
}
