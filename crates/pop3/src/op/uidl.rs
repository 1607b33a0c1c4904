//! UIDL (RFC 1939 §7): the stored unique ids.

use super::list;
use crate::session::{End, Transaction};

pub(crate) async fn run(transaction: &mut Transaction<'_>, message: Option<u64>) -> Result<(), End> {
    list::scan(transaction, message, "unique ids follow".to_owned(), |entry| entry.uidl.clone()).await
}
