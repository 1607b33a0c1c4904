//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use std::sync::Arc;

use crate::reply::Gathering;
use crate::transaction::Stuffing;

/// Replies of a smarthost, one after the other: what is kept of one is a line, within bounds, and reads as itself.
pub fn reply(bytes: &[u8]) {
    let remote = Arc::from("mx.example");
    let mut gathering = Gathering::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match gathering.take(line) {
            Err(_) => return,
            Ok(false) => continue,
            Ok(true) => {}
        }
        let reply = std::mem::take(&mut gathering).finish(&remote).expect("there was a last line");
        assert!((200..600).contains(&reply.code));
        assert!(reply.text.chars().count() <= 500 && !reply.text.contains(char::is_control));
        assert!(reply.status.is_none_or(|(class, ..)| u16::from(class) == reply.code / 100));
        // A text may begin with what would be a status, if there is none before it.
        if reply.status.is_some() {
            let mut again = Gathering::default();
            assert!(matches!(again.take(reply.to_string().as_bytes()), Ok(true)));
            assert_eq!(again.finish(&remote).ok(), Some(reply));
        }
    }
    assert!(Gathering::default().finish(&remote).is_err());
}

/// A message's dots: it is sent the same however it is cut, it ends where it should and nowhere else, and nothing of it is lost.
pub fn dots(bytes: &[u8]) {
    let sent = |size: usize| {
        let (mut stuffing, mut out) = (Stuffing::default(), Vec::new());
        bytes.chunks(size).for_each(|block| stuffing.stuff(block, &mut out));
        out.extend_from_slice(stuffing.end());
        out
    };
    let whole = sent(bytes.len().max(1));
    assert_eq!(sent(1), whole);
    assert_eq!(sent(usize::from(bytes.first().copied().unwrap_or(0)) + 1), whole);
    let end = |at: usize| whole[at..].starts_with(b".\r\n") && (at == 0 || whole[..at].ends_with(b"\r\n"));
    assert_eq!((0..whole.len()).find(|at| end(*at)), whole.len().checked_sub(3));
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("relay_reply", super::reply);
        crate::seeds::play("relay_dots", super::dots);
    }
}
