//! The invariants of what several have that are priced together.

use chrono::{Days, NaiveDate};
use kernel::Currency;
use proptest::prelude::*;

use super::super::*;
use super::{currencies, tariffs};

/// How many units each of some portions has on each day of a cycle, as was known at one time after another.
#[derive(Debug, Clone)]
struct Story {
    tariff: Tariff,
    currency: Currency,
    whole: Span,
    /// By time, portion and day.
    known: Vec<Vec<Vec<i64>>>,
}

fn stories() -> impl Strategy<Value = Story> {
    (1_usize..6, 1_usize..32, 1_usize..5).prop_flat_map(|(portions, days, times)| {
        // Mostly as before, so that stretches are longer than a day.
        let level =
            prop_oneof![4 => Just(None), 2 => (0_i64..9).prop_map(Some), 1 => (0_i64..2000).prop_map(Some)];
        let levels = prop::collection::vec(level, days).prop_map(|levels| {
            let mut last = 0;
            let mut as_before = |level: Option<i64>| {
                last = level.unwrap_or(last);
                last
            };
            levels.into_iter().map(&mut as_before).collect()
        });
        let known = prop::collection::vec(prop::collection::vec(levels, portions), times);
        (tariffs(), currencies(), known).prop_map(move |(tariff, currency, known)| {
            let start = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
            let whole = Span::new(start, start + Days::new(days as u64)).unwrap();
            Story { tariff, currency, whole, known }
        })
    })
}

/// What each portion was billed after each time.
fn billed(story: &Story, known: &[Vec<Vec<i64>>]) -> Vec<Vec<Vec<Billed>>> {
    let rate = Rate::from(story.tariff.clone());
    let mut lines: Vec<Vec<Billed>> = vec![Vec::new(); known[0].len()];
    let mut after = Vec::new();
    for levels in known {
        let portions: Vec<_> =
            levels.iter().zip(&lines).map(|(in_force, billed)| Portion { in_force, billed }).collect();
        let charges =
            reconcile_parts(&rate, story.currency, &Cycle::new(story.whole, story.whole), &portions).unwrap();
        for (lines, charges) in lines.iter_mut().zip(charges) {
            lines.extend(charges.iter().map(|charge| charge.billed_at(rate.clone())));
        }
        after.push(lines.clone());
    }
    after
}

fn amount(lines: &[Billed]) -> i64 {
    lines.iter().map(|line| line.amount_minor).sum()
}

fn total(lines: &[Vec<Billed>]) -> i64 {
    lines.iter().map(|lines| amount(lines)).sum()
}

/// All portions as one.
fn joined(known: &[Vec<Vec<i64>>]) -> Vec<Vec<Vec<i64>>> {
    let sum = |portions: &Vec<Vec<i64>>| {
        (0..portions[0].len()).map(|day| portions.iter().map(|levels| levels[day]).sum()).collect()
    };
    known.iter().map(|portions| vec![sum(portions)]).collect()
}

