//! Which steps are to be taken: a pure function of what is due, what was done and the day.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};
use kernel::InvoiceId;
use tenancy::policy::Capability;
use tenancy::tenant::Taken;

use super::Policy;

/// An invoice of which something is left to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owing {
    /// Which.
    pub invoice: InvoiceId,
    /// The last day on which it is paid in time: of what was made late, as long after it was made as it would have been else; and of what
    /// was paid and is due again, not before the day on which it came to be.
    pub due_on: NaiveDate,
    /// Whether money for it is on its way: until it has arrived or failed to, nothing is taken for it.
    pub is_under_way: bool,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// The course's invoice is the oldest overdue one no longer.
    End,
    /// What was taken for nonpayment, or some of it, is given back.
    Lift(Vec<Capability>),
    /// An invoice is the oldest overdue one now.
    Begin(InvoiceId),
    /// It is reminded of, for this day of the policy's.
    Remind(i16),
    /// These are taken away.
    Suspend(Vec<Capability>),
    /// The subscription is ended.
    Cancel,
}

/// What is to be done on a day. Reminders that were missed, since nobody looked for some days, are not made up for: the latest
/// stands for them. What is taken follows from the policy as it is: what it does not call for is given back, and what it
/// calls for is taken, unless somebody gave it back on the day on which the suspension fell due or later.
pub fn moves(
    policy: Option<&Policy>,
    owing: &[Owing],
    course: Option<&Course>,
    taken: &Taken,
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
    let suspended_on = oldest.and_then(|(policy, oldest)| suspended_on(policy, oldest));
    let suspended_on = suspended_on.filter(|day| *day <= today);
    let called_for = oldest.filter(|_| suspended_on.is_some());
    let called_for = called_for.map_or(&[][..], |(policy, _)| &policy.suspend_capabilities);
    let lifted: Vec<_> = taken.unpaid.iter().copied().filter(|one| !called_for.contains(one)).collect();
    if !lifted.is_empty() {
        moves.push(Move::Lift(lifted));
    }
    let Some((policy, oldest)) = oldest else { return moves };
    if same.is_none() {
        moves.push(Move::Begin(oldest.invoice));
    }
    let is_reminded = |day: i16| {
        same.is_some_and(|course| {
            course.taken.iter().any(|step| matches!(step, Step::Remind(past) if *past >= day))
        })
    };
    let reminder = policy.remind_after_days.iter().copied().filter(|day| is_reached(Some(*day))).max();
    if oldest.is_under_way {
        return moves;
    }
    moves.extend(reminder.filter(|day| !is_reminded(*day)).map(Move::Remind));
    let is_spared = |one: &Capability| {
        let spared = taken.spared.as_ref().filter(|(given_back, _)| given_back.contains(one));
        spared.is_some_and(|(_, given_on)| suspended_on <= Some(*given_on))
    };
    let is_new = |one: &Capability| !taken.suspended.contains(one) && !is_spared(one);
    let fresh: Vec<_> = called_for.iter().copied().filter(is_new).collect();
    if !fresh.is_empty() {
        moves.push(Move::Suspend(fresh));
    }
    let is_cancelled = same.is_some_and(|course| course.taken.contains(&Step::Cancel));
    if is_reached(policy.cancel_after_days) && !is_cancelled {
        moves.push(Move::Cancel);
    }
    moves
}

