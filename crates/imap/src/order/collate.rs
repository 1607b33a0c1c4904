//! The order of texts: `i;unicode-casemap` (RFC 5051), which RFC 5256 asks for by way of RFC 5255 (I18NLEVEL=1).

use unicode_normalization::UnicodeNormalization as _;

/// How many characters of a text are compared.
const MAX_KEY_CHARS: usize = 250;

/// What a text is compared by, byte by byte: two texts are the same if their keys are, and ordered as their keys are.
///
/// That is RFC 5051 §2: each character in title case, decomposed by compatibility. The title case is the simple one of
/// `UnicodeData.txt`, one character for one: `ß` stays what it is, and a ligature is in small letters. Combining marks
/// are put into canonical order besides, as §4 allows.
/// A key has at most [`MAX_KEY_CHARS`] characters: what is the same so far is the same, for a stranger chooses how long texts are.
pub(crate) fn key(text: &str) -> String {
    text.chars().map(titlecase).nfkd().take(MAX_KEY_CHARS).collect()
}

/// The simple title case of a character. The standard library has the upper case, which is the same but for a few, and
/// may be several characters where the simple one is none.
fn titlecase(char: char) -> char {
    match char {
        // Two letters in one, of which the first only becomes a capital.
        '\u{1C4}'..='\u{1C6}' => '\u{1C5}',
        '\u{1C7}'..='\u{1C9}' => '\u{1C8}',
        '\u{1CA}'..='\u{1CC}' => '\u{1CB}',
        '\u{1F1}'..='\u{1F3}' => '\u{1F2}',
        // Georgian has capitals, but not to begin a word with.
        '\u{10D0}'..='\u{10FA}' | '\u{10FD}'..='\u{10FF}' => char,
        // Greek with an iota below, which becomes a letter of its own in upper case but not in title case.
        '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => {
            char::from_u32(u32::from(char) + 8).unwrap_or(char)
        }
        '\u{1FB3}' => '\u{1FBC}',
        '\u{1FC3}' => '\u{1FCC}',
        '\u{1FF3}' => '\u{1FFC}',
        _ => {
            let mut upper = char.to_uppercase();
            upper.next().filter(|_| upper.next().is_none()).unwrap_or(char)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn same(texts: &[&str]) {
        for text in texts {
            assert_eq!(key(text), key(texts[0]), "{text}");
        }
    }

    #[test]
    fn the_example_of_rfc_5051() {
        for text in ["\u{1C4}", "\u{1C5}", "\u{1C6}"] {
            assert_eq!(key(text), "Dz\u{30C}");
        }
    }

    #[test]
    fn case_and_composition_make_no_difference() {
        same(&["hello", "HELLO", "hEllO"]);
        same(&["äÖü", "ÄÖÜ", "a\u{308}o\u{308}u\u{308}", "A\u{308}O\u{308}U\u{308}"]);
        same(&["ΣΊΣΥΦΟΣ", "σίσυφος", "σίσυφοσ"]);
        same(&["привет", "ПРИВЕТ"]);
        same(&["ᾳ", "ᾼ"]);
        same(&["ᾀ", "ᾈ"]);
        // By compatibility: full width, Hangul, a stroke of letters.
        same(&["Ａｂ１", "ab1"]);
        same(&["한", "\u{1112}\u{1161}\u{11AB}"]);
        // Marks in another order.
        same(&["a\u{323}\u{302}", "a\u{302}\u{323}", "ậ"]);
    }

    #[test]
    fn the_mapping_is_the_simple_one() {
        assert_eq!(key("ß"), "ß");
        assert_eq!(key("ﬁ"), "fi");
        assert_ne!(key("ﬁ"), key("FI"));
        assert_eq!(key("ა"), "ა");
        assert_eq!(key("ŉ"), "ʼn");
        assert_eq!(key("ᾳ"), "Α\u{345}");
    }

    #[test]
    fn the_order_is_that_of_the_bytes() {
        let mut texts = [
            "zebra",
            "Äpfel",
            "apfel",
            "Apfelsine",
            "",
            "Zoo",
            "[x]",
            "été",
            "eta",
            "字",
            "\u{10000}",
            "\u{FFFD}",
        ];
        texts.sort_by_key(|text| key(text));
        let order = [
            "",
            "apfel",
            "Apfelsine",
            "Äpfel",
            "eta",
            "été",
            "zebra",
            "Zoo",
            "[x]",
            "字",
            "\u{FFFD}",
            "\u{10000}",
        ];
        assert_eq!(texts, order);
    }

    #[test]
    fn one_character_becomes_one() {
        for char in '\0'..=char::MAX {
            let title = titlecase(char);
            assert_eq!(titlecase(title), title, "{char:?}");
        }
    }

    proptest! {
        #[test]
        fn ascii_is_compared_as_ascii(one in "[ -~]{0,8}", other in "[ -~]{0,8}") {
            prop_assert_eq!(key(&one).cmp(&key(&other)), one.to_ascii_uppercase().cmp(&other.to_ascii_uppercase()));
        }
    }
}
