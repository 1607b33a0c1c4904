//! Dates, periods and intervals as other systems write them.

use billing::rating::{Interval, Span};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use serde_json::Value;

/// A date or an instant as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) local: NaiveDateTime,
    /// From UTC; `None` if it is told in local time.
    pub(crate) offset: Option<FixedOffset>,
}

/// Integers from here on are seconds since 1970.
const LEAST_UNIX: i64 = 100_000_000;
/// Of a day: 23:59:59.
const LAST_SECOND: u32 = 24 * 60 * 60 - 1;

impl Moment {
    /// `2023-03-05`, `2023-03-05T00:00Z`, `2017-03-01T23:30:00-08:00`, `2017-03-01T23:30 PST`, or seconds since 1970.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        if let Some(seconds) = value.as_i64().filter(|seconds| *seconds >= LEAST_UNIX) {
            let local = DateTime::from_timestamp(seconds, 0)?.naive_utc();
            return Some(Self { local, offset: FixedOffset::east_opt(0) });
        }
        let (date, rest) = without_remark(value.as_str()?).split_at_checked(10)?;
        let date: NaiveDate = date.parse().ok()?;
        let rest = rest.trim_start_matches(['T', ' ']);
        let (time, offset) = rest.split_at(rest.find(['Z', '+', '-', ' ']).unwrap_or(rest.len()));
        let offset = match offset.trim() {
            "Z" | "UTC" | "GMT" => FixedOffset::east_opt(0),
            // Such as PST, which goes without saying for who is there.
            name if name.bytes().all(|b| b.is_ascii_uppercase()) => None,
            named => Some(named.parse().ok()?),
        };
        let time = match time {
            "" => NaiveTime::MIN,
            _ => NaiveTime::parse_from_str(time, "%H:%M:%S%.f")
                .or_else(|_| NaiveTime::parse_from_str(time, "%H:%M"))
                .ok()?,
        };
        Some(Self { local: date.and_time(time), offset })
    }

    /// Whether it is not the beginning of a day, and not its last second either.
    pub(crate) fn has_time_of_day(self) -> bool {
        let seconds = self.local.num_seconds_from_midnight();
        seconds != 0 && seconds != LAST_SECOND
    }

    /// An instant; what is told in local time is taken for UTC.
    pub(crate) fn instant(self) -> Option<DateTime<Utc>> {
        let offset = self.offset.map_or(0, |offset| offset.local_minus_utc());
        Some(self.local.checked_sub_signed(TimeDelta::seconds(offset.into()))?.and_utc())
    }
}

/// How the dates of a case are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dates {
    /// Whose calendar they are of; `None` if they are of that in which they are written.
    pub(crate) zone: Option<Tz>,
    /// Whether periods name their last day instead of the day after it.
    pub(crate) ends_are_inclusive: bool,
}

impl Dates {
    /// On the wall clock of the zone, or as it is written.
    pub(crate) fn local(self, moment: Moment) -> Option<NaiveDateTime> {
        match (self.zone, moment.offset) {
            (Some(zone), Some(_)) => Some(moment.instant()?.with_timezone(&zone).naive_local()),
            _ => Some(moment.local),
        }
    }

    pub(crate) fn day(self, value: &Value) -> Option<NaiveDate> {
        self.local(Moment::of(value)?).map(|local| local.date())
    }

    /// The day after the last, of a value that ends a period.
    pub(crate) fn end(self, value: &Value) -> Option<NaiveDate> {
        let local = self.local(Moment::of(value)?)?;
        let is_marked = || value.as_str().is_some_and(|text| text.contains("inclusive"));
        let is_last = match local.num_seconds_from_midnight() {
            0 => self.ends_are_inclusive || is_marked(),
            seconds => seconds == LAST_SECOND,
        };
        if is_last { local.date().succ_opt() } else { Some(local.date()) }
    }

    /// A pair, or an object with a start and an end.
    pub(crate) fn span(self, value: &Value) -> Option<Span> {
        let [start, end] = ends_of(value)?;
        Span::new(self.day(start)?, self.end(end)?)
    }
}

/// The two values that a period has.
pub(crate) fn ends_of(value: &Value) -> Option<[&Value; 2]> {
    match value {
        Value::Array(pair) => <&[Value; 2]>::try_from(pair.as_slice()).ok().map(|[start, end]| [start, end]),
        Value::Object(fields) => Some([fields.get("start")?, fields.get("end")?]),
        _ => None,
    }
}

/// Without what is said in brackets after it: `2022-03-14 (inclusive)`.
pub(crate) fn without_remark(text: &str) -> &str {
    let remark = text.strip_suffix(')').and_then(|_| text.split_once(" ("));
    remark.map_or(text, |(plain, _)| plain).trim()
}

/// The longest interval: cycles are counted by the day.
const MOST_MONTHS: u32 = 1200;

/// `month`, `3 months`, `yearly`, `calendar week, 2025-10-06`, `P1M`.
pub(crate) fn interval(text: &str) -> Option<Interval> {
    let text = text.to_lowercase();
    let text = text.split(',').next()?.trim();
    let text = text.strip_prefix("every ").unwrap_or(text);
    let text = text.strip_prefix("calendar ").unwrap_or(text);
    let iso = text.strip_prefix('p').and_then(|text| text.split_at_checked(text.len().checked_sub(1)?));
    let counted = iso.or_else(|| text.split_once([' ', '-'])).and_then(|(count, unit)| {
        let count: u32 = count.parse().ok()?;
        Some((count, unit))
    });
    let (count, unit) = counted.unwrap_or((1, text));
    let (days, months) = match unit {
        "d" | "day" | "days" | "daily" => (1, 0),
        "w" | "week" | "weeks" | "weekly" => (7, 0),
        "biweekly" | "fortnight" | "fortnights" | "fortnightly" => (14, 0),
        "m" | "month" | "months" | "monthly" => (0, 1),
        "quarter" | "quarters" | "quarterly" => (0, 3),
        "half-year" | "half-yearly" | "semiannual" | "semi-annual" | "semiannually" => (0, 6),
        "y" | "year" | "years" | "yearly" | "annual" | "annually" => (0, 12),
        _ => return None,
    };
    match months {
        0 => count.checked_mul(days).filter(|days| *days <= MOST_MONTHS * 31).map(Interval::Days),
        _ => count.checked_mul(months).filter(|months| *months <= MOST_MONTHS).map(Interval::Months),
    }
}
