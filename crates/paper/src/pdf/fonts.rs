//! The fonts of the crate, read once.

use std::sync::OnceLock;

use typst::foundations::Bytes;
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;

/// Noto Sans, in regular and bold where a heading is likely, by script. Of Noto Sans CJK a part: kana, hangul and the
/// Han characters of Unicode's first block, in the forms of China, Taiwan, Hong Kong, Japan and Korea.
static FILES: [&[u8]; 26] = [
    include_bytes!("../../fonts/NotoSans-Regular.ttf"),
    include_bytes!("../../fonts/NotoSans-Bold.ttf"),
    include_bytes!("../../fonts/NotoSansArabic-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansArabic-Bold.ttf"),
    include_bytes!("../../fonts/NotoSansHebrew-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansHebrew-Bold.ttf"),
    include_bytes!("../../fonts/NotoSansDevanagari-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansDevanagari-Bold.ttf"),
    include_bytes!("../../fonts/NotoSansThai-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansThai-Bold.ttf"),
    include_bytes!("../../fonts/NotoSansCJKsc-Regular.otf"),
    include_bytes!("../../fonts/NotoSansArmenian-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansGeorgian-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansEthiopic-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansBengali-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansGujarati-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansGurmukhi-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansKannada-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansMalayalam-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansTamil-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansTelugu-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansSinhala-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansOriya-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansKhmer-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansLao-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansMyanmar-Regular.ttf"),
];

/// The fonts and Typst's index of them.
pub(super) struct Fonts {
    pub(super) fonts: Vec<Font>,
    pub(super) book: LazyHash<FontBook>,
}

/// The fonts, parsed at the first call and kept.
pub(super) fn fonts() -> &'static Fonts {
    static FONTS: OnceLock<Fonts> = OnceLock::new();
    FONTS.get_or_init(|| {
        let fonts: Vec<Font> = FILES.iter().filter_map(|file| Font::new(Bytes::new(*file), 0)).collect();
        let book = LazyHash::new(FontBook::from_fonts(&fonts));
        Fonts { fonts, book }
    })
}

/// How many characters may stand together before a line may end between them.
const LONGEST_WORD: usize = 22;

/// A text in characters that the fonts have: for any other stands U+FFFD. A long word may be broken.
pub(super) fn shown(text: &str) -> String {
    let has = |c: char| fonts().fonts.iter().any(|font| font.info().coverage.contains(c as u32));
    let mut shown = String::with_capacity(text.len());
    let mut unbroken = 0;
    for c in text.chars() {
        unbroken = if c.is_whitespace() { 0 } else { unbroken + 1 };
        // A word that is wider than its column would run over what stands beside it.
        if unbroken > LONGEST_WORD && c.is_ascii_alphanumeric() {
            shown.push('\u{200b}');
            unbroken = 1;
        }
        shown.push(if c.is_whitespace() || has(c) { c } else { char::REPLACEMENT_CHARACTER });
    }
    shown
}

#[cfg(test)]
mod tests {
    use typst::layout::Abs;
    use typst::text::{FontVariant, FontVariations};

    use super::*;

    #[test]
    fn every_file_is_a_font_and_one_has_the_replacement() {
        assert_eq!(fonts().fonts.len(), FILES.len());
        assert_eq!(shown("a\u{e000}\u{1f600}\u{fffd} б"), "a\u{fffd}\u{fffd}\u{fffd} б");
        assert!(fonts().fonts[0].info().coverage.contains(0xfffd));
    }

    /// Typst's reader of fonts does not find glyphs above 32767 by a `cmap` of format 4, though it counts them as covered.
    #[test]
    fn what_is_covered_has_a_glyph() {
        for font in &fonts().fonts {
            let face =
                font.clone().instantiate(FontVariant::default(), Abs::pt(9.0), &FontVariations::default());
            let lost = font
                .info()
                .coverage
                .iter()
                .filter_map(char::from_u32)
                .filter(|&c| face.ttf().glyph_index(c).is_none());
            assert_eq!(lost.count(), 0, "{}", font.info().family);
        }
    }

    #[test]
    fn all_of_the_scripts_promised_are_there() {
        for sample in [
            "Größe Øre Łódź Țară Việt €£¥",
            "Ελληνικά",
            "Кириллица",
            "العربية پارسی",
            "עברית",
            "हिन्दी",
            "ไทย",
            "简体中文",
            "繁體中文",
            "日本語ひらがなカタカナ",
            "한국어",
            "Հայերեն",
            "ქართული",
            "አማርኛ",
            "বাংলা",
            "ગુજરાતી",
            "ਪੰਜਾਬੀ",
            "ಕನ್ನಡ",
            "മലയാളം",
            "தமிழ்",
            "తెలుగు",
            "සිංහල",
            "ଓଡ଼ିଆ",
            "ខ្មែរ",
            "ລາວ",
            "မြန်မာ",
        ] {
            assert_eq!(shown(sample), sample);
        }
    }
}
