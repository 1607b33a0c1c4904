//! Stored bytes over a cycle, beyond what the seats have pooled, in arrears.
//!
//! Load is integrated over the seconds between the instants at which the local days begin. So is the allowance: a day
//! on which clocks turn has 23 or 25 hours of both, a constant load over a cycle is that load, whatever clocks did
//! meanwhile (I18), and a load equal to the allowance at all times is no overage. A seat counts for its whole local
//! day, as it is charged.

use chrono::{DateTime, LocalResult, NaiveDate, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use kernel::Currency;
use num_traits::CheckedDiv as _;

use super::RatingError;
use super::calendar::{Cycle, Span, local_day};
use super::discount::Rate;
use super::document::{CycleState, Line, LineKind, open};
use super::price::Share;
use super::quantity::Step;
use super::reconcile::{Billed, Charge};
use super::timeline::{Timeline, course_of};

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

/// What is stored beyond the allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overage {
    /// GiB, on average over the days that count.
    pub gib: Share,
    /// Which part of the whole cycle these days are: of what so many GiB cost for a whole one, it is charged.
    pub part: Share,
}

/// What was stored beyond the allowance on some days of a cycle.
///
/// `allowed` has the bytes that may be stored for nothing on each day that counts, in the order of the days. The allowance is
/// pooled over them: what is below it on one day makes up for what is above on another.
pub fn overage(
    whole: Span,
    zone: Tz,
    samples: &[Step],
    allowed: &[(NaiveDate, i128)],
) -> Result<Overage, RatingError> {
    let (mut stored, mut pooled, mut counted) = (0_i128, 0_i128, 0_i128);
    for days in allowed.chunk_by(|(one, _), (next, _)| one.succ_opt() == Some(*next)) {
        let (Some((first, _)), Some((last, _))) = (days.first(), days.last()) else { continue };
        let end = last.succ_opt().ok_or(RatingError::DateRange)?;
        let all = byte_seconds(samples, start_of_day(*first, zone), start_of_day(end, zone))?;
        stored = stored.checked_add(all).ok_or(RatingError::AmountRange)?;
        for (day, bytes) in days {
            let day = day.succ_opt().and_then(|next| Span::new(*day, next)).ok_or(RatingError::DateRange)?;
            let length = seconds(day, zone);
            let here = bytes.checked_mul(length).and_then(|here| pooled.checked_add(here));
            pooled = here.ok_or(RatingError::AmountRange)?;
            counted += length;
        }
    }
    // Days that a zone leaves out have no length.
    let gib = Share::from((stored - pooled).max(0)).checked_div(&Share::from(counted * GIB));
    let part = Share::from(counted).checked_div(&Share::from(seconds(whole, zone)));
    Ok(Overage { gib: gib.unwrap_or_default(), part: part.ok_or(RatingError::DateRange)? })
}

/// Bills what was stored in every cycle that is over by `boundary`, less what was billed of it; the cycles are brought up to date
/// as [`document()`](super::document()) does, and called again it adds nothing. Each line comes with the GiB that it is for.
///
/// Those that were over by `settled` were billed then, or owed nothing, and are left alone: seats and bytes of days that are over do
/// not change, and so nobody need keep the samples of years at hand.
///
/// `allowance` says how many bytes may be stored for nothing on a day. A cycle is charged at the rate of the last of its days
/// that count: those that are charged, and on which the account is not paused; and as tiers and amounts off are of whole
/// cycles, at the part of what the average costs that these days are. The lines of a cycle count whole GiB, to the
/// nearest, and cost what the exact ones do.
pub fn storage(
    timeline: &Timeline,
    (boundary, zone): (NaiveDate, Tz),
    settled: Option<NaiveDate>,
    cycles: &mut Vec<CycleState>,
    samples: &[Step],
    allowance: &dyn Fn(NaiveDate) -> i128,
) -> Result<Vec<(Line, Share)>, RatingError> {
    let courses = timeline.courses()?;
    open(timeline, &courses, boundary, zone, cycles)?;
    let mut lines = Vec::new();
    for state in cycles.iter_mut().rev() {
        let mut counted = Vec::new();
        let mut rate = state.billed.last().map(|line| line.rate.clone());
        let course = course_of(&courses, &state.cycle);
        if let Some(course) = course {
            state.cycle = course.cycle_at(state.cycle.charged.start())?;
        }
        let end = state.cycle.charged.end();
        if settled.is_some_and(|settled| end <= settled) {
            continue;
        }
        if let Some(course) = course {
            if boundary < end {
                continue;
            }
            for day in state.cycle.charged.each_day().filter(|day| !timeline.is_paused(course, *day)) {
                let Some(terms) = course.terms_on(day) else { continue };
                counted.push(day);
                rate = Some(timeline.rate_on(day, terms));
            }
        }
        let Some(rate) = rate else { continue };
        let allowed: Vec<_> = counted.into_iter().map(|day| (day, allowance(day))).collect();
        let overage = overage(state.cycle.whole, state.zone, samples, &allowed)?;
        lines.extend(bill(state, &rate, overage, timeline.currency())?.map(|line| (line, overage.gib)));
    }
    Ok(lines)
}

