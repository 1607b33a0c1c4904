//! SORT (RFC 5256 §3, RFC 5957), with the return options of ESORT (RFC 5267 §3.1).

use std::collections::BTreeSet;

use mailstore::view::{Headers, Said};

use super::{headers, search};
use crate::codec::command::{Sort, SortKey};
use crate::order::{self, collate};
use crate::session::{Answer, Session};
use crate::status::Status;

/// About how much memory a message takes while it is put in order, without and with what each criterion compares.
const MEMORY_BYTES: u64 = 256;

pub(crate) async fn run(session: &mut Session, tag: &str, command: &Sort) -> Answer {
    if command.give.is_some_and(|give| give.save) {
        return Err(Status::bad("SAVE goes with SEARCH").into());
    }
    let has_modseq = search::asks_for_modseq(&command.key);
    let uids = search::find(session, Some(&command.charset), &command.key).await?;
    let memory_bytes = uids.len() as u64 * MEMORY_BYTES * (1 + command.criteria.len() as u64);
    let room = session.room_for(memory_bytes).await?;
    let said: BTreeSet<Said> = command.criteria.iter().filter_map(|by| said(by.key)).collect();
    let said: Vec<Said> = said.into_iter().collect();
    let mut items = Vec::with_capacity(uids.len());
    headers::each(session, &uids, &said, |session, found| {
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
    // RFC 7162 §3.1.9, §3.1.10.
    let modseq = match has_modseq {
        true => {
            session.enable_condstore();
            let selected = session.selected()?;
            let uids: Vec<u64> =
                sorted.iter().filter_map(|name| selected.uid_of(*name, command.by_uid)).collect();
            search::highest(session, command.give, &uids).await?
        }
        false => None,
    };
    // Who takes it slowly does not keep the room from others.
    drop(room);
    match command.give {
        Some(give) => {
            let line = search::extended(tag, command.by_uid, give, &sorted, modseq);
            session.connection.queue(&line).await?;
        }
        None => {
            session.connection.out().extend_from_slice(b"* SORT");
            for number in sorted {
                session.connection.out().extend_from_slice(format!(" {number}").as_bytes());
                session.connection.spill().await?;
            }
            let out = session.connection.out();
            if let Some(modseq) = modseq {
                out.extend_from_slice(format!(" (MODSEQ {modseq})").as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
    }
    Ok(Status::ok("that is all"))
}

/// What of a message is compared, beside what is known of each.
fn said(key: SortKey) -> Option<Said> {
    match key {
        SortKey::Arrival | SortKey::Size => None,
        SortKey::Date => Some(Said::Date),
        SortKey::Subject => Some(Said::Subject),
        SortKey::From | SortKey::DisplayFrom => Some(Said::From),
        SortKey::To | SortKey::DisplayTo => Some(Said::To),
        SortKey::Cc => Some(Said::Cc),
    }
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
                item.subject = collate::key(&headers::base_subject(found).text);
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
