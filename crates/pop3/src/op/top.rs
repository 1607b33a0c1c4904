//! TOP (RFC 1939 §7): the header and the first lines of the body.

use super::retr;
use crate::codec::response::{self, Status};
use crate::session::{End, Transaction};

pub(crate) async fn run(transaction: &mut Transaction<'_>, message: u64, lines: u64) -> Result<(), End> {
    let body = match retr::fetch(transaction, message).await {
        Ok(body) => body,
        Err(status) => return transaction.session.reply(status).await,
    };
    let session = &mut transaction.session;
    session.reply(Status::ok("top of message follows")).await?;
    session.connection.message(response::top(&body.bytes, lines)).await
}
