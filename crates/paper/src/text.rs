//! What a stranger's text is reduced to, and how dates and numbers are said in English.

use chrono::{Datelike, Days, NaiveDate};
use kernel::Currency;

use crate::model::Period;
use crate::{Decimal, decimal};

/// A stranger's text as one line: control characters, bidirectional controls and what XML cannot hold are left out,
/// and runs of white space become one space.
pub(crate) fn clean(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter_map(|c| match c {
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
            c if dropped(c) => None,
            c => Some(c),
        })
        .collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Controls (Cc), the bidirectional controls of UAX #9, the byte order mark, interlinear annotations, language tags
/// and noncharacters.
fn dropped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fdd0}'..='\u{fdef}' | '\u{e0000}'..='\u{e007f}')
        || (c as u32) & 0xfffe == 0xfffe
}

/// The language of a text so far as its script tells, as BCP 47: `en` for what is Latin, Greek or Cyrillic. Han
/// characters alone are read as the language of the country they are from.
pub(crate) fn language(text: &str, country: &str) -> &'static str {
    let has = |range: fn(char) -> bool| text.chars().any(range);
    let han = || match country {
        "JP" => "ja",
        "KR" => "ko",
        "TW" => "zh-TW",
        "HK" | "MO" => "zh-HK",
        _ => "zh-CN",
    };
    if has(|c| matches!(c, '\u{3040}'..='\u{30ff}')) {
        "ja"
    } else if has(|c| matches!(c, '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7a3}')) {
        "ko"
    } else if has(
        |c| matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}'),
    ) {
        han()
    } else if has(|c| matches!(c, '\u{590}'..='\u{5ff}')) {
        "he"
    } else if has(|c| matches!(c, '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}')) {
        "ar"
    } else if has(|c| matches!(c, '\u{900}'..='\u{97f}')) {
        "hi"
    } else if has(|c| matches!(c, '\u{e00}'..='\u{e7f}')) {
        "th"
    } else {
        "en"
    }
}

/// Whether a text's first letter is of a script that is written from right to left.
pub(crate) fn right_to_left(text: &str) -> bool {
    text.chars().find(|c| c.is_alphabetic()).is_some_and(|c| {
        matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}')
    })
}

/// `31 January 2026`.
pub(crate) fn day(date: NaiveDate) -> String {
    date.format("%-d %B %Y").to_string()
}

/// `31 Jan 2026`, for a narrow column.
pub(crate) fn short_day(date: NaiveDate) -> String {
    date.format("%-d %b %Y").to_string()
}

/// A span of days in words, with its last day and not the day after: `1 to 31 January 2026`.
pub(crate) fn period(period: Period) -> String {
    let (first, last) = (period.from, last_day(period));
    if first >= last {
        return day(first);
    }
    let from = match (first.year() == last.year(), first.month() == last.month()) {
        (true, true) => first.format("%-d").to_string(),
        (true, false) => first.format("%-d %B").to_string(),
        (false, _) => day(first),
    };
    format!("{from} to {}", day(last))
}

/// The last day within a span.
pub(crate) fn last_day(period: Period) -> NaiveDate {
    period.until.checked_sub_days(Days::new(1)).unwrap_or(period.until).max(period.from)
}

/// An amount with the currency's own digits and thousands parted, without its code: `1,234.50`, `−5`.
pub(crate) fn amount(minor: i128, currency: Currency) -> String {
    let digits = currency.exponent() as usize;
    let unit = 10_u128.pow(currency.exponent());
    let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    let sign = if minor < 0 { "−" } else { "" };
    match digits {
        0 => format!("{sign}{}", thousands(&whole.to_string())),
        _ => format!("{sign}{}.{rest:0digits$}", thousands(&whole.to_string())),
    }
}

/// A decimal with thousands parted, and at least `places` digits after the point.
pub(crate) fn number(value: Decimal, places: u32) -> String {
    let text = value.abs().to_string();
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let sign = if value.units() < 0 { "−" } else { "" };
    let rest = format!("{rest:0<width$}", width = (places as usize).min(decimal::ONE.ilog10() as usize));
    if rest.is_empty() {
        format!("{sign}{}", thousands(whole))
    } else {
        format!("{sign}{}.{rest}", thousands(whole))
    }
}

fn thousands(digits: &str) -> String {
    let mut parted = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            parted.push(',');
        }
        parted.push(digit);
    }
    parted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_text_is_one_line_without_controls() {
        assert_eq!(clean("  a\u{202e}b\r\n\tc\u{0}\u{7f}\u{2066}\u{feff}d \u{fffe}"), "ab cd");
        assert_eq!(clean("شركة 株式会社 <b>"), "شركة 株式会社 <b>");
    }

    #[test]
    fn periods_are_said_with_their_last_day() {
        let said = |from, until| period(Period { from: date(from), until: date(until) });
        assert_eq!(said("2026-01-01", "2026-02-01"), "1 to 31 January 2026");
        assert_eq!(said("2026-01-15", "2026-02-15"), "15 January to 14 February 2026");
        assert_eq!(said("2025-12-15", "2026-01-15"), "15 December 2025 to 14 January 2026");
        assert_eq!(said("2026-01-15", "2026-01-16"), "15 January 2026");
        assert_eq!(said("2026-01-15", "2026-01-15"), "15 January 2026");
    }

    #[test]
    fn amounts_have_their_currency_s_digits() {
        let show = |minor, code: &str| amount(minor, code.parse().unwrap());
        assert_eq!(show(123_456_789, "EUR"), "1,234,567.89");
        assert_eq!(show(-5, "EUR"), "−0.05");
        assert_eq!(show(123_456, "JPY"), "123,456");
        assert_eq!(show(1_234_567, "KWD"), "1,234.567");
        assert_eq!(show(i128::from(i64::MIN), "EUR"), "−92,233,720,368,547,758.08");
    }

    #[test]
    fn numbers_have_as_many_places_as_asked_or_needed() {
        let show = |text: &str, places| number(text.parse().unwrap(), places);
        assert_eq!(show("1234.5", 2), "1,234.50");
        assert_eq!(show("0.00012", 2), "0.00012");
        assert_eq!(show("-1000", 0), "−1,000");
    }

    #[test]
    fn scripts_tell_languages_and_directions() {
        assert_eq!(language("株式会社", "JP"), "ja");
        assert_eq!(language("有限公司", "TW"), "zh-TW");
        assert_eq!(language("カブシキ", "DE"), "ja");
        assert_eq!(language("주식회사", "KR"), "ko");
        assert_eq!(language("Müller", "DE"), "en");
        assert_eq!(language("חברה", "IL"), "he");
        assert!(right_to_left("1. شركة") && !right_to_left("Acme شركة") && !right_to_left("1"));
    }
}
