//! Grams: what the index of texts is made of, and which of them a search asks for.
//!
//! A gram is three characters in a row of a folded text, none of them a space, hashed together with the mailbox that the message is in and with
//! where in the message it is. So the entries of the index that a search looks at are those of one mailbox, however many others say the same.
//! Two grams with one hash only make a message a candidate that is none.

use std::collections::BTreeSet;

use kernel::MailboxId;

use super::query::Query;
use crate::parsed::text::Texts;

/// The fields that are searched for alone; what else a header says is looked for anywhere in the message.
const FIELDS: [&str; 6] = ["from", "to", "cc", "bcc", "subject", "message-id"];
/// How many grams of a message are indexed. One with more is a candidate in every search.
const MAX_GRAMS: usize = 32_768;
/// How many grams are asked for together: a candidate that has so many is most often none in vain.
const MAX_ASKED: usize = 16;
/// How many sets of grams a search asks for; with more alternatives than these it looks at every message.
const MAX_SETS: usize = 16;

/// Where a gram is.
#[derive(Debug, Clone, Copy)]
enum Within<'a> {
    /// Anywhere in the message.
    Message,
    /// In what a field says that is one of [`FIELDS`].
    Field(&'a str),
}

/// Hashes the grams of one mailbox. Its numbers are in a table: they never change.
#[derive(Debug, Clone, Copy)]
struct Hasher(u64);

impl Hasher {
    fn new(mailbox: MailboxId, within: Within<'_>) -> Self {
        let field = match within {
            Within::Message => "",
            Within::Field(name) => name,
        };
        // FNV-1a.
        Self(0xcbf2_9ce4_8422_2325).with(mailbox.uuid().as_bytes()).with(field.as_bytes()).with(&[0])
    }

    fn with(self, bytes: &[u8]) -> Self {
        Self(
            bytes
                .iter()
                .fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)),
        )
    }

    /// Mixed at the end, as by SplitMix64: FNV leaves the last byte in the low bits.
    fn finish(self) -> i64 {
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).cast_signed()
    }

    fn grams(self, text: &str) -> impl Iterator<Item = i64> {
        // Where the last two characters began.
        let mut began = [None; 2];
        let ends = text.char_indices().map(|(at, char)| (at, char, at + char.len_utf8()));
        ends.filter_map(move |(at, char, end)| {
            if char == ' ' || char == '\n' {
                began = [None; 2];
                return None;
            }
            let [start, last] = began;
            began = [last, Some(at)];
            Some(self.with(&text.as_bytes()[start?..end]).finish())
        })
    }
}

/// The grams of a message in a mailbox, each once, and whether these are all.
pub(super) fn of(mailbox: MailboxId, texts: &Texts) -> (Vec<i64>, bool) {
    let fields = FIELDS.iter().flat_map(|name| {
        let hasher = Hasher::new(mailbox, Within::Field(name));
        texts.fields(name).flat_map(move |says| hasher.grams(says))
    });
    let anywhere = Hasher::new(mailbox, Within::Message);
    let all = [&texts.header, &texts.body, &texts.attachment_names]
        .into_iter()
        .flat_map(|text| anywhere.grams(text));
    let mut grams = Vec::new();
    for gram in fields.chain(all) {
        grams.push(gram);
        // A text of a megabyte has a million, most of them again and again.
        if grams.len() == 4 * MAX_GRAMS && distinct(&mut grams) > MAX_GRAMS {
            break;
        }
    }
    let are_all = distinct(&mut grams) <= MAX_GRAMS;
    grams.truncate(MAX_GRAMS);
    grams.shrink_to_fit();
    (grams, are_all && texts.is_whole)
}

/// Leaves each once; how many there are then.
fn distinct(grams: &mut Vec<i64>) -> usize {
    grams.sort_unstable();
    grams.dedup();
    grams.len()
}

/// Sets of grams, of which every message that the query asks for has all of at least one; `None` when nothing is known of it.
pub(super) fn asked(mailbox: MailboxId, query: &Query) -> Option<Vec<Vec<i64>>> {
    let of = |within, text: &str| {
        let all: BTreeSet<i64> = Hasher::new(mailbox, within).grams(text).collect();
        // From all over the text: neighbours say much the same.
        let step = all.len().div_ceil(MAX_ASKED).max(1);
        let some: Vec<i64> = all.into_iter().step_by(step).collect();
        (!some.is_empty()).then(|| vec![some])
    };
    match query {
        Query::Body(needle) | Query::Text(needle) | Query::Word(needle) => {
            of(Within::Message, needle.as_str())
        }
        Query::Field { name, says } if FIELDS.contains(&name.as_str()) => {
            of(Within::Field(name.as_str()), says.as_str())
        }
        Query::Field { says, .. } => of(Within::Message, says.as_str()),
        Query::And(all) => all.iter().filter_map(|part| asked(mailbox, part)).reduce(both),
        Query::Or(any) => {
            let sets: Option<Vec<_>> = any.iter().map(|part| asked(mailbox, part)).collect();
            sets.map(|sets| sets.concat()).filter(|sets| sets.len() <= MAX_SETS)
        }
        _ => None,
    }
}

