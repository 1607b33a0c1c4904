//! The next command: literals let in or not, and lines that are no command answered.

use crate::codec;
use crate::codec::command::Tagged;
use crate::codec::frame::{Announced, Event};
use crate::session::{End, Session};
use crate::status::Status;

/// How long the literals of a command are together that puts no message anywhere.
const MAX_LITERAL_BYTES: u64 = 64 << 10;
/// How long they are before a login: a name and a password.
const MAX_LOGIN_LITERAL_BYTES: u64 = 4 << 10;
/// How many lines in a row may be no command before the session ends: it is something else that is talking.
const MAX_NONSENSE: u32 = 20;

impl Session {
    /// The next command, unless the server shuts down first.
    pub(super) async fn command(&mut self) -> Result<Tagged, End> {
        let mut nonsense = 0;
        // What the literals of a command take, as long as it is being read; the message itself is counted by whoever stores it.
        let mut room = None;
        loop {
            let patience = self.patience();
            let event = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(End::Shutdown),
                event = self.connection.event(patience) => event?,
            };
            let (tag, status) = match event {
                Event::Literal(announced) => match self.may_come(&announced).await {
                    Ok(permit) => {
                        room = permit.or(room);
                        self.connection.framer().accept();
                        if announced.is_sync {
                            self.connection.go_on("go on");
                        }
                        continue;
                    }
                    Err(status) => {
                        self.connection.framer().refuse();
                        (announced.tag, status)
                    }
                },
                Event::TooLong { tag } => (tag, Status::bad("the command is too long").with("TOOBIG")),
                Event::Command(input) => match codec::parse(input, false) {
                    Ok(tagged) => return Ok(tagged),
                    Err(error) => (error.tag.clone(), Status::bad(error.to_string())),
                },
            };
            metrics::counter!("pillarbox_imap_replies_total", "command" => "invalid", "result" => status.as_str())
                .increment(1);
            self.connection.tagged(tag.as_deref().unwrap_or("*"), &status).await?;
            room = None;
            nonsense += 1;
            if nonsense >= MAX_NONSENSE {
                return Err(End::Idle);
            }
        }
    }

    /// Whether a literal may come, and the room that it takes.
    async fn may_come(
        &self,
        announced: &Announced,
    ) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, Status> {
        let all = announced.bytes.saturating_add(announced.before as u64);
        let (is_append, is_known) = (announced.command == "APPEND", self.is_logged_in());
        let limit = match (is_known, is_append) {
            (true, true) => mailstore::MAX_MESSAGE_BYTES,
            (true, false) => MAX_LITERAL_BYTES,
            (false, _) => MAX_LOGIN_LITERAL_BYTES,
        };
        if all > limit {
            return Err(Status::no(format!("a literal has at most {limit} octets here")).with("TOOBIG"));
        }
        if all <= MAX_LITERAL_BYTES {
            return Ok(None);
        }
        Ok(Some(self.room_for(all).await?))
    }
}
