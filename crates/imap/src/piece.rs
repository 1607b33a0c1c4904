//! A long text of a message that its client takes in pieces, one command after the other, as phones do: it is read, cut out and decoded once.
//!
//! It is forgotten with its last piece, by any other command, and soon in any case: it takes room, and a session that waits keeps none.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::codec::command::FetchItem;
use crate::room::Taken;

/// How long it waits for its next piece: as long as the longest way to a client and back takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A text, as it is without what a client asks for of it.
#[derive(Debug)]
pub(crate) struct Text {
    /// The room that its message takes.
    pub(crate) room: Taken,
    pub(crate) bytes: Bytes,
}

#[derive(Debug)]
struct Waiting {
    uid: u64,
    whole: FetchItem,
    text: Text,
    until: Instant,
}

/// The text that a session may be asked for more of.
#[derive(Debug, Default)]
pub(crate) struct Piecemeal(Option<Box<Waiting>>);

impl Piecemeal {
    /// Keeps a text for its next piece. `whole` is what it would be asked for by as a whole.
    pub(crate) fn keep(&mut self, uid: u64, whole: FetchItem, text: Text, now: Instant) {
        self.0 = Some(Box::new(Waiting { uid, whole, text, until: now + PATIENCE }));
    }

    /// The text, if it is this one that is asked for; else none is kept any more.
    pub(crate) fn take(&mut self, uid: u64, whole: Option<&FetchItem>, now: Instant) -> Option<Text> {
        let waiting = self.0.take()?;
        let is_it = waiting.uid == uid && Some(&waiting.whole) == whole && now < waiting.until;
        is_it.then_some(waiting.text)
    }

    /// What comes next of a command, where a text waits for it. If it does not come in time the text is forgotten.
    pub(crate) async fn wait<E>(&mut self, next: impl Future<Output = E>) -> Option<E> {
        let until = self.0.as_ref()?.until;
        let event = timeout_at(until, next).await.ok();
        if event.is_none() {
            self.clear();
        }
        event
    }

    /// Forgets it.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

/// The one section that is asked for a part of, as it would be asked for as a whole; `None` where none is, or several are.
pub(crate) fn asked(items: &[FetchItem]) -> Option<FetchItem> {
    let mut found = None;
    for item in items {
        let whole = match item {
            FetchItem::Section { section, partial: Some(_), .. } => {
                FetchItem::Section { is_peek: true, section: section.clone(), partial: None }
            }
            FetchItem::Binary { part, partial: Some(_), .. } => {
                FetchItem::Binary { is_peek: true, part: part.clone(), partial: None }
            }
            FetchItem::Section { .. }
            | FetchItem::Binary { .. }
            | FetchItem::BinarySize(_)
            | FetchItem::Rfc822(_) => return None,
            _ => continue,
        };
        if found.replace(whole).is_some() {
            return None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::codec::command::{Rfc822, Section, SectionText};
    use crate::limits::Limits;
    use crate::room::Room;

    fn body(partial: Option<(u64, u64)>, is_peek: bool) -> FetchItem {
        let section = Section { part: Vec::new(), what: SectionText::All };
        FetchItem::Section { is_peek, section, partial }
    }

    #[test]
    fn a_piece_of_one_section_is_asked_for() {
        let whole = body(None, true);
        let first = body(Some((0, 10)), false);
        assert_eq!(asked(&[FetchItem::Uid, first.clone(), FetchItem::Flags]), Some(whole.clone()));
        for others in [body(Some((10, 10)), true), whole, FetchItem::Rfc822(Rfc822::All)] {
            assert_eq!(asked(&[first.clone(), others]), None);
        }
        assert_eq!(asked(&[FetchItem::Uid]), None);
    }

    #[tokio::test]
    async fn a_text_waits_for_its_own_next_piece_and_not_for_long() {
        let room = Room::new(&Limits::default());
        let holder = kernel::Env::system().new_id();
        let whole = body(None, true);
        let mut kept = Piecemeal::default();
        assert_eq!(kept.wait(ready(())).await, None);
        for (uid, item, after, is_it) in [
            (7, Some(&whole), 0, true),
            (7, Some(&whole), 1_999, true),
            (7, Some(&whole), 2_000, false),
            (8, Some(&whole), 0, false),
            (7, Some(&FetchItem::Uid), 0, false),
            (7, None, 0, false),
        ] {
            let text = Text {
                room: room.take(holder, 1, Duration::ZERO).await.expect("room"),
                bytes: Bytes::from_static(b"text"),
            };
            let now = Instant::now();
            kept.keep(7, whole.clone(), text, now);
            assert_eq!(kept.wait(ready("FETCH")).await, Some("FETCH"));
            assert_eq!(kept.take(uid, item, now + Duration::from_millis(after)).is_some(), is_it);
            assert!(kept.0.is_none());
        }
        let text = Text {
            room: room.take(holder, 1, Duration::ZERO).await.expect("room"),
            bytes: Bytes::from_static(b"text"),
        };
        kept.keep(7, whole, text, Instant::now() - PATIENCE);
        assert_eq!(kept.wait(pending::<()>()).await, None);
        assert!(kept.0.is_none());
    }
}
