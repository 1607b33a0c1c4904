//! What stands at both ends of a pack in the clear: header, directory of footers, trailer.

use std::ops::Range;

use kernel::{PackId, TenantId};
use ring::digest::{SHA256, digest};

use super::{Input, Malformed};
use crate::key::Generation;

/// Magic and version; a pack begins and ends with it.
pub(crate) const MARK: [u8; 8] = *b"PBPACK\x00\x01";
/// How many bytes a pack has before its first entry.
pub const HEADER_BYTES: u64 = MARK.len() as u64;
pub(crate) const ROW_BYTES: u64 = 24;
pub(crate) const TRAILER_BYTES: u64 = 36;
const CHECK_BYTES: usize = 8;

/// Where a footer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) tenant: TenantId,
    pub(crate) generation: Generation,
    pub(crate) range: Range<u64>,
}

/// The last bytes of a pack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trailer {
    pub(crate) pack: PackId,
    pub(crate) rows: u32,
    check: [u8; CHECK_BYTES],
}

/// Appends directory and trailer behind the footers that `rows` name in the order of their places.
pub(crate) fn put(out: &mut Vec<u8>, pack: PackId, rows: &[Row]) {
    let begin = out.len();
    for row in rows {
        out.extend(row.tenant.uuid().as_bytes());
        out.extend(row.generation.number().to_be_bytes());
        // A pack is far below 4 GiB.
        out.extend(((row.range.end - row.range.start) as u32).to_be_bytes());
    }
    let check = check(&out[begin..]);
    out.extend(pack.uuid().as_bytes());
    out.extend((rows.len() as u32).to_be_bytes());
    out.extend(check);
    out.extend(MARK);
}

/// Tells a directory that has rotted: a row that names another tenant would hide a footer, and nothing would refuse to open.
fn check(directory: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest(&SHA256, directory).as_ref()[..CHECK_BYTES]);
    check
}

pub(crate) fn parse_trailer(bytes: &[u8]) -> Result<Trailer, Malformed> {
    let mut input = Input::new(bytes);
    let trailer =
        Trailer { pack: PackId::from_uuid(input.uuid()?), rows: input.u32()?, check: input.array()? };
    let mark: [u8; MARK.len()] = input.array()?;
    if !input.is_empty() || mark[..6] != MARK[..6] {
        return Err(Malformed("it is not a pack"));
    }
    if mark != MARK {
        return Err(Malformed("a version of packs that is not known here"));
    }
    Ok(trailer)
}

/// The rows of a directory that begins at the offset `at`: the footers stand one after the other right before it.
pub(crate) fn parse_directory(trailer: &Trailer, bytes: &[u8], at: u64) -> Result<Vec<Row>, Malformed> {
    if check(bytes) != trailer.check {
        return Err(Malformed("a directory that is not as it was written"));
    }
    let mut input = Input::new(bytes);
    let mut rows: Vec<Row> = Vec::new();
    // Places from the first footer's first byte on, until it is known where that is.
    let mut end = 0;
    while !input.is_empty() {
        let tenant = TenantId::from_uuid(input.uuid()?);
        let generation = Generation::new(input.u32()?).ok_or(Malformed("a generation of 0"))?;
        let start = end;
        end += u64::from(input.u32()?);
        rows.push(Row { tenant, generation, range: start..end });
    }
    let begin = at.checked_sub(end).filter(|&begin| begin >= HEADER_BYTES);
    let begin = begin.ok_or(Malformed("footers longer than the pack"))?;
    for row in &mut rows {
        row.range = row.range.start + begin..row.range.end + begin;
    }
    Ok(rows)
}
