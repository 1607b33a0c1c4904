//! Stored bytes over a cycle, beyond what the seats have pooled, in arrears.
//!
//! Load is integrated over the seconds between the instants at which the local days begin. So is the allowance: a day
//! on which clocks turn has 23 or 25 hours of both, a constant load over a cycle is that load, whatever clocks did
//! meanwhile (I18), and a load equal to the allowance at all times is no overage. A seat counts for its whole local
//! day, as it is charged.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use num_traits::CheckedDiv as _;

use super::RatingError;
use super::calendar::{Cycle, Span, local_day};
use super::price::Share;
use super::quantity::Step;

/// The bytes of one GiB, the unit that is priced.
const GIB: i128 = 1 << 30;

/// How many byte-seconds a series of samples makes from one instant up to another.
///
/// `samples` are in order of time; a level holds until the next sample, of two at one instant the later counts, and
/// before the first nothing is stored. Fractions of a second are cut off each instant.
/// [`RatingError::NegativeQuantity`] for a level below 0.
pub fn byte_seconds(
    samples: &[Step],
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<i128, RatingError> {
    let (mut sum, mut level, mut at) = (0_i128, 0_i64, from.timestamp());
    for sample in samples {
        if sample.level < 0 {
            return Err(RatingError::NegativeQuantity);
        }
        let next = sample.at.timestamp().clamp(at, until.timestamp().max(at));
        sum += i128::from(level) * i128::from(next - at);
        (level, at) = (sample.level, next);
    }
    Ok(sum + i128::from(level) * i128::from((until.timestamp() - at).max(0)))
}

/// The GiB that were stored beyond the allowance, averaged over the whole cycle: what a price per GiB and cycle is
/// multiplied by. A stub counts as the part of the cycle that it is.
///
/// `seats` has the seats that were charged for each day of `cycle.charged`; each of them pools `bytes_per_seat`. The
/// allowance is pooled over the cycle too: what is below it on one day makes up for what is above on another.
pub fn overage_gib(
    cycle: &Cycle,
    zone: Tz,
    samples: &[Step],
    seats: &[(NaiveDate, i64)],
    bytes_per_seat: i64,
) -> Result<Share, RatingError> {
    let seconds =
        |days: Span| (start_of_day(days.end(), zone) - start_of_day(days.start(), zone)).num_seconds().into();
    let charged = cycle.charged;
    let stored =
        byte_seconds(samples, start_of_day(charged.start(), zone), start_of_day(charged.end(), zone))?;
    let mut allowed = 0_i128;
    for (day, seats) in seats.iter().filter(|(day, _)| charged.contains(*day)) {
        let day = day.succ_opt().and_then(|next| Span::new(*day, next)).ok_or(RatingError::DateRange)?;
        let bytes = i128::from(*seats) * i128::from(bytes_per_seat);
        let here = bytes.checked_mul(seconds(day)).and_then(|here| allowed.checked_add(here));
        allowed = here.ok_or(RatingError::AmountRange)?;
    }
    let beyond = Share::from((stored - allowed).max(0));
    let whole: i128 = seconds(cycle.whole);
    beyond.checked_div(&Share::from(whole * GIB)).ok_or(RatingError::DateRange)
}

/// The first instant of a local day: midnight, or when clocks skip that, the instant at which they do. A day that the
/// calendar of a zone leaves out begins with the day after it, and has no length.
fn start_of_day(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    // No zone is further from UTC, on either side of the date line.
    let furthest = TimeDelta::hours(27);
    let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
    let (mut before, mut found) = (midnight - furthest, midnight + furthest);
    while found - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((found - before).num_seconds() / 2);
        if local_day(middle, zone) < day {
            before = middle;
        } else {
            found = middle;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn cycle(start: &str, end: &str) -> Cycle {
        let whole = Span::new(date(start), date(end)).unwrap();
        Cycle { charged: whole, whole }
    }

    #[test]
    fn the_last_level_holds_until_the_next_sample() {
        let step = |at, level| Step { at: instant(at), level };
        let samples = [
            step("2026-01-01T00:00:10Z", 5),
            step("2026-01-01T00:00:20.9Z", 7),
            step("2026-01-01T00:00:20.9Z", 2),
            step("2026-01-01T00:01:00Z", 100),
        ];
        let of = |from, until| byte_seconds(&samples, instant(from), instant(until));
        assert_eq!(of("2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z"), Ok(70));
        assert_eq!(of("2026-01-01T00:00:15Z", "2026-01-01T00:00:18Z"), Ok(15));
        assert_eq!(of("2026-01-01T00:01:10Z", "2026-01-01T00:01:12Z"), Ok(200));
        assert_eq!(of("2026-01-01T00:01:12Z", "2026-01-01T00:01:10Z"), Ok(0));
        assert_eq!(
            byte_seconds(
                &[step("2026-01-01T00:00:10Z", -1)],
                instant("2026-01-01T00:00:00Z"),
                instant("2026-01-02T00:00:00Z")
            ),
            Err(RatingError::NegativeQuantity)
        );
    }

    #[test]
    fn days_begin_when_the_local_calendar_says() {
        let begins = |day, zone| start_of_day(date(day), zone);
        assert_eq!(begins("2026-03-29", Tz::Europe__Berlin), instant("2026-03-28T23:00:00Z"));
        assert_eq!(begins("2026-03-30", Tz::Europe__Berlin), instant("2026-03-29T22:00:00Z"));
        // Midnight is skipped.
        assert_eq!(begins("2024-03-31", Tz::Asia__Beirut), instant("2024-03-30T22:00:00Z"));
        // So is the whole day.
        assert_eq!(begins("2011-12-30", Tz::Pacific__Apia), begins("2011-12-31", Tz::Pacific__Apia));
        assert_eq!(
            begins("1993-08-21", Tz::Pacific__Kwajalein),
            begins("1993-08-22", Tz::Pacific__Kwajalein)
        );
    }

    #[test]
    fn seats_pool_what_they_may_store() {
        let stored = [Step { at: instant("2026-01-01T00:00:00Z"), level: 30 << 30 }];
        let april = cycle("2026-04-01", "2026-05-01");
        let seats: Vec<(NaiveDate, i64)> =
            april.whole.each_day().map(|day| (day, if day < date("2026-04-16") { 1 } else { 3 })).collect();
        let overage = |bytes_per_seat| overage_gib(&april, Tz::UTC, &stored, &seats, bytes_per_seat);
        assert_eq!(overage(10 << 30), Ok(Share::from(10)));
        assert_eq!(overage(15 << 30), Ok(Share::from(0)));
        assert_eq!(overage(16 << 30), Ok(Share::from(0)));
    }
}