proptest! {
    /// Whatever became known when, and in whichever order the portions are: their lines add up to what the sum of them is
    /// billed, and to what that costs. Units moved from one to another, or split over more, cost the same.
    #[test]
    fn parts_add_up_to_what_their_sum_is_billed(story in stories(), turn in 0_usize..6) {
        let of_parts = billed(&story, &story.known);
        let of_sum = billed(&story, &joined(&story.known));
        let mut turned = story.known.clone();
        turned.iter_mut().for_each(|portions| { let by = turn % portions.len(); portions.rotate_left(by) });
        let of_turned = billed(&story, &turned);
        for (((parts, sum), turned), levels) in of_parts.iter().zip(&of_sum).zip(&of_turned).zip(joined(&story.known)) {
            prop_assert_eq!(total(parts), total(sum));
            prop_assert_eq!(total(turned), total(sum));
            let exact = levels[0].iter().try_fold(Amount::ZERO, |cost, units| {
                cost.plus(story.tariff.cost(Share::from(i128::from(*units)))?)
            });
            let exact = exact.unwrap().times(Share::new(1, story.whole.days().into())).unwrap();
            prop_assert_eq!(Ok(total(parts)), exact.minor(story.currency));
        }
    }

    /// What is billed of a day is what is in force on it, and billing again adds nothing.
    #[test]
    fn parts_are_billed_what_is_in_force_and_once(story in stories()) {
        let mut known = story.known.clone();
        known.push(known[known.len() - 1].clone());
        let after = billed(&story, &known);
        prop_assert_eq!(&after[after.len() - 1], &after[after.len() - 2]);
        for (lines, levels) in after.iter().zip(&known) {
            for (lines, levels) in lines.iter().zip(levels) {
                for (day, level) in story.whole.each_day().zip(levels) {
                    let of_day = lines.iter().filter(|line| line.period.contains(day));
                    prop_assert_eq!(of_day.map(|line| line.quantity).sum::<i64>(), *level);
                }
            }
        }
    }

    /// A portion pays its part: of what was billed at once, each line is less than two minor units from it. (One is the
    /// rounding of the lines before, and one of this and what is left over.)
    #[test]
    fn a_part_is_in_proportion(story in stories()) {
        let levels = &story.known[0];
        let lines = &billed(&story, &story.known[..1])[0];
        let sums = &joined(&story.known[..1])[0][0];
        for (levels, lines) in levels.iter().zip(lines) {
            for line in lines {
                let mut exact = Amount::ZERO;
                for ((day, level), sum) in story.whole.each_day().zip(levels).zip(sums) {
                    if line.period.contains(day) && *sum > 0 {
                        let cost = story.tariff.cost(Share::from(i128::from(*sum))).unwrap();
                        // Rounded to where sums of many days do not exceed 128 bits.
                        let part = cost.times(Share::new((*level).into(), (*sum).into())).unwrap().floor();
                        exact = exact.plus(part).unwrap();
                    }
                }
                let exact = exact.times(Share::new(1, story.whole.days().into())).unwrap().minor(story.currency).unwrap();
                prop_assert!((line.amount_minor - exact).abs() < 2, "{line:?} is {exact}");
            }
        }
    }

    /// Of several that are billed together, those whose units cost the same as before have no line.
    #[test]
    fn whose_units_cost_the_same_has_no_line(story in stories(), price in super::prices()) {
        let story = Story { tariff: Tariff::Flat(price), ..story };
        let after = billed(&story, &story.known);
        for (portion, lines) in after[after.len() - 1].iter().enumerate() {
            prop_assert!(lines.iter().all(|line| line.quantity != 0));
            let is_idle = story.known.windows(2).all(|times| times[0][portion] == times[1][portion]);
            prop_assert!(!is_idle || *lines == after[0][portion]);
        }
    }
}

#[test]
fn a_tier_is_that_of_the_sum() {
    let tier = |up_to, price: &str| Tier { up_to, unit_price: price.parse().unwrap() };
    let tiers = Tiers::new(vec![tier(Some(10), "3"), tier(None, "2")]).unwrap();
    let day = |n| NaiveDate::from_ymd_opt(2026, 4, n).unwrap();
    let whole = Span::new(day(1), NaiveDate::from_ymd_opt(2026, 5, 1).unwrap()).unwrap();
    let from = |first: i64, then: i64, at: usize| {
        (0..30).map(|day| if day < at { first } else { then }).collect::<Vec<_>>()
    };
    // The second takes six more from the 16th on: twelve of all, and from then on each seat of the first costs less.
    let known = vec![vec![from(4, 4, 0), from(2, 2, 0)], vec![from(4, 4, 0), from(2, 8, 15)]];
    let shown = |tariff: Tariff| {
        let story = Story { tariff, currency: "EUR".parse().unwrap(), whole, known: known.clone() };
        let after = billed(&story, &story.known);
        let line = |line: &Billed| (line.period.start().to_string(), line.quantity, line.amount_minor);
        after[1].iter().map(|lines| lines.iter().map(line).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let line = |day: &str, quantity, amount| (format!("2026-04-{day}"), quantity, amount);
    // Half a month: of 34.00 the first has 4 in 12 and had 12.00; the second has 8 in 12 and had 6.00.
    let graduated = shown(Tariff::Graduated(tiers.clone()));
    assert_eq!(graduated[0], [line("01", 4, 1200), line("16", 0, -33)]);
    assert_eq!(graduated[1], [line("01", 2, 600), line("16", 6, 833)]);
    // All twelve at 2.
    let volume = shown(Tariff::Volume(tiers));
    assert_eq!(volume[0], [line("01", 4, 1200), line("16", 0, -200)]);
    assert_eq!(volume[1], [line("01", 2, 600), line("16", 6, 500)]);
}
