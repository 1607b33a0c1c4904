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
use super::calendar::{Cycle, Span, Zones, local_day};
use super::discount::Rate;
use super::document::{CycleState, Line, LineKind, open};
use super::price::{Amount, Share};
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
    let days: Vec<NaiveDate> = allowed.iter().map(|(day, _)| *day).collect();
    Overage::new((whole, zone), &days, balance(zone, samples, allowed)?)
}

impl Overage {
    /// Of so many byte-seconds more than the allowance, on the days that count; nothing if they are fewer.
    fn new((whole, zone): (Span, Tz), days: &[NaiveDate], beyond: i128) -> Result<Self, RatingError> {
        let mut counted = 0_i128;
        for days in stretches(days.iter().copied()) {
            counted += seconds(days?, zone);
        }
        // Days that a zone leaves out have no length.
        let gib = Share::from(beyond.max(0)).checked_div(&Share::from(counted * GIB));
        let part = Share::from(counted).checked_div(&Share::from(seconds(whole, zone)));
        Ok(Self { gib: gib.unwrap_or_default(), part: part.ok_or(RatingError::DateRange)? })
    }
}

/// How many byte-seconds more than the allowance were stored on some days; negative if it were fewer.
fn balance(zone: Tz, samples: &[Step], allowed: &[(NaiveDate, i128)]) -> Result<i128, RatingError> {
    let (mut stored, mut pooled) = (0_i128, 0_i128);
    for days in stretches(allowed.iter().map(|(day, _)| *day)) {
        let days = days?;
        let all = byte_seconds(samples, start_of_day(days.start(), zone), start_of_day(days.end(), zone))?;
        stored = stored.checked_add(all).ok_or(RatingError::AmountRange)?;
    }
    for (day, bytes) in allowed {
        let day = day.succ_opt().and_then(|next| Span::new(*day, next)).ok_or(RatingError::DateRange)?;
        let here = bytes.checked_mul(seconds(day, zone)).and_then(|here| pooled.checked_add(here));
        pooled = here.ok_or(RatingError::AmountRange)?;
    }
    stored.checked_sub(pooled).ok_or(RatingError::AmountRange)
}

/// The runs of days that follow each other.
fn stretches(days: impl Iterator<Item = NaiveDate>) -> impl Iterator<Item = Result<Span, RatingError>> {
    let mut days = days.peekable();
    std::iter::from_fn(move || {
        let first = days.next()?;
        let mut end = first.succ_opt();
        while days.next_if(|day| Some(*day) == end).is_some() {
            end = end.and_then(|end| end.succ_opt());
        }
        Some(end.and_then(|end| Span::new(first, end)).ok_or(RatingError::DateRange))
    })
}

/// Bills what was stored in every cycle that is over by `boundary`, less what was billed of it; the cycles are brought up to date
/// as [`document()`](super::document()) does, and called again it adds nothing. Each line comes with the GiB that it is for.
///
/// Those that were over by `settled` are left alone, as [`each_over`] says.
///
/// `allowance` says how many bytes may be stored for nothing on a day. What a cycle is charged is [`storage_parts`]'s.
pub fn storage<'a>(
    timeline: &Timeline,
    at: (NaiveDate, impl Into<Zones<'a>>),
    settled: Option<NaiveDate>,
    cycles: &mut Vec<CycleState>,
    samples: &[Step],
    allowance: &dyn Fn(NaiveDate) -> i128,
) -> Result<Vec<(Line, Share)>, RatingError> {
    let mut lines = Vec::new();
    each_over(timeline, at, settled, cycles, |state, Over { days, rate }| {
        let billed = || state.billed.last().map(|line| line.rate.clone());
        let Some(rate) = rate.or_else(billed) else { return Ok(()) };
        let allowed = days.iter().map(|day| (*day, allowance(*day))).collect();
        let parts = &mut [StoragePart { state, samples, allowed }];
        lines.extend(storage_parts(&rate, timeline.currency(), &days, parts)?.into_iter().flatten());
        Ok::<_, RatingError>(())
    })?;
    Ok(lines)
}

/// A cycle that is over.
#[derive(Debug)]
pub struct Over {
    /// Its days that count: those that are charged, and on which the account is not paused.
    pub days: Vec<NaiveDate>,
    /// That of the last of them; `None` where there is none, as in a cycle that the timeline has come to have no more.
    pub rate: Option<Rate>,
}

