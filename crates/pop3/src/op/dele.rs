//! DELE (RFC 1939 §5): a mark, which QUIT carries out.

use crate::codec::response::Status;
use crate::session::{End, Transaction};

pub(crate) async fn run(transaction: &mut Transaction<'_>, message: u64) -> Result<(), End> {
    let status = match transaction.marks.delete(message) {
        Ok(()) => Status::ok(format_args!("message {message} will be deleted")),
        Err(error) => Status::err(error),
    };
    transaction.session.reply(status).await
}
