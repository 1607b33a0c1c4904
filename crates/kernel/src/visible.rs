//! Which characters can be seen.

/// Characters that show nothing although they are neither white space nor control characters: those of Unicode's `Default_Ignorable_Code_Point`,
/// the marks of interlinear annotations, and the empty braille pattern.
const SHOW_NOTHING: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether there is anything to see in a text.
pub fn is_visible(text: &str) -> bool {
    let shows_nothing = |c: char| SHOW_NOTHING.iter().any(|&(first, last)| (first..=last).contains(&c));
    text.chars().any(|c| !c.is_whitespace() && !c.is_control() && !shows_nothing(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_what_shows_nothing_are_not_seen() {
        let unseen = [
            "",
            "   ",
            "\u{a0}\u{2003}\u{3000}",
            "\u{200b}",
            " \u{ad}\u{feff}",
            "\u{202e}\u{2069}",
            "\u{3164}",
            "\u{e0041}",
            "\u{7}\u{9b}",
            "\u{2800}",
            "\u{fe0f}\u{200d}",
        ];
        for text in unseen {
            assert!(!is_visible(text), "{text:?}");
        }
        for text in ["a", " .", "\u{200f}א", "👩\u{200d}🚀", "\u{301}", "\u{6dd}", "ㅤx"] {
            assert!(is_visible(text), "{text:?}");
        }
    }
}
