//! Which steps are to be taken: a pure function of what is due, what was done and the day.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use kernel::InvoiceId;

use super::Policy;

/// An invoice of which something is left to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owing {
    /// Which.
    pub invoice: InvoiceId,
    /// The last day on which it is paid in time.
    pub due_on: NaiveDate,
}

/// What is done because something is overdue, once in a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Remind, so many days after the due day.
    Remind(i16),
    /// Take capabilities away.
    Suspend,
    /// End the subscription.
    Cancel,
}

impl Step {
    /// `remind`, `suspend` or `cancel`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Remind(_) => "remind",
            Self::Suspend => "suspend",
            Self::Cancel => "cancel",
        }
    }

    /// The one with that name; a reminder, for a day of the policy's.
    pub(super) fn from_name(name: &str, after_days: i16) -> Option<Self> {
        [Self::Remind(after_days), Self::Suspend, Self::Cancel].into_iter().find(|step| step.as_str() == name)
    }
}

/// The time for which one invoice is the oldest that is overdue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// Which invoice.
    pub invoice: InvoiceId,
    /// What was done.
    pub taken: BTreeSet<Step>,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// The course's invoice is the oldest overdue one no longer.
    End,
    /// What was taken is given back.
    Lift,
    /// An invoice is the oldest overdue one now.
    Begin(InvoiceId),
    /// Something of its course, so many days after its due day.
    Take(Step, i64),
}

