//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use std::collections::BTreeMap;

use super::*;
use crate::codec::command::Command;
use crate::codec::frame::MAX_LITERALS;
use crate::fuzz::read_back;

/// What a client asks for, which is the first line, of a message, which is the rest: what is cut is in the message, as long as was asked for at
/// most, and told under the name that was asked for.
pub fn sections(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, message) = (bytes[..at].trim_ascii(), Bytes::copy_from_slice(&bytes[at..]));
    let items = String::from_utf8_lossy(line);
    let Some(items) = asked(&items) else { return };
    let sections = Sections::new(&message);
    let mut decoded = BTreeMap::new();
    for item in items.iter().filter(|item| is_one(item)) {
        again(item);
        let Ok(Some(Cut::Text(text) | Cut::From(text))) = cut_one(&message, &sections, &mut decoded, item)
        else {
            continue;
        };
        if !matches!(item, FetchItem::BinarySize(_)) {
            assert!(text.is_empty() || message.as_ptr_range().contains(&text.as_ptr()));
        }
        let (FetchItem::Section { partial, .. } | FetchItem::Binary { partial, .. }) = item else { continue };
        let piece = &text[range(text.len(), *partial)];
        let Some((first, count)) = *partial else {
            assert_eq!(piece, &text[..]);
            continue;
        };
        let left = (text.len() as u64).saturating_sub(first);
        assert_eq!(piece.len() as u64, left.min(count));
        let skipped = usize::try_from(first).unwrap_or(usize::MAX);
        assert!(text.get(skipped..).is_none_or(|rest| rest.starts_with(piece)));
    }
}

/// What a line asks FETCH for, if that is what it does.
fn asked(line: &str) -> Option<Vec<FetchItem>> {
    let text = format!("a FETCH 1 {line}");
    let input = crate::codec::Input { texts: vec![text.into()], literals: Vec::new() };
    match crate::codec::parse(input, false).ok()?.command {
        Command::Fetch(fetch) => Some(fetch.items),
        _ => None,
    }
}

/// A section's name is read again as the section.
fn again(item: &FetchItem) {
    if let FetchItem::Section { section, .. } = item
        && let SectionText::HeaderFields(names) | SectionText::HeaderFieldsNot(names) = &section.what
        && names.len() > MAX_LITERALS
    {
        // Each may be a literal when it is written.
        return;
    }
    let mut whole = item.clone();
    match &mut whole {
        // They are not in the name, or only where it begins.
        FetchItem::Section { is_peek, partial, .. } | FetchItem::Binary { is_peek, partial, .. } => {
            (*is_peek, *partial) = (false, None);
        }
        _ => {}
    }
    match read_back("a FETCH 1 ", false, |out| label(out, &whole)) {
        Command::Fetch(fetch) => assert_eq!(fetch.items, [whole]),
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("imap_sections", super::sections);
    }
}
