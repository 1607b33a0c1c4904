//! A footer's records: what is known of each entry besides its bytes.

use chrono::{DateTime, Utc};
use kernel::{FolderId, MailboxId, MessageId};

use super::{Input, Malformed, put_varint};
use crate::about::{About, Delivery, Uidl};

const HAS_FOLDER: u8 = 1;
const HAS_UIDL: u8 = 2;

/// One entry's record. Its place is checked by whoever knows the pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) index: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) about: About,
}

pub(crate) fn put(out: &mut Vec<u8>, record: &Record) {
    for number in [record.index, record.offset, record.length] {
        put_varint(out, number);
    }
    out.extend(record.about.sha256());
    out.extend(record.about.internal_date().timestamp_micros().to_be_bytes());
    put_varint(out, record.about.deliveries().len() as u64);
    for delivery in record.about.deliveries() {
        let uidl = (delivery.uidl != Uidl::of(delivery.message)).then_some(delivery.uidl.as_str());
        let folder = if delivery.folder.is_some() { HAS_FOLDER } else { 0 };
        out.push(folder | if uidl.is_some() { HAS_UIDL } else { 0 });
        out.extend(delivery.message.uuid().as_bytes());
        out.extend(delivery.mailbox.uuid().as_bytes());
        if let Some(folder) = delivery.folder {
            out.extend(folder.uuid().as_bytes());
        }
        if let Some(uidl) = uidl {
            // 70 characters at most.
            out.push(uidl.len() as u8);
            out.extend(uidl.as_bytes());
        }
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Record>, Malformed> {
    let mut input = Input::new(bytes);
    let mut records = Vec::new();
    while !input.is_empty() {
        let (index, offset, length) = (input.varint()?, input.varint()?, input.varint()?);
        let sha256 = input.array()?;
        let internal_date = parse_date(&mut input)?;
        let count = input.varint()?;
        let mut deliveries = Vec::new();
        for _ in 0..count {
            deliveries.push(parse_delivery(&mut input)?);
        }
        let about =
            About::new(sha256, internal_date, deliveries).ok_or(Malformed("too few or many deliveries"))?;
        records.push(Record { index, offset, length, about });
    }
    Ok(records)
}

fn parse_date(input: &mut Input<'_>) -> Result<DateTime<Utc>, Malformed> {
    let micros = i64::from_be_bytes(input.array()?);
    DateTime::from_timestamp_micros(micros).ok_or(Malformed("a date out of range"))
}

fn parse_delivery(input: &mut Input<'_>) -> Result<Delivery, Malformed> {
    let flags = input.byte()?;
    if flags & !(HAS_FOLDER | HAS_UIDL) != 0 {
        return Err(Malformed("an unknown flag"));
    }
    let message = MessageId::from_uuid(input.uuid()?);
    let mailbox = MailboxId::from_uuid(input.uuid()?);
    let folder = match flags & HAS_FOLDER {
        0 => None,
        _ => Some(FolderId::from_uuid(input.uuid()?)),
    };
    let uidl = match flags & HAS_UIDL {
        0 => Uidl::of(message),
        _ => {
            let length = input.byte()?;
            let text = str::from_utf8(input.take(length.into())?).map_err(|_| Malformed("a UIDL"))?;
            text.parse().map_err(|_| Malformed("a UIDL"))?
        }
    };
    Ok(Delivery { message, uidl, mailbox, folder })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn noise_never_panics_and_what_is_read_is_what_would_be_written(
            noise in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            // Dates far out of range make most noise fail early; three numbers and a hash of zeros get past them.
            for bytes in [noise.clone(), [&[0; 3 + 32 + 8][..], &noise].concat()] {
                if let Ok(records) = parse(&bytes) {
                    let mut written = Vec::new();
                    records.iter().for_each(|record| put(&mut written, record));
                    prop_assert_eq!(parse(&written), Ok(records));
                }
            }
        }
    }
}
