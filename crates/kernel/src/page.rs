//! Pages of a list. Lists are ordered by id; ids are time-ordered, so a page is stable under inserts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// Which list a place is in: whoever shows several tells them apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListId([u8; 8]);

impl ListId {
    /// Any eight bytes, as long as two lists have not the same.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

/// An opaque place in a list: after the item with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    last_seen: Uuid,
    list: Option<ListId>,
}

/// A text that is not a cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct CursorError;

impl Cursor {
    /// The place after the item with this id, in a list that nobody tells from others.
    pub fn after(id: Uuid) -> Self {
        Self { last_seen: id, list: None }
    }
    /// The id of the last item already seen.
    pub fn last_seen(self) -> Uuid {
        self.last_seen
    }
    /// The list that it is a place in, if that was said.
    pub fn list(self) -> Option<ListId> {
        self.list
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = self.list.as_ref().map_or(&[][..], |list| list.0.as_slice());
        f.write_str(&URL_SAFE_NO_PAD.encode([self.last_seen.as_bytes().as_slice(), list].concat()))
    }
}

impl std::str::FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let (id, list) = bytes.split_at_checked(16).ok_or(CursorError)?;
        let list = match list {
            [] => None,
            list => Some(ListId(list.try_into().map_err(|_| CursorError)?)),
        };
        Ok(Self { last_seen: Uuid::from_slice(id).map_err(|_| CursorError)?, list })
    }
}

/// Which page is asked for.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    limit: u16,
    cursor: Option<Cursor>,
    list: Option<ListId>,
}

impl PageRequest {
    /// The most items a page may have.
    pub const MAX_LIMIT: u16 = 200;
    /// The size of a page when none is asked for.
    pub const DEFAULT_LIMIT: u16 = 50;

    /// A page of `limit` items, brought into 1..=[`Self::MAX_LIMIT`], after `cursor`.
    pub fn new(limit: Option<u16>, cursor: Option<Cursor>) -> Self {
        let limit = limit.unwrap_or(Self::DEFAULT_LIMIT).clamp(1, Self::MAX_LIMIT);
        Self { limit, cursor, list: None }
    }

    /// A page of this list: so say the cursors that it has.
    #[must_use]
    pub fn of(self, list: ListId) -> Self {
        Self { list: Some(list), ..self }
    }

    /// The place in its list after the item with this id.
    pub fn cursor_after(&self, id: Uuid) -> Cursor {
        Cursor { last_seen: id, list: self.list }
    }

    /// The id after which the page starts; nil for the first page, since no UUIDv7 is below it.
    pub fn after(&self) -> Uuid {
        self.cursor.map_or(Uuid::nil(), Cursor::last_seen)
    }

    /// How many rows a store fetches: one more than the page, to know whether another follows.
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// One page of a list and where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, at most as many as asked for.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts the rows that [`PageRequest::fetch`] asked for down to the page; `id` tells an item's uuid.
    pub fn cut(mut items: Vec<T>, request: &PageRequest, id: impl Fn(&T) -> Uuid) -> Self {
        let limit = usize::from(request.limit);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|item| request.cursor_after(id(item))) } else { None };
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_only_when_there_is_one() {
        let request = PageRequest::new(Some(2), None);
        let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        let page = Page::cut(ids.clone(), &request, |id| *id);
        assert_eq!(page.items, ids[..2]);
        assert_eq!(page.next, Some(Cursor::after(ids[1])));
        assert_eq!(Page::cut(ids[..2].to_vec(), &request, |id| *id).next, None);
    }

    #[test]
    fn a_cursor_survives_the_wire_and_rubbish_does_not() {
        let cursor = Cursor::after(Uuid::from_u128(7));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let request = PageRequest::new(None, Some(cursor)).of(ListId::from_bytes(*b"thisone!"));
        let there = request.cursor_after(Uuid::from_u128(8));
        let parsed: Cursor = there.to_string().parse().unwrap();
        assert_eq!((parsed, parsed.list()), (there, Some(ListId::from_bytes(*b"thisone!"))));
        assert_eq!((cursor.list(), request.after()), (None, Uuid::from_u128(7)));
        for length in [15, 17, 23, 25] {
            assert_eq!(
                URL_SAFE_NO_PAD.encode(vec![1_u8; length]).parse::<Cursor>(),
                Err(CursorError),
                "{length}"
            );
        }
        assert_eq!("AAAA".parse::<Cursor>(), Err(CursorError));
        assert_eq!("!".parse::<Cursor>(), Err(CursorError));
    }
}
