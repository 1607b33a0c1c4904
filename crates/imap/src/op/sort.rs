//! SORT (RFC 5256 §3, RFC 5957), with the return options of ESORT (RFC 5267 §3.1).

use mailstore::view::Headers;

use super::{headers, search};
use crate::codec::command::{Sort, SortKey};
use crate::order::{self, collate, subject};
use crate::session::{Answer, Session};
use crate::status::Status;

/// About how much memory a message takes while it is put in order.
const MEMORY_BYTES: u64 = 512;

pub(crate) async fn run(session: &mut Session, tag: &str, command: &Sort) -> Answer {
    if command.give.is_some_and(|give| give.save) {
        return Err(Status::bad("SAVE goes with SEARCH").into());
    }
    let uids = search::find(session, Some(&command.charset), &command.key).await?;
    let _room = session.room_for(uids.len() as u64 * MEMORY_BYTES).await?;
    let mut items = Vec::with_capacity(uids.len());
    headers::each(session, &uids, |found| {
        let number = session.selected()?.name_of(found.uid, command.by_uid);
        items.extend(number.map(|number| sortable(number, &found, command)));
        Ok(())
    })
    .await?;
    let criteria: Vec<_> = command.criteria.iter().map(|by| (by.is_reverse, by.key)).collect();
    let work = move || {
        order::sort::sort(&criteria, &mut items);
        items.into_iter().map(|item| item.number).collect::<Vec<u32>>()
    };
    let sorted = tokio::task::spawn_blocking(work).await.map_err(|_| mailstore::Error::ShuttingDown)?;
    match command.give {
        Some(give) => search::extended(session.connection.out(), tag, command.by_uid, give, &sorted, None),
        None => {
            session.connection.out().extend_from_slice(b"* SORT");
            for number in sorted {
                session.connection.out().extend_from_slice(format!(" {number}").as_bytes());
                session.connection.spill().await?;
            }
            session.connection.out().extend_from_slice(b"\r\n");
        }
    }
    session.connection.spill().await?;
    Ok(Status::ok("that is all"))
}

/// A message with what it is sorted by, and nothing else.
fn sortable(number: u32, found: &Headers, command: &Sort) -> order::sort::Sortable {
    let parsed = &found.parsed;
    let mut item = order::sort::Sortable { number, ..order::sort::Sortable::default() };
    for criterion in &command.criteria {
        match criterion.key {
            SortKey::Arrival => item.internal_date = found.internal_date.timestamp(),
            SortKey::Date => item.sent_at = headers::sent_at(found),
            SortKey::Size => item.size_bytes = found.wire_size_bytes,
            SortKey::Subject => {
                let base = subject::base_subject(parsed.subject.as_deref().unwrap_or_default());
                item.subject = collate::key(&base.text);
            }
            SortKey::From => item.from = headers::mailbox_key(&parsed.from),
            SortKey::To => item.to = headers::mailbox_key(&parsed.to),
            SortKey::Cc => item.cc = headers::mailbox_key(&parsed.cc),
            SortKey::DisplayFrom => item.display_from = headers::display_key(&parsed.from),
            SortKey::DisplayTo => item.display_to = headers::display_key(&parsed.to),
        }
    }
    item
}
