//! The `From ` line of an mbox: who, and in some spelling of asctime when.

use chrono::{DateTime, FixedOffset, NaiveDate, TimeZone as _, Utc};

/// What a `From ` line says about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FromDate {
    /// Nothing that looks like a date.
    None,
    /// A time and a year stand there, in a spelling we do not read.
    Unread,
    /// An instant; UTC when the line names no zone.
    At(DateTime<Utc>),
}

impl FromDate {
    pub(super) fn is_dated(self) -> bool {
        self != Self::None
    }

    pub(super) fn instant(self) -> Option<DateTime<Utc>> {
        match self {
            Self::At(at) => Some(at),
            Self::None | Self::Unread => None,
        }
    }
}

/// Reads `From sender Thu Nov 20 14:03:07 2025`, with the zone before or after the year, or the day before the
/// month (RFC 5322 order), as mail programs write it.
pub(super) fn date(line: &[u8]) -> FromDate {
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split([' ', '\t', '\r', '\n', ',']).filter(|word| !word.is_empty()).collect();
    // A body's line is prose; only what stands where a date stands counts: the time, and what is near it.
    let Some(at) = words.iter().rposition(|word| time(word).is_some()) else { return FromDate::None };
    let near = &words[at.saturating_sub(4)..(at + 4).min(words.len())];
    let month = near.iter().find_map(|word| month(word));
    let (Some((hour, minute, second)), Some(month), Some(year)) =
        (time(words[at]), month, near.iter().find_map(|word| year(word)))
    else {
        return FromDate::None;
    };
    let day = near.iter().filter(|word| word.len() <= 2).find_map(|word| word.parse().ok());
    let local = day
        .and_then(|day| NaiveDate::from_ymd_opt(year, month, day))
        .and_then(|date| date.and_hms_opt(hour, minute, second.min(59)));
    let zone = near.iter().find_map(|word| zone(word)).or_else(|| FixedOffset::east_opt(0));
    match (local, zone) {
        (Some(local), Some(zone)) => zone
            .from_local_datetime(&local)
            .single()
            .map_or(FromDate::Unread, |at| FromDate::At(at.with_timezone(&Utc))),
        _ => FromDate::Unread,
    }
}

fn time(word: &str) -> Option<(u32, u32, u32)> {
    let mut parts = word.split(':').map(|part| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<u32>().ok() } else { None }
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    (parts.next().is_none() && hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second))
}

fn month(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let word = word.to_ascii_lowercase();
    (1..).zip(MONTHS).find(|(_, month)| *month == word).map(|(number, _)| number)
}

fn year(word: &str) -> Option<i32> {
    (word.len() == 4).then(|| word.parse().ok()).flatten().filter(|year| *year >= 1970)
}

fn zone(word: &str) -> Option<FixedOffset> {
    let (sign, digits) = match word.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = digits.split_at_checked(2)?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    FixedOffset::east_opt(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> String {
        match date(line.as_bytes()) {
            FromDate::At(at) => at.format("%FT%TZ").to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn reads_the_spellings_that_programs_write() {
        for line in [
            "From ada@example.org Thu Nov 20 14:03:07 2025\n",
            "From - Thu Nov 20 14:03:07 2025\r\n",
            "From ada@example.org  Thu Nov 20 15:03:07 2025 +0100",
            "From ada@example.org Thu Nov 20 14:03:07 UTC 2025",
            "From ada@example.org Thu, 20 Nov 2025 12:03:07 -0200",
            "From \"a b\"@example.org Thu Nov 20 14:03:07 +0000 2025",
        ] {
            assert_eq!(read(line), "2025-11-20T14:03:07Z", "{line}");
        }
        assert_eq!(read("From ada Sat Jan  3 01:05 1996"), "1996-01-03T01:05:00Z");
        // As far as dates of messages go.
        assert_eq!(read("From ada Fri Dec 31 23:59:59 9999"), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn prose_is_no_date_and_a_bad_one_is_unread() {
        for line in
            ["From now on", "From 10:30 to 2025 people", "From May to June 2025", "From \u{fffd}:::", "From "]
        {
            assert_eq!(date(line.as_bytes()), FromDate::None, "{line}");
        }
        assert_eq!(date(b"From a Thu Feb 31 14:03:07 2025"), FromDate::Unread);
    }
}
