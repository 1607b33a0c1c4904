//! LIST (RFC 1939 §5): sizes on the wire before byte-stuffing; and what it has in common with UIDL.

use mailstore::maildrop::Entry;

use crate::codec::response::Status;
use crate::session::{End, Transaction};

pub(crate) async fn run(transaction: &mut Transaction<'_>, message: Option<u64>) -> Result<(), End> {
    let marks = &transaction.marks;
    let heading = format!("{} messages ({} octets)", marks.remaining(), marks.remaining_bytes());
    scan(transaction, message, heading, |entry| entry.wire_size_bytes.to_string()).await
}

/// Answers with a number and what `of` makes of its entry: for one message, or for all that are not marked.
pub(super) async fn scan(
    transaction: &mut Transaction<'_>,
    message: Option<u64>,
    heading: String,
    of: impl Fn(&Entry) -> String,
) -> Result<(), End> {
    let Transaction { session, maildrop, marks, .. } = transaction;
    let item = |index: usize| format!("{} {}", index + 1, of(&maildrop.entries()[index]));
    if let Some(number) = message {
        let status = marks.index(number).map_or_else(Status::err, |index| Status::ok(item(index)));
        return session.reply(status).await;
    }
    session.reply(Status::ok(heading)).await?;
    for index in marks.indices() {
        session.connection.item(&item(index)).await?;
    }
    session.connection.terminator().await
}