/// From which instant on samples matter to [`storage()`] of an account with these cycles, by their calendars: since the oldest of
/// those that may still be charged after `settled` began, or since that day, on which others may open in the calendar of `zone`.
pub fn sampled_from(
    cycles: impl Iterator<Item = (Cycle, Tz)>,
    settled: NaiveDate,
    zone: Tz,
) -> DateTime<Utc> {
    // One that was cut may be extended again.
    let open = cycles.filter(|(cycle, _)| settled < cycle.whole.end());
    open.map(|(cycle, zone)| start_of_day(cycle.charged.start(), zone))
        .fold(start_of_day(settled, zone), DateTime::min)
}

/// What of a cycle is left to be billed, or to be taken back.
fn bill(
    state: &mut CycleState,
    rate: &Rate,
    Overage { gib, part }: Overage,
    currency: Currency,
) -> Result<Option<Line>, RatingError> {
    let billed = |minor: fn(&Billed) -> i64| {
        let mut amounts = state.billed.iter().map(minor);
        amounts.try_fold(0_i64, i64::checked_add).ok_or(RatingError::AmountRange)
    };
    let (net, off) = (billed(|line| line.amount_minor)?, billed(|line| line.discount_minor)?);
    let cost = rate.cost(gib)?.times(part)?.minor(currency)?;
    let list = rate.list_cost(gib)?.times(part)?.minor(currency)?;
    let less = |owed: i64, billed: i64| owed.checked_sub(billed).ok_or(RatingError::AmountRange);
    let (amount_minor, discount_minor) = (less(cost, net)?, less(less(list, cost)?, off)?);
    if (amount_minor, discount_minor) == (0, 0) {
        return Ok(None);
    }
    let kind = match state.billed.is_empty() {
        true => LineKind::Usage,
        false if amount_minor < 0 => LineKind::Credit,
        false => LineKind::Proration,
    };
    let whole_gib = i64::try_from(gib.round().to_integer()).map_err(|_| RatingError::AmountRange)?;
    let quantity = less(whole_gib, billed(|line| line.quantity)?)?;
    let charge = Charge { period: state.cycle.charged, quantity, seat_days: 0, amount_minor, discount_minor };
    state.billed.push(charge.billed_at(rate.clone()));
    Ok(Some(Line { kind, cycle: state.cycle, rate: rate.clone(), charge }))
}

/// How long some local days are.
fn seconds(days: Span, zone: Tz) -> i128 {
    (start_of_day(days.end(), zone) - start_of_day(days.start(), zone)).num_seconds().into()
}

/// The first instant of a local day: midnight, or when clocks skip that, the instant at which they do. A day that the
/// calendar of a zone leaves out begins with the day after it, and has no length.
fn start_of_day(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    if let LocalResult::Single(begins) = zone.from_local_datetime(&midnight) {
        return begins.to_utc();
    }
    // No zone is further from UTC, on either side of the date line.
    let furthest = TimeDelta::hours(27);
    let (mut before, mut found) = (midnight.and_utc() - furthest, midnight.and_utc() + furthest);
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
        let april = Span::new(date("2026-04-01"), date("2026-05-01")).unwrap();
        let seats = |day| if day < date("2026-04-16") { 1 } else { 3 };
        let overage = |bytes_per_seat: i128| {
            let allowed: Vec<_> = april.each_day().map(|day| (day, seats(day) * bytes_per_seat)).collect();
            overage(april, Tz::UTC, &stored, &allowed).map(|found| found.gib)
        };
        assert_eq!(overage(10 << 30), Ok(Share::from(10)));
        assert_eq!(overage(15 << 30), Ok(Share::from(0)));
        assert_eq!(overage(16 << 30), Ok(Share::from(0)));
    }
}
