//! Moments, only as far as filters order them: `meta.lastModified gt "2011-05-13T04:42:34Z"`.

/// A moment of RFC 3339 as seconds since 1970 and nanoseconds; `None` if it is not one.
pub(crate) fn moment(text: &str) -> Option<(i64, u32)> {
    let (date, time) = text.split_once(['T', 't'])?;
    let days = days_since_epoch(number(date, 0, 4)?, number(date, 5, 7)?, number(date, 8, 10)?);
    let well_formed = date.len() == 10 && date.get(4..5)? == "-" && date.get(7..8)? == "-";
    let clock = time.get(..8)?;
    if !well_formed || clock.get(2..3)? != ":" || clock.get(5..6)? != ":" {
        return None;
    }
    let seconds = number(clock, 0, 2)? * 3600 + number(clock, 3, 5)? * 60 + number(clock, 6, 8)?;
    let rest = time.get(8..)?;
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(fraction) => fraction_and_zone(fraction)?,
        None => (0, rest),
    };
    Some((days * 86_400 + seconds - offset_seconds(zone)?, nanos))
}

fn number(text: &str, from: usize, to: usize) -> Option<i64> {
    let digits = text.get(from..to)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn fraction_and_zone(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let digits = text.get(..end).filter(|digits| !digits.is_empty())?;
    // What is finer than a nanosecond is cut off.
    let nanos = format!("{digits:0<9}").get(..9)?.parse().ok()?;
    Some((nanos, text.get(end..)?))
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let colon = zone.len() == 6 && zone.get(3..4)? == ":";
    colon.then_some(sign * (number(zone, 1, 3)? * 3600 + number(zone, 4, 6)? * 60))
}

/// The proleptic Gregorian calendar, years from March so that the leap day is the last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_are_counted_from_1970() {
        assert_eq!(moment("1970-01-01T00:00:00Z"), Some((0, 0)));
        assert_eq!(moment("2000-03-01T00:00:00Z"), Some((951_868_800, 0)));
        assert_eq!(moment("2011-05-13T04:42:34.5Z"), Some((1_305_261_754, 500_000_000)));
        assert_eq!(moment("2011-05-13T06:42:34+02:00"), moment("2011-05-13T04:42:34Z"));
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in
            ["", "2011", "2011-05-13", "2011-05-13T04:42:34", "2011/05/13T04:42:34Z", "x011-05-13T04:42:34Z"]
        {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
