//! Where cycles are counted from.

use billing::rating::Interval;
use chrono::{Datelike as _, Days, Months, NaiveDate, Weekday};

use crate::case::Case;

/// What cycles are counted from where a case does not say it.
pub(crate) enum Unsaid {
    /// The first day.
    Start,
    /// The calendar's months, weeks and years.
    Calendar,
}

/// The anchor of what starts on a day: given, or a day of the month or week, or the calendar.
pub(crate) fn of(
    case: &Case,
    start: NaiveDate,
    interval: Interval,
    unsaid: Unsaid,
) -> Result<NaiveDate, String> {
    if case.has("anchor") {
        return case.date("anchor");
    }
    if case.has("anchor_day") {
        return on_day(start, &case.anchor_day()?, interval);
    }
    match unsaid {
        _ if case.says("anniversary") => Ok(start),
        Unsaid::Start if !case.says("calendar") => Ok(start),
        Unsaid::Start | Unsaid::Calendar => calendar(start, interval),
    }
}

/// A date on such a day in the start's month, whole intervals before where that is too short, or clamped where all
/// are; or the last such day of the week.
pub(crate) fn on_day(start: NaiveDate, day: &str, interval: Interval) -> Result<NaiveDate, String> {
    let nobody = || format!("no cycle begins on {day}");
    let digits = day.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number = digits.parse::<u32>().ok();
    match interval {
        Interval::Months(months) => {
            let is_last = matches!(day, "last" | "eom" | "end of month");
            let number = if is_last { Some(31) } else { number };
            let number = number.filter(|number| (1..=31).contains(number)).ok_or_else(nobody)?;
            let first = start.with_day(1).ok_or_else(nobody)?;
            let mut before = (0_u32..12).filter_map(|n| n.checked_mul(months)).map(Months::new);
            let found = before.find_map(|before| first.checked_sub_months(before)?.with_day(number));
            Ok(found.unwrap_or_else(|| last_of_month(first)))
        }
        Interval::Days(days) if days % 7 == 0 => {
            let numbered =
                number.and_then(|number| Weekday::try_from(u8::try_from(number).ok()?.checked_sub(1)?).ok());
            on_weekday(start, numbered.or_else(|| day.parse().ok()).ok_or_else(nobody)?)
        }
        Interval::Days(_) => Err("an anchor day needs an interval of months or weeks".into()),
    }
}

fn last_of_month(first: NaiveDate) -> NaiveDate {
    first.with_day(u32::from(first.num_days_in_month())).unwrap_or(first)
}

fn on_weekday(start: NaiveDate, weekday: Weekday) -> Result<NaiveDate, String> {
    let after = start.weekday().days_since(weekday);
    start.checked_sub_days(Days::new(after.into())).ok_or_else(|| "a date is out of range".into())
}

/// The first day of the calendar's interval that has a day.
pub(crate) fn calendar(day: NaiveDate, interval: Interval) -> Result<NaiveDate, String> {
    match interval {
        Interval::Months(months) if months > 0 && 12 % months == 0 => {
            let first = day.with_day(1).and_then(|first| first.with_month0(day.month0() / months * months));
            first.ok_or_else(|| "a date is out of range".into())
        }
        Interval::Days(7) => on_weekday(day, Weekday::Mon),
        Interval::Months(_) | Interval::Days(_) => Err("the calendar has no such interval".into()),
    }
}
