//! The next command: literals let in or not, and lines that are no command answered.

use crate::codec;
use crate::codec::command::Tagged;
use crate::codec::frame::{Announced, Event};
use crate::room::Taken;
use crate::session::{End, Own, Session};
use crate::status::Status;

/// How long the literals of a command are together that puts no message anywhere.
const MAX_LITERAL_BYTES: u64 = 64 << 10;
/// How long they are before a login: a name and a password.
const MAX_LOGIN_LITERAL_BYTES: u64 = 4 << 10;
/// How many lines in a row may be no command before the session ends: it is something else that is talking.
const MAX_NONSENSE: u32 = 20;

/// The room that a command's literals take.
#[derive(Debug, Default)]
pub(super) struct Held {
    taken: Vec<Taken>,
    bytes: u64,
}

impl Session {
    /// The next command, and the room that its literals take; unless the server shuts down first.
    pub(super) async fn command(&mut self) -> Result<(Tagged, Held), End> {
        let mut nonsense = 0;
        let mut held = Held::default();
        loop {
            let shutdown = self.shutdown.clone();
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(End::Shutdown),
                event = self.event() => event?,
            };
            let (tag, status) = match event {
                Event::Literal(announced) => match Box::pin(self.may_come(&announced, &mut held)).await {
                    Ok(()) => {
                        self.connection.accept();
                        if announced.is_sync {
                            self.connection.go_on("go on");
                        }
                        continue;
                    }
                    Err(status) => {
                        self.connection.refuse();
                        (announced.tag, status)
                    }
                },
                Event::TooLong { tag } => (tag, Status::bad("the command is too long").with("TOOBIG")),
                Event::Command(input) => match codec::parse(input, self.enabled.is_utf8()) {
                    Ok(tagged) => return Ok((tagged, held)),
                    Err(error) => {
                        nonsense += 1;
                        (error.tag.clone(), Status::bad(error.to_string()))
                    }
                },
            };
            metrics::counter!("pillarbox_imap_replies_total", "command" => "invalid", "result" => status.as_str())
                .increment(1);
            self.connection.tagged(tag.as_deref().unwrap_or("*"), &status).await?;
            held = Held::default();
            if nonsense >= MAX_NONSENSE {
                return Err(End::Own(Own::Nonsense));
            }
        }
    }

    /// What comes next of a command. Neither rows that were looked up for it wait for it for long, nor does a text for its next piece.
    async fn event(&mut self) -> Result<Event, End> {
        let patience = self.service.limits.command_timeout;
        if let Some(selected) = &mut self.selected {
            if let Some(event) = selected.ahead.wait(self.connection.event(patience)).await {
                return event;
            }
            if let Some(event) = selected.piecemeal.wait(self.connection.event(patience)).await {
                return event;
            }
        }
        self.connection.event(patience).await
    }

    /// Whether a literal may come; the room that it takes is there then.
    async fn may_come(&mut self, announced: &Announced, held: &mut Held) -> Result<(), Status> {
        // Who waits for room holds none.
        if let Some(selected) = &mut self.selected {
            selected.ahead.clear();
            selected.piecemeal.clear();
        }
        let all = announced.bytes.saturating_add(announced.before as u64);
        let (is_append, is_known) = (announced.command == "APPEND", self.is_logged_in());
        let limit = match (is_known, is_append) {
            (true, true) => mailstore::MAX_MESSAGE_BYTES,
            (true, false) => MAX_LITERAL_BYTES,
            (false, _) => MAX_LOGIN_LITERAL_BYTES,
        };
        if all > limit {
            let text = format!("the literals of a command have at most {limit} octets together here");
            // Alone it could come: a client is not to take it for one that never can.
            let code = if announced.bytes > limit { "TOOBIG" } else { "LIMIT" };
            return Err(Status::no(text).with(code));
        }
        if all > MAX_LITERAL_BYTES {
            let more = all - held.bytes;
            held.taken.push(match held.taken.is_empty() {
                true => self.room_for(more).await?,
                false => self.room_for_more(more).await?,
            });
            held.bytes = all;
        }
        Ok(())
    }
}
