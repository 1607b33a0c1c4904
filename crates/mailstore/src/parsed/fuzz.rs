//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use super::text::{Texts, fold};
use super::{MAX_LIST, MAX_PREVIEW_CHARS, MAX_SUBJECT_CHARS, Parsed, reorders, view};

/// The view of a message: it is kept as it is read, within bounds.
pub fn message(bytes: &[u8]) {
    let view = view(bytes);
    let kept = serde_json::to_string(&view).expect("texts, numbers and lists of them");
    // Postgres takes no NUL in JSON. What a message writes as a backslash and what looks like one is none.
    assert!(!kept.replace(r"\\", "").contains(r"\u0000"));
    assert_eq!(serde_json::from_str::<Parsed>(&kept).ok().as_ref(), Some(&view));
    let is_within = |text: &Option<String>, max| {
        text.as_ref().is_none_or(|text| text.chars().count() <= max && !text.contains(char::is_control))
    };
    assert!(is_within(&view.subject, MAX_SUBJECT_CHARS) && is_within(&view.preview, MAX_PREVIEW_CHARS));
    assert!(view.preview.as_ref().is_none_or(|preview| !preview.contains(reorders)));
    for list in [&view.from, &view.to, &view.cc, &view.reply_to] {
        assert!(list.len() <= MAX_LIST);
    }
    assert!(view.attachments.len() <= MAX_LIST && view.references.len() <= MAX_LIST);
    // No encoding makes a part longer when it is taken off.
    assert!(view.attachments.iter().all(|file| file.size_bytes <= bytes.len() as u64));
}

/// What a search compares: all of it, or as much of it as there is room for.
pub fn texts(bytes: &[u8]) {
    let all = Texts::read(bytes, usize::MAX >> 1);
    let lines = |texts: &Texts| {
        let lines = [&texts.header, &texts.body, &texts.attachment_names].map(|text| text.lines().count());
        lines.iter().sum::<usize>()
    };
    let len = |texts: &Texts| texts.header.len() + texts.body.len() + texts.attachment_names.len();
    assert!(all.is_whole);
    for room in [0, 100, len(&all)] {
        let some = Texts::read(bytes, room);
        assert!(len(&some) <= room + lines(&some), "{} in {room}", len(&some));
        assert_eq!(some.sent_on, all.sent_on);
        if some.is_whole {
            assert_eq!(some, all);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let folded = fold(text);
        assert!(!folded.contains(char::is_control) && !folded.contains("  "));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("mailstore_parsed", super::message);
        crate::seeds::play("mailstore_texts", super::texts);
    }
}