/// What is to be done on a day. `holds` says whether capabilities are taken for nonpayment. Reminders that were missed,
/// since nobody looked for some days, are not made up for: the latest stands for them.
pub fn moves(
    policy: Option<&Policy>,
    owing: &[Owing],
    course: Option<&Course>,
    holds: bool,
    today: NaiveDate,
) -> Vec<Move> {
    let overdue = owing.iter().filter(|owing| owing.due_on < today);
    let oldest = policy.zip(overdue.min_by_key(|owing| (owing.due_on, owing.invoice)));
    let same = course.filter(|course| oldest.is_some_and(|(_, oldest)| oldest.invoice == course.invoice));
    let mut moves = Vec::new();
    if course.is_some() && same.is_none() {
        moves.push(Move::End);
    }
    let age = oldest.map_or(0, |(_, oldest)| (today - oldest.due_on).num_days());
    let is_reached = |day: Option<i16>| day.is_some_and(|day| age >= i64::from(day));
    let suspends = oldest.is_some_and(|(policy, _)| is_reached(policy.suspend_after_days));
    if holds && !suspends {
        moves.push(Move::Lift);
    }
    let Some((policy, oldest)) = oldest else { return moves };
    if same.is_none() {
        moves.push(Move::Begin(oldest.invoice));
    }
    let taken = |step: &Step| same.is_some_and(|course| course.taken.contains(step));
    let is_reminded = |day: i16| {
        same.is_some_and(|course| {
            course.taken.iter().any(|step| matches!(step, Step::Remind(past) if *past >= day))
        })
    };
    let reminder = policy.remind_after_days.iter().copied().filter(|day| is_reached(Some(*day))).max();
    let steps = [
        reminder.filter(|day| !is_reminded(*day)).map(Step::Remind),
        suspends.then_some(Step::Suspend),
        is_reached(policy.cancel_after_days).then_some(Step::Cancel),
    ];
    let steps = steps.into_iter().flatten().filter(|step| !taken(step));
    moves.extend(steps.map(|step| Move::Take(step, age)));
    moves
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tenancy::policy::Capability;
    use uuid::Uuid;

    use super::*;

    fn invoice(n: usize) -> InvoiceId {
        InvoiceId::from_uuid(Uuid::from_u128(n as u128))
    }

    fn day(n: i64) -> NaiveDate {
        NaiveDate::default() + chrono::TimeDelta::days(n)
    }

    fn policy() -> Policy {
        Policy {
            remind_after_days: vec![1, 7, 14],
            suspend_after_days: Some(14),
            suspend_capabilities: vec![Capability::Send],
            cancel_after_days: Some(30),
        }
    }

    /// Does what is to be done.
    fn follow(moves: &[Move], course: &mut Option<Course>, holds: &mut bool) {
        for step in moves {
            match *step {
                Move::End => *course = None,
                Move::Lift => *holds = false,
                Move::Begin(invoice) => *course = Some(Course { invoice, taken: BTreeSet::new() }),
                Move::Take(step, _) => {
                    *holds |= step == Step::Suspend;
                    assert!(course.as_mut().unwrap().taken.insert(step), "{step:?} twice");
                }
            }
        }
    }

    #[test]
    fn day_by_day_each_step_is_taken_on_its_day() {
        let (policy, owing) = (policy(), [Owing { invoice: invoice(1), due_on: day(0) }]);
        let (mut course, mut holds, mut seen) = (None, false, Vec::new());
        for today in -2..60 {
            let moves = moves(Some(&policy), &owing, course.as_ref(), holds, day(today));
            seen.extend(moves.iter().map(|one| (today, *one)));
            follow(&moves, &mut course, &mut holds);
        }
        let expected = [
            (1, Move::Begin(invoice(1))),
            (1, Move::Take(Step::Remind(1), 1)),
            (7, Move::Take(Step::Remind(7), 7)),
            (14, Move::Take(Step::Remind(14), 14)),
            (14, Move::Take(Step::Suspend, 14)),
            (30, Move::Take(Step::Cancel, 30)),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_next_oldest_makes_a_course_of_its_own_and_keeps_what_it_would_take() {
        let policy = policy();
        let taken = BTreeSet::from([Step::Remind(14), Step::Suspend]);
        let course = Course { invoice: invoice(1), taken };
        let of = |due: i64| {
            let owing = [Owing { invoice: invoice(2), due_on: day(due) }];
            moves(Some(&policy), &owing, Some(&course), true, day(40))
        };
        let young = [Move::End, Move::Lift, Move::Begin(invoice(2)), Move::Take(Step::Remind(7), 10)];
        assert_eq!(of(30), young);
        let old = [
            Move::End,
            Move::Begin(invoice(2)),
            Move::Take(Step::Remind(14), 20),
            Move::Take(Step::Suspend, 20),
        ];
        assert_eq!(of(20), old);
        assert_eq!(of(40), [Move::End, Move::Lift]);
    }

    #[test]
    fn without_a_policy_nothing_is_held() {
        let owing = [Owing { invoice: invoice(1), due_on: day(0) }];
        assert_eq!(moves(None, &owing, None, false, day(99)), []);
        let course = Course { invoice: invoice(1), taken: BTreeSet::from([Step::Suspend]) };
        assert_eq!(moves(None, &owing, Some(&course), true, day(99)), [Move::End, Move::Lift]);
        // What somebody gave back is not taken again in the same course.
        assert_eq!(
            moves(
                Some(&Policy { cancel_after_days: None, remind_after_days: vec![], ..policy() }),
                &owing,
                Some(&course),
                false,
                day(99)
            ),
            []
        );
    }

    fn policies() -> impl Strategy<Value = Option<Policy>> {
        let days = prop::collection::btree_set(1_i16..40, 0..4);
        prop::option::of((days, prop::option::of(1_i16..40), prop::option::of(1_i16..60)).prop_map(
            |(remind, suspend, cancel)| Policy {
                remind_after_days: remind.into_iter().collect(),
                suspend_after_days: suspend,
                suspend_capabilities: suspend.map(|_| Capability::Send).into_iter().collect(),
                cancel_after_days: cancel,
            },
        ))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2_000 } else { 20_000 }))]

        /// However often somebody looks, and whatever is paid in between, nothing is done twice in a course (which `follow`
        /// asserts), a second look does nothing, and what is held is what the age calls for.
        #[test]
        fn looking_again_does_nothing(policy in policies(),
            looks in prop::collection::vec((0_i64..30, prop::collection::vec(0_i64..100, 0..3)), 1..12)) {
            let (mut course, mut holds, mut today) = (None::<Course>, false, 0);
            for (pause, due) in looks {
                today += pause;
                let owing: Vec<_> = due.iter().enumerate().map(|(n, &due)| Owing { invoice: invoice(n), due_on: day(due) }).collect();
                let first = moves(policy.as_ref(), &owing, course.as_ref(), holds, day(today));
                follow(&first, &mut course, &mut holds);
                prop_assert_eq!(moves(policy.as_ref(), &owing, course.as_ref(), holds, day(today)), vec![]);
                let reminders = first.iter().filter(|one| matches!(one, Move::Take(Step::Remind(_), _))).count();
                prop_assert!(reminders <= 1);
                let oldest = due.iter().map(|&due| today - due).filter(|&age| age > 0).max();
                prop_assert_eq!(course.is_some(), policy.is_some() && oldest.is_some());
                let calls = policy.as_ref().and_then(|policy| policy.suspend_after_days).zip(oldest)
                    .is_some_and(|(after, age)| age >= i64::from(after));
                prop_assert!(!holds || calls, "held without a reason");
                let was_suspended = course.as_ref().is_some_and(|course| course.taken.contains(&Step::Suspend));
                prop_assert!(!calls || was_suspended);
            }
        }
    }
}
