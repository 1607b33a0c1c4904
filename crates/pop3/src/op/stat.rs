//! STAT (RFC 1939 §5): how many messages, and their size on the wire before byte-stuffing.

use crate::codec::response::Status;
use crate::session::{End, Transaction};

pub(crate) async fn run(transaction: &mut Transaction<'_>) -> Result<(), End> {
    let marks = &transaction.marks;
    let status = Status::ok(format_args!("{} {}", marks.remaining(), marks.remaining_bytes()));
    transaction.session.reply(status).await
}