/// What has one of these and one of those. Of too many pairs, those alone that ask for less.
fn both(these: Vec<Vec<i64>>, those: Vec<Vec<i64>>) -> Vec<Vec<i64>> {
    if these.len() * those.len() > MAX_SETS {
        return if these.len() <= those.len() { these } else { those };
    }
    let pair =
        |this: &Vec<i64>| those.iter().map(|that| [this.as_slice(), that].concat()).collect::<Vec<_>>();
    these.iter().flat_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::query::Needle;

    fn mailbox(number: u128) -> MailboxId {
        MailboxId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn the_numbers_stay_what_they_are() {
        let grams: Vec<i64> = Hasher::new(mailbox(7), Within::Field("subject")).grams("hällo a").collect();
        assert_eq!(grams.len(), 3);
        assert_eq!(grams[0], GOLDEN);
    }

    /// In every table since there was one.
    const GOLDEN: i64 = -4_454_575_913_695_613_847;

    #[test]
    fn three_in_a_row_are_what_lies_between_spaces() {
        let of = |text: &str| Hasher::new(mailbox(7), Within::Message).grams(text).collect::<Vec<_>>();
        let each = |grams: &[&str]| grams.iter().flat_map(|gram| of(gram)).collect::<Vec<_>>();
        assert_eq!(of("ab cdé\nfgh東i  jkl"), each(&["cdé", "fgh", "gh東", "h東i", "jkl"]));
        assert_eq!(of("ab c"), [0; 0]);
    }

    #[test]
    fn a_message_has_what_is_asked_for_in_its_mailbox_alone() {
        let texts = Texts { header: "subject: hello\nx-a: other\n".into(), ..Texts::of_nothing() };
        let (grams, is_whole) = of(mailbox(1), &texts);
        assert!(is_whole);
        let has = |number, query: &Query| {
            asked(mailbox(number), query)
                .map(|sets| sets.iter().any(|set| set.iter().all(|gram| grams.contains(gram))))
        };
        assert_eq!(has(1, &Query::field("Subject", "ELLO")), Some(true));
        assert_eq!(has(2, &Query::field("Subject", "ELLO")), Some(false));
        assert_eq!(has(1, &Query::field("From", "ello")), Some(false));
        assert_eq!(has(1, &Query::field("X-A", "other")), Some(true));
        assert_eq!(has(1, &Query::Text(Needle::new("lo"))), None);
        assert_eq!(has(1, &Query::Not(Box::new(Query::field("From", "ello")))), None);
        let either = |a, b| Query::Or(vec![Query::Body(Needle::new(a)), Query::Body(Needle::new(b))]);
        assert_eq!(has(1, &either("nowhere", "other")), Some(true));
        assert_eq!(has(1, &either("lo", "other")), None);
        assert_eq!(
            has(1, &Query::And(vec![either("nowhere", "absent"), Query::Text(Needle::new("hello"))])),
            Some(false)
        );
    }

    #[test]
    fn what_is_too_much_is_told() {
        let body: String = (0..40_000_u32)
            .filter_map(|n| char::from_u32(0x4e00 + n % 20_000))
            .chain(std::iter::repeat_n('\u{4e00}', 3))
            .collect();
        let half: String = (0..20_000_u32).filter_map(|n| char::from_u32(0x4e00 + n * 7 % 20_000)).collect();
        let (grams, is_whole) = of(mailbox(1), &Texts { body: body + &half, ..Texts::of_nothing() });
        assert_eq!((grams.len(), is_whole), (MAX_GRAMS, false));
        let many =
            |number| Query::Or((0..number).map(|n| Query::Text(Needle::new(&format!("word{n}")))).collect());
        assert_eq!(asked(mailbox(1), &many(MAX_SETS + 1)), None);
        assert_eq!(
            asked(mailbox(1), &Query::And(vec![many(3), many(MAX_SETS)])).map(|sets| sets.len()),
            Some(3)
        );
    }
}
