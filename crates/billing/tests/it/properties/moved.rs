//! I7 of tenants that move to other time zones: what is billed does not depend on when runs happen, each day is charged once, as it
//! was used where it is counted, and a cycle is counted where it began.

use std::collections::BTreeMap;

use billing::export::Window;
use billing::usage;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use tenancy::Ctx;
use testkit::World;

use super::foreseen::begins;
use super::player::{Account, Change, Player, zone};
use crate::{invoices, verify};

#[derive(Debug, Clone)]
enum Step {
    Change(Change),
    Pass { hours: i64 },
}

#[derive(Debug, Clone)]
pub(super) struct Story {
    begins: DateTime<Utc>,
    zone: Tz,
    steps: Vec<Step>,
}

pub(super) fn stories() -> impl Strategy<Value = Story> {
    let change = prop_oneof![
        3 => Just(Change::Join),
        2 => Just(Change::Leave),
        2 => (0_i64..1 << 40).prop_map(|bytes| Change::Store { bytes }),
        3 => zone().prop_map(Change::Zone),
    ];
    let step = prop_oneof![
        3 => change.prop_map(Step::Change),
        2 => (1_i64..24 * 20).prop_map(|hours| Step::Pass { hours }),
    ];
    (begins(), zone(), prop::collection::vec(step, 2..16)).prop_map(|(begins, zone, steps)| Story {
        begins,
        zone,
        steps,
    })
}

/// The days of the cycles of seats, and where each is counted.
async fn cycles(ctx: &Ctx) -> Vec<(NaiveDate, NaiveDate, String)> {
    let mut tx = ctx.begin().await.unwrap();
    let all = "select lower(days), upper(days), time_zone from billing_coverage
               where item = 'mailbox' and kind = 'cycle' order by starts_on";
    sqlx::query_as(all).fetch_all(tx.conn()).await.unwrap()
}

/// What was charged for days before one, altogether, and for how many seats on each of them.
async fn charged(ctx: &Ctx, before: NaiveDate) -> (i64, BTreeMap<NaiveDate, i64>) {
    let (mut total, mut days) = (0, BTreeMap::<NaiveDate, i64>::new());
    for line in invoices(ctx).await.into_iter().flat_map(|invoice| invoice.lines) {
        if before <= line.period.start() {
            continue;
        }
        total += line.amount.amount_minor;
        for day in line.period.each_day().filter(|_| line.item == "mailbox") {
            *days.entry(day).or_default() += line.quantity;
        }
    }
    days.retain(|_, seats| *seats != 0);
    (total, days)
}

pub(super) async fn makes_no_difference(world: World, story: Story) {
    let (clock, db) = (world.test_db.clock(), world.test_db.db());
    clock.set(story.begins);
    let account = Account::monthly("EUR", story.zone, "31.00").storing();
    let mut prompt = Player::new(&world, &account).await;
    let mut late = Player::new(&world, &account).await;
    let starts_on = prompt.today();
    // Where it lived before, and the last day that had begun there.
    let mut lived = Vec::new();
    let bill = async |player: &Player| {
        let tenant = Some(player.ctx.tenant_id());
        billing::run::run(&db, player.today(), tenant).await.unwrap();
    };
    for step in &story.steps {
        clock.advance(TimeDelta::minutes(7));
        match step {
            Step::Pass { hours } => clock.advance(TimeDelta::hours(*hours)),
            Step::Change(change) => {
                prompt.enter(&world).await;
                lived.push((prompt.today(), prompt.ctx.time_zone()));
                prompt.change(&world, change).await;
                late.change(&world, change).await;
            }
        }
        prompt.enter(&world).await;
        bill(&prompt).await;
    }
    clock.advance(TimeDelta::days(40));
    for player in [&mut prompt, &mut late] {
        player.enter(&world).await;
        bill(player).await;
    }

    let cycles_of_prompt = cycles(&prompt.ctx).await;
    assert_eq!(cycles(&late.ctx).await, cycles_of_prompt);
    assert!(cycles_of_prompt.windows(2).all(|two| two[0].1 == two[1].0), "{cycles_of_prompt:?}");
    for (first, _, zone) in &cycles_of_prompt {
        let before = lived.iter().find(|(last, _)| first <= last).map(|(_, zone)| *zone);
        assert_eq!(zone, before.unwrap_or(prompt.ctx.time_zone()).name(), "{first}: {lived:?}");
    }
    // What has changed in the last cycle since it was opened is still to be billed.
    let billed_up_to = cycles_of_prompt.last().unwrap().0;
    assert!(starts_on < billed_up_to && billed_up_to <= starts_on + Days::new(400));
    let (total, days) = charged(&prompt.ctx, billed_up_to).await;
    assert_eq!(charged(&late.ctx, billed_up_to).await, (total, days.clone()));
    let window = Window::of_usage(starts_on, billed_up_to).unwrap();
    for used in usage::of_tenant(&late.ctx, window).await.unwrap() {
        let charged = days.get(&used.day).copied().unwrap_or(0);
        assert_eq!(charged, used.seats_used, "{}", used.day);
    }
    for player in [&prompt, &late] {
        verify::assert_tenant_clean(&world, player.ctx.tenant_id()).await;
    }
}