/// The day on which an invoice comes to be a reason to take capabilities away.
fn suspended_on(policy: &Policy, oldest: &Owing) -> Option<NaiveDate> {
    let after = u64::try_from(policy.suspend_after_days?).ok()?;
    oldest.due_on.checked_add_days(Days::new(after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tenancy::policy::Capability::{Imap, Send};
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
            suspend_capabilities: vec![Send],
            cancel_after_days: Some(30),
        }
    }

    fn owing(n: usize, due: i64) -> Owing {
        Owing { invoice: invoice(n), due_on: day(due), is_under_way: false }
    }

    /// Of one from whom these are taken for nonpayment.
    fn unpaid(capabilities: &[Capability]) -> Taken {
        Taken { suspended: capabilities.to_vec(), unpaid: capabilities.to_vec(), ..Taken::default() }
    }

    fn note(course: &mut Option<Course>, step: Step) {
        assert!(course.as_mut().unwrap().taken.insert(step), "{step:?} twice");
    }

    /// Does what is to be done.
    fn follow(moves: &[Move], course: &mut Option<Course>, taken: &mut Taken) {
        for step in moves {
            match step {
                Move::End => *course = None,
                Move::Lift(given) => {
                    assert!(given.iter().all(|one| taken.unpaid.contains(one)));
                    taken.unpaid.retain(|one| !given.contains(one));
                    taken.suspended.retain(|one| !given.contains(one));
                }
                Move::Begin(invoice) => *course = Some(Course { invoice: *invoice, taken: BTreeSet::new() }),
                Move::Suspend(fresh) => {
                    assert!(fresh.iter().all(|one| !taken.suspended.contains(one)));
                    taken.unpaid.extend(fresh);
                    taken.suspended.extend(fresh);
                }
                Move::Remind(day) => note(course, Step::Remind(*day)),
                Move::Cancel => note(course, Step::Cancel),
            }
        }
    }

    /// Somebody gives it back.
    fn resume(taken: &mut Taken, one: Capability, on: NaiveDate) {
        taken.unpaid.retain(|other| *other != one);
        taken.suspended.retain(|other| *other != one);
        let mut spared = taken.spared.take().map_or(Vec::new(), |(spared, _)| spared);
        spared.push(one);
        taken.spared = Some((spared, on));
    }

    #[test]
    fn day_by_day_each_step_is_taken_on_its_day() {
        let (policy, owing) = (policy(), [owing(1, 0)]);
        let (mut course, mut taken, mut seen) = (None, Taken::default(), Vec::new());
        for today in -2..60 {
            let moves = moves(Some(&policy), &owing, course.as_ref(), &taken, day(today));
            seen.extend(moves.iter().map(|one| (today, one.clone())));
            follow(&moves, &mut course, &mut taken);
        }
        let expected = [
            (1, Move::Begin(invoice(1))),
            (1, Move::Remind(1)),
            (7, Move::Remind(7)),
            (14, Move::Remind(14)),
            (14, Move::Suspend(vec![Send])),
            (30, Move::Cancel),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_next_oldest_makes_a_course_of_its_own_and_keeps_what_it_would_take() {
        let policy = policy();
        let course = Course { invoice: invoice(1), taken: BTreeSet::from([Step::Remind(14)]) };
        let of = |due: i64| moves(Some(&policy), &[owing(2, due)], Some(&course), &unpaid(&[Send]), day(40));
        let lift = Move::Lift(vec![Send]);
        let young = [Move::End, lift.clone(), Move::Begin(invoice(2)), Move::Remind(7)];
        assert_eq!(of(30), young);
        assert_eq!(of(20), [Move::End, Move::Begin(invoice(2)), Move::Remind(14)]);
        assert_eq!(of(40), [Move::End, lift]);
    }

    #[test]
    fn while_money_is_on_its_way_nothing_is_taken_and_what_is_held_stays() {
        let owing = [Owing { is_under_way: true, ..owing(1, 0) }];
        let of =
            |course, taken: &[Capability]| moves(Some(&policy()), &owing, course, &unpaid(taken), day(40));
        assert_eq!(of(None, &[]), [Move::Begin(invoice(1))]);
        let course = Course { invoice: invoice(1), taken: BTreeSet::new() };
        assert_eq!(of(Some(&course), &[Send]), []);
    }

    #[test]
    fn the_policy_as_it_is_says_what_is_taken() {
        let owing = [owing(1, 0)];
        assert_eq!(moves(None, &owing, None, &Taken::default(), day(99)), []);
        let steps = BTreeSet::from([Step::Remind(14), Step::Cancel]);
        let course = Course { invoice: invoice(1), taken: steps };
        let of = |policy: Option<&Policy>, taken: &[Capability]| {
            moves(policy, &owing, Some(&course), &unpaid(taken), day(20))
        };
        let lift = Move::Lift(vec![Send]);
        assert_eq!(of(None, &[Send]), [Move::End, lift.clone()]);
        // Its step is taken out, or made later.
        assert_eq!(of(Some(&Policy::default()), &[Send]), std::slice::from_ref(&lift));
        let later = Policy { suspend_after_days: Some(21), ..policy() };
        assert_eq!(of(Some(&later), &[Send]), std::slice::from_ref(&lift));
        // And it is put back, or made sooner.
        assert_eq!(of(Some(&policy()), &[]), [Move::Suspend(vec![Send])]);
        // It takes other things.
        let other = Policy { suspend_capabilities: vec![Imap], ..policy() };
        assert_eq!(of(Some(&other), &[Send]), [lift, Move::Suspend(vec![Imap])]);
        let more = Policy { suspend_capabilities: vec![Send, Imap], ..policy() };
        assert_eq!(of(Some(&more), &[Send]), [Move::Suspend(vec![Imap])]);
    }

    #[test]
    fn what_somebody_gave_back_is_taken_again_only_when_a_later_suspension_falls_due() {
        let course = Course { invoice: invoice(1), taken: BTreeSet::from([Step::Remind(14), Step::Cancel]) };
        let mut taken = unpaid(&[Send]);
        resume(&mut taken, Send, day(20));
        let on = |course: Option<&Course>, due, today| {
            let moves = moves(Some(&policy()), &[owing(1, due)], course, &taken, day(today));
            moves.contains(&Move::Suspend(vec![Send]))
        };
        assert!(!on(Some(&course), 0, 20));
        assert!(!on(Some(&course), 0, 99));
        // In a course of its own, too.
        assert!(!on(None, 0, 99));
        assert!(!on(None, 6, 99));
        // Its 14 days were not over by then.
        assert!(!on(None, 7, 20));
        assert!(on(None, 7, 21));
    }

    fn policies() -> impl Strategy<Value = Option<Policy>> {
        let days = prop::collection::btree_set(1_i16..40, 0..4);
        let suspend = prop::option::of((1_i16..40, prop::sample::subsequence(vec![Send, Imap], 1..=2)));
        prop::option::of((days, suspend, prop::option::of(1_i16..60)).prop_map(
            |(remind, suspend, cancel)| Policy {
                remind_after_days: remind.into_iter().collect(),
                suspend_after_days: suspend.as_ref().map(|(day, _)| *day),
                suspend_capabilities: suspend.map(|(_, which)| which).unwrap_or_default(),
                cancel_after_days: cancel,
            },
        ))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

        /// However often somebody looks, and whatever is paid, put or given back in between, no step is taken twice in a course
        /// (which `follow` asserts), a second look does nothing, and what is held is what the policy calls for, less what
        /// somebody gave back since it did.
        #[test]
        fn looking_again_does_nothing(mut policy in policies(),
            looks in prop::collection::vec((0_i64..30, prop::collection::vec(0_i64..100, 0..3),
                prop::option::weighted(0.2, policies()), prop::option::weighted(0.2, prop::sample::select(vec![Send, Imap]))), 1..12)) {
            let (mut course, mut taken, mut today) = (None::<Course>, Taken::default(), 0);
            for (pause, due, put, given_back) in looks {
                today += pause;
                policy = put.unwrap_or(policy);
                let all: Vec<_> = due.iter().enumerate().map(|(n, &due)| owing(n, due)).collect();
                let first = moves(policy.as_ref(), &all, course.as_ref(), &taken, day(today));
                follow(&first, &mut course, &mut taken);
                prop_assert_eq!(moves(policy.as_ref(), &all, course.as_ref(), &taken, day(today)), vec![]);
                let reminders = first.iter().filter(|one| matches!(one, Move::Remind(_))).count();
                prop_assert!(reminders <= 1);
                let oldest = due.iter().copied().filter(|&due| due < today).min();
                prop_assert_eq!(course.is_some(), policy.is_some() && oldest.is_some());
                let fell_due = policy.as_ref().and_then(|policy| policy.suspend_after_days).zip(oldest)
                    .map(|(after, due)| due + i64::from(after)).filter(|&day| day <= today);
                for one in [Send, Imap] {
                    let names = policy.as_ref().is_some_and(|policy| policy.suspend_capabilities.contains(&one));
                    let calls = names && fell_due.is_some();
                    let is_held = taken.unpaid.contains(&one);
                    prop_assert!(!is_held || calls, "held without a reason");
                    let spared = taken.spared.as_ref().filter(|(given, _)| given.contains(&one)).map(|(_, on)| *on);
                    prop_assert!(!calls || is_held || fell_due.map(day) <= spared, "not held, and nobody gave it back");
                }
                if let Some(one) = given_back.filter(|one| taken.unpaid.contains(one)) {
                    resume(&mut taken, one, day(today));
                    prop_assert_eq!(moves(policy.as_ref(), &all, course.as_ref(), &taken, day(today)), vec![]);
                }
            }
        }
    }
}
