//! The lock of removed units until the end of the term (I5), told once more by lots of units.

use chrono::NaiveDate;
use chrono_tz::Tz;
use proptest::prelude::*;

use super::super::*;
use super::story::{Account, Story, stories};

/// Units that were added on one day.
struct Lot {
    added_on: NaiveDate,
    units: i64,
}

/// Gives back of the newest lots what may be given back on a day, and adds what is missing.
fn follow(lots: &mut Vec<Lot>, day: NaiveDate, used: i64, grace_days: u32) {
    let mut in_force: i64 = lots.iter().map(|lot| lot.units).sum();
    while in_force > used {
        let Some(last) = lots.last_mut() else { break };
        if (day - last.added_on).num_days() > i64::from(grace_days) {
            break;
        }
        let returned = last.units.min(in_force - used);
        last.units -= returned;
        in_force -= returned;
        if last.units == 0 {
            lots.pop();
        }
    }
    if used > in_force {
        lots.push(Lot { added_on: day, units: used - in_force });
    }
}

fn locked(mut story: Story, grace_days: u32, months: u32) -> Story {
    story.terms.removal = RemovalPolicy::LockedUntilTermEnd { grace_days };
    story.terms.interval = Interval::MONTH;
    story.terms.payment = PaymentSchedule::AtOnce;
    story.terms.term = Interval::Months(months);
    story
}

proptest! {
    /// I5: what is charged on a day are the lots that are used, or locked until the term ends.
    #[test]
    fn i5_a_lock_holds_lots_until_the_term_ends(story in stories(), grace_days in 0_u32..10, months in 1_u32..7) {
        let story = locked(story, grace_days, months);
        let account = Account::late(&story, Tz::UTC);
        let terms = story.terms.terms().unwrap();
        let mut lots = Vec::new();
        for day in story.starts_on.iter_days().take_while(|day| *day <= story.horizon()) {
            if terms.cycle_at(day).unwrap().start() == day {
                lots.clear();
            }
            follow(&mut lots, day, story.quantity(day), grace_days);
            let expected: i64 = lots.iter().map(|lot| lot.units).sum();
            let lines = account.cycles.iter().flat_map(|state| &state.billed);
            let charged: i64 = lines.filter(|line| line.period.contains(day)).map(|line| line.quantity).sum();
            prop_assert_eq!(charged, expected, "on {}", day);
        }
    }

    /// What is added and removed within the days of grace is credited, but for the days on which it was used.
    #[test]
    fn grace_credits_all_but_the_days_used(price in super::prices(), grace_days in 1_u32..10, kept in 0_u32..10) {
        let start = "2026-03-01".parse::<NaiveDate>().unwrap();
        let at = |days: u32, delta: i64| {
            let hour = if delta > 0 { 9 } else { 17 };
            start.and_hms_opt(hour, 0, 0).unwrap().and_utc() + chrono::TimeDelta::days(days.into())
        };
        let terms = Terms {
            tariff: Tariff::Flat(price),
            interval: Interval::YEAR,
            payment: PaymentSchedule::AtOnce,
            anchor: start,
            term: Interval::YEAR,
            removal: RemovalPolicy::LockedUntilTermEnd { grace_days },
            suspension: SuspensionPolicy::Continue,
        };
        let (tariff, currency) = (terms.tariff.clone(), "EUR".parse().unwrap());
        let segment = Segment { from: start, terms: Some(terms) };
        let mut account = Account::new(Timeline::new(currency, vec![segment]), Tz::UTC);
        let log = |changes: &[(u32, i64)]| Log {
            seats: steps_of_changes(changes.iter().map(|(day, delta)| (at(*day, *delta), *delta))),
            committed: Vec::new(),
        };
        account.run(start, &log(&[(0, 1)]));
        let removed = log(&[(0, 1), (kept, -1)]);
        account.bill("2026-04-01".parse().unwrap(), &removed);
        let days = if kept < grace_days { i128::from(kept) + 1 } else { 365 };
        prop_assert_eq!(Ok(account.total()), tariff.amount_minor(Share::new(days, 365), currency));
    }
}
