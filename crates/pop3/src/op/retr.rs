//! RETR (RFC 1939 §5): a whole message.

use std::time::Duration;

use bytes::Bytes;
use mailstore::maildrop::Maildrop;
use socket::room::{NoRoom, Taken};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::codec::response::{Code, Status};
use crate::reply;
use crate::session::{End, Session, Transaction};

/// The largest message that is read before it is asked for.
const AHEAD_BYTES: u64 = 1 << 20;

/// How long a message that was read ahead waits to be asked for.
const WAITS_FOR: Duration = Duration::from_millis(100);

/// A message in memory, and the room that it takes there until it is sent.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _room: Taken,
}

pub(crate) async fn run(transaction: &mut Transaction<'_>, message: u64) -> Result<(), End> {
    let body = match fetch(transaction, message).await {
        Ok(body) => body,
        Err(status) => return transaction.session.reply(status).await,
    };
    let session = &mut transaction.session;
    session.reply(Status::ok(format!("{} octets", body.bytes.len()))).await?;
    session.connection.message(&body.bytes).await
}

/// Reads a message, once there is room for it among those being sent, and begins to read the next one; or says why not.
pub(crate) async fn fetch(transaction: &mut Transaction<'_>, message: u64) -> Result<Body, Status> {
    let Transaction { session, maildrop, marks, ahead } = transaction;
    let index = marks.index(message).map_err(Status::err)?;
    let (room, bytes) = match ahead.take(index) {
        Some(Reading { room, bytes, .. }) => {
            ahead.begin(session, maildrop, index + 1).await;
            let read = bytes.await.ok().and_then(Result::ok);
            let bytes = match read {
                Some(bytes) => Ok(bytes),
                // What failed a while ago may be there now.
                None => maildrop.body(index).await,
            };
            (room, bytes)
        }
        None => {
            // Who waits for room holds none.
            let patience = session.service.limits.body_wait;
            let room = room_for(session, maildrop, index, patience).await.map_err(|NoRoom| {
                Status::coded(Code::SysTemp, "too much mail is being sent just now, try again")
            })?;
            let bytes = maildrop.body(index).await;
            ahead.begin(session, maildrop, index + 1).await;
            (room, bytes)
        }
    };
    let bytes = bytes.map_err(|error| reply::maildrop_failed(&error, session.request_id))?;
    Ok(Body { bytes, _room: room })
}

/// Room for a message, which waits for it for so long at most; what is larger than the mailbox's share has it to itself.
async fn room_for(
    session: &Session,
    maildrop: &Maildrop,
    index: usize,
    patience: Duration,
) -> Result<Taken, NoRoom> {
    let size_bytes = maildrop.entries().get(index).map_or(0, |entry| entry.wire_size_bytes);
    session.room.take(maildrop.mailbox_id(), size_bytes, patience).await
}

/// The next message, which is read while another is sent, for a client that asks for one after the other.
#[derive(Default)]
pub(crate) struct Ahead {
    reading: Option<Reading>,
    /// Whether the client has taken its time for its last command: one that does gains nothing.
    is_slow: bool,
}

struct Reading {
    index: usize,
    room: Taken,
    bytes: AbortOnDropHandle<Result<Bytes, mailstore::Error>>,
    /// Since when it waits to be asked for.
    waits_since: Option<Instant>,
}

impl Ahead {
    /// The message, if it is the one; else none is there any more.
    fn take(&mut self, index: usize) -> Option<Reading> {
        self.reading.take().filter(|reading| reading.index == index)
    }

    /// Begins to read a message; not unless it is the next one, its client is quick, and there is room for it just now.
    async fn begin(&mut self, session: &Session, maildrop: &Maildrop, index: usize) {
        let size_bytes = maildrop.entries().get(index).map(|entry| entry.wire_size_bytes);
        if self.is_slow || size_bytes.is_none_or(|bytes| bytes > AHEAD_BYTES) {
            return;
        }
        let Ok(room) = room_for(session, maildrop, index, Duration::ZERO).await else { return };
        let Some(work) = maildrop.body_ahead(index) else { return };
        let bytes = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
        self.reading = Some(Reading { index, room, bytes, waits_since: None });
    }

    /// Until when the message that is there may wait, from the first time on that this is asked.
    pub(crate) fn waits_until(&mut self) -> Option<Instant> {
        let reading = self.reading.as_mut()?;
        Some(*reading.waits_since.get_or_insert_with(Instant::now) + WAITS_FOR)
    }

    /// It was not asked for in time.
    pub(crate) fn let_go(&mut self) {
        self.reading = None;
    }

    /// Notes how long the client's last command took to come.
    pub(crate) fn note_pause(&mut self, pause: Duration) {
        self.is_slow = pause >= WAITS_FOR;
    }
}