/// Opens cycles as [`document()`](super::document()) does, and visits those that are over by `boundary`, the latest first.
///
/// Those that were over by `settled`, and were known to be, were billed then, or owed nothing, and are left alone: samples are
/// not recorded of days that are over, and so nobody need keep those of years at hand.
pub fn each_over<'a, E: From<RatingError>>(
    timeline: &Timeline,
    (boundary, zones): (NaiveDate, impl Into<Zones<'a>>),
    settled: Option<NaiveDate>,
    cycles: &mut Vec<CycleState>,
    mut visit: impl FnMut(&mut CycleState, Over) -> Result<(), E>,
) -> Result<(), E> {
    let courses = timeline.courses()?;
    open(timeline, &courses, boundary, zones.into(), cycles)?;
    for state in cycles.iter_mut().rev() {
        let mut over = Over { days: Vec::new(), rate: None };
        let course = course_of(&courses, &state.cycle);
        // It may have been cut to a day that was billed when it went on, and one that was cut may go on again.
        let before = state.cycle.charged.end();
        if let Some(course) = course {
            state.cycle = course.cycle_at(state.cycle.charged.start())?;
        }
        let end = state.cycle.charged.end();
        if settled.is_some_and(|settled| before.max(end) <= settled) {
            continue;
        }
        if let Some(course) = course {
            if boundary < end {
                continue;
            }
            for day in state.cycle.charged.each_day().filter(|day| !timeline.is_paused(course, *day)) {
                let Some(terms) = course.terms_on(day) else { continue };
                over.days.push(day);
                over.rate = Some(timeline.rate_on(day, terms));
            }
        }
        visit(state, over)?;
    }
    Ok(())
}

/// One of several that pool what they may store.
#[derive(Debug)]
pub struct StoragePart<'a> {
    /// The cycle, with what was billed of it to this one.
    pub state: &'a mut CycleState,
    /// What it stored, in order of time.
    pub samples: &'a [Step],
    /// How many bytes it may store for nothing on each day that counts for it, in the order of the days.
    pub allowed: Vec<(NaiveDate, i128)>,
}

