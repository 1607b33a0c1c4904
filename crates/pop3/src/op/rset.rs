//! RSET (RFC 1939 §5): takes the marks of DELE away.

use crate::codec::response::Status;
use crate::session::{End, Transaction};

pub(crate) async fn run(transaction: &mut Transaction<'_>) -> Result<(), End> {
    let marks = &mut transaction.marks;
    marks.reset();
    let summary = format!("maildrop has {} messages ({} octets)", marks.remaining(), marks.remaining_bytes());
    transaction.session.reply(Status::ok(summary)).await
}
