//! RETR (RFC 1939 §5): a whole message.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::codec::response::{Code, Status};
use crate::reply;
use crate::session::{End, Transaction};

/// The unit in which room for messages is counted: a semaphore's permits are 32 bits wide where messages are not.
pub(crate) const ROOM_UNIT_BYTES: u64 = 1024;

/// A message in memory, and the room that it takes there until it is sent.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
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

/// Reads a message, once there is room for it among those being sent; or says why not.
pub(crate) async fn fetch(transaction: &Transaction<'_>, message: u64) -> Result<Body, Status> {
    let Transaction { session, maildrop, marks } = transaction;
    let index = marks.index(message).map_err(Status::err)?;
    let limits = &session.service.limits;
    let size_bytes = maildrop.entries()[index].wire_size_bytes.min(limits.bodies_in_flight_bytes);
    let units = u32::try_from(size_bytes.div_ceil(ROOM_UNIT_BYTES)).unwrap_or(u32::MAX);
    let waiting = session.bodies.clone().acquire_many_owned(units);
    let Ok(Ok(room)) = tokio::time::timeout(limits.body_wait, waiting).await else {
        return Err(Status::coded(Code::SysTemp, "too much mail is being sent just now, try again"));
    };
    let bytes =
        maildrop.body(index).await.map_err(|error| reply::maildrop_failed(&error, session.request_id))?;
    Ok(Body { bytes, _room: room })
}