/// Bills what several stored in a cycle that is over, less what was billed of it to each: the line of each that has one, with the
/// GiB that it is for, in the order given.
///
/// They are charged together for what they stored beyond what all may, at the rate of the last of `days`, which count for the cycle;
/// and as tiers and amounts off are of whole cycles, at the part of what the average costs that these days are. The sum is
/// rounded once, and each has its part of it by what it stored beyond its own allowance, to less than a unit. The lines of a
/// cycle count whole GiB, to the nearest of all, and cost what the exact ones do.
pub fn storage_parts(
    rate: &Rate,
    currency: Currency,
    days: &[NaiveDate],
    parts: &mut [StoragePart<'_>],
) -> Result<Vec<Option<(Line, Share)>>, RatingError> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    let (Cycle { whole, instalment, .. }, zone) = (first.state.cycle, first.state.zone);
    let (mut beyond, mut weights) = (0_i128, Vec::with_capacity(parts.len()));
    for part in &*parts {
        let of_part = balance(zone, part.samples, &part.allowed)?;
        beyond = beyond.checked_add(of_part).ok_or(RatingError::AmountRange)?;
        weights.push(of_part.max(0));
    }
    let Overage { gib, part } = Overage::new((whole, zone), days, beyond)?;
    let owed = |of_interval: Amount| instalment.of(of_interval.times(part)?.minor(currency)?);
    let (cost, list) = (owed(rate.cost(gib)?)?, owed(rate.list_cost(gib)?)?);
    let whole_number = |of: Share| i64::try_from(of.to_integer()).map_err(|_| RatingError::AmountRange);
    let amounts = apportion(cost, &weights)?;
    let discounts = apportion(less(list, cost)?, &weights)?;
    let quantities = apportion(whole_number(gib.round())?, &weights)?;
    let thousandths = apportion(whole_number(gib * Share::from(THOUSAND))?, &weights)?;
    let mut lines = Vec::with_capacity(parts.len());
    let owed = amounts.into_iter().zip(discounts).zip(quantities);
    for ((part, ((amount, discount), quantity)), thousandths) in parts.iter_mut().zip(owed).zip(thousandths) {
        let line = bill(part.state, rate, amount, discount, quantity)?;
        lines.push(line.map(|line| (line, Share::new(thousandths.into(), THOUSAND))));
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

/// What is shown of a GiB.
const THOUSAND: i128 = 1000;

/// Splits what is not negative in proportion to weights: to each what the parts up to its own come to, rounded down, less what those
/// before it do. So no part is a whole unit off, and together they are all of it.
fn apportion(amount: i64, weights: &[i128]) -> Result<Vec<i64>, RatingError> {
    let add = |one: i128, other: i128| one.checked_add(other).ok_or(RatingError::AmountRange);
    let all = weights.iter().try_fold(0, |sum, weight| add(sum, *weight))?.max(1);
    let (mut parts, mut weight_so_far, mut given) = (Vec::with_capacity(weights.len()), 0, 0);
    for weight in weights {
        weight_so_far = add(weight_so_far, *weight)?;
        let up_to = i128::from(amount).checked_mul(weight_so_far).ok_or(RatingError::AmountRange)? / all;
        let up_to = i64::try_from(up_to).map_err(|_| RatingError::AmountRange)?;
        parts.push(less(up_to, given)?);
        given = up_to;
    }
    Ok(parts)
}

/// What of a cycle is left to be billed, or to be taken back, of what is owed of it.
fn bill(
    state: &mut CycleState,
    rate: &Rate,
    amount: i64,
    discount: i64,
    quantity: i64,
) -> Result<Option<Line>, RatingError> {
    let billed = |count: fn(&Billed) -> i64| {
        let mut counts = state.billed.iter().map(count);
        counts.try_fold(0_i64, i64::checked_add).ok_or(RatingError::AmountRange)
    };
    let amount_minor = less(amount, billed(|line| line.amount_minor)?)?;
    let discount_minor = less(discount, billed(|line| line.discount_minor)?)?;
    if (amount_minor, discount_minor) == (0, 0) {
        return Ok(None);
    }
    let kind = match state.billed.is_empty() {
        true => LineKind::Usage,
        false if amount_minor < 0 => LineKind::Credit,
        false => LineKind::Proration,
    };
    let quantity = less(quantity, billed(|line| line.quantity)?)?;
    let charge = Charge { period: state.cycle.charged, quantity, seat_days: 0, amount_minor, discount_minor };
    state.billed.push(charge.billed_at(rate.clone()));
    let is_first = kind == LineKind::Usage;
    Ok(Some(Line { kind, cycle: state.cycle, rate: rate.clone(), charge, is_first }))
}

fn less(one: i64, other: i64) -> Result<i64, RatingError> {
    one.checked_sub(other).ok_or(RatingError::AmountRange)
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
    use super::super::Tariff;
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
    fn those_who_store_more_than_their_own_share_what_all_do_beyond_the_pool() {
        let april = Span::new(date("2026-04-01"), date("2026-05-01")).unwrap();
        let (days, rate) =
            (april.each_day().collect::<Vec<_>>(), Rate::from(Tariff::Flat("0.10".parse().unwrap())));
        let cycle = Cycle::new(april, april);
        let mut states = vec![CycleState { cycle, zone: Tz::UTC, billed: Vec::new() }; 4];
        let mut billed = |stored: [i64; 4]| {
            let samples = stored.map(|gib| [Step { at: instant("2026-01-01T00:00:00Z"), level: gib << 30 }]);
            // Each may store ten.
            let allowed: Vec<_> = days.iter().map(|day| (*day, 10 << 30)).collect();
            let part = |(state, samples)| StoragePart { state, samples, allowed: allowed.clone() };
            let parts = &mut states
                .iter_mut()
                .zip(&samples)
                .map(|(state, samples)| part((state, &samples[..])))
                .collect::<Vec<_>>();
            let lines = storage_parts(&rate, "EUR".parse().unwrap(), &days, parts).unwrap();
            let shown = |(line, gib): (Line, Share)| {
                (line.kind.as_str(), line.charge.quantity, line.charge.amount_minor, gib * 1000)
            };
            lines.into_iter().map(|line| line.map(shown)).collect::<Vec<_>>()
        };
        // 21 beyond the pool, in parts of 11, 11 and 9.
        let thousandths = Share::from;
        let expected = [
            Some(("usage", 7, 74, thousandths(7451))),
            Some(("usage", 7, 75, thousandths(7452))),
            None,
            Some(("usage", 7, 61, thousandths(6097))),
        ];
        assert_eq!(billed([21, 21, 0, 19]), expected);
        // 10, in parts of 11 and 9.
        let expected = [
            Some(("credit", -2, -19, thousandths(5500))),
            Some(("credit", -7, -75, thousandths(0))),
            None,
            Some(("credit", -2, -16, thousandths(4500))),
        ];
        assert_eq!(billed([21, 10, 0, 19]), expected);
        assert_eq!(billed([21, 10, 0, 19]), [None; 4]);
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
