//! I17: what a preview shows is what a run makes, whatever happened to the account before; and meanwhile I16, that no final
//! document changes.

use billing::invoice::Invoice;
use billing::preview::{NewPreview, Preview, preview};
use billing::subscription::{PutSubscription, get, put};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use kernel::InvoiceId;
use proptest::prelude::*;
use tenancy::Ctx;
use testkit::World;

use super::hashes;
use super::player::{Account, Change, Player, Terms, account, change, some_terms};
use crate::{date, invoices, verify};

/// Days that clocks turn on are near some of these, or a month's end.
const STARTS: [&str; 5] = ["2026-01-31", "2026-03-20", "2026-10-20", "2028-02-20", "2027-06-15"];

#[derive(Debug, Clone)]
enum Step {
    Change(Change),
    /// Time goes on, with runs by nobody.
    Pass {
        hours: i64,
    },
    /// Whatever is due is looked at and billed.
    Bill,
    /// As if other terms had been put; then they are.
    Suppose(Terms),
    /// So many days ahead are looked at; then nothing happens in them but runs, on each day that has something.
    Ahead {
        days: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => change().prop_map(Step::Change),
        3 => (1_i64..24 * 40).prop_map(|hours| Step::Pass { hours }),
        3 => Just(Step::Bill),
        1 => some_terms().prop_map(Step::Suppose),
        2 => (0_u64..70).prop_map(|days| Step::Ahead { days }),
    ]
}

#[derive(Debug, Clone)]
pub(super) struct Story {
    account: Account,
    begins: DateTime<Utc>,
    steps: Vec<Step>,
}

pub(super) fn stories() -> impl Strategy<Value = Story> {
    (account(), begins(), prop::collection::vec(step(), 2..14)).prop_map(|(account, begins, mut steps)| {
        // Something is looked at in any case.
        steps.extend([Step::Bill, Step::Ahead { days: 40 }]);
        Story { account, begins, steps }
    })
}

pub(super) fn begins() -> impl Strategy<Value = DateTime<Utc>> {
    (prop::sample::select(STARTS.to_vec()), 0_i64..24 * 30)
        .prop_map(|(day, hours)| date(day).and_hms_opt(0, 30, 0).unwrap().and_utc() + TimeDelta::hours(hours))
}

/// A document, but for what a run gives it: id, number, what it corrects, and whether something of it is paid.
fn content(one: &Invoice) -> String {
    format!(
        "{:?}",
        (
            (one.kind, &one.issuer, &one.customer, one.currency, one.issued_on, one.due_on, &one.reason),
            (&one.lines, one.tax_behavior, &one.taxes, one.net, one.tax, one.total)
        )
    )
}

fn contents<'a>(all: impl IntoIterator<Item = &'a Invoice>) -> Vec<String> {
    all.into_iter().map(content).collect()
}

/// The documents of the account that are not among these, in the order of lists.
async fn new_since(ctx: &Ctx, known: &[InvoiceId]) -> Vec<Invoice> {
    invoices(ctx).await.into_iter().filter(|one| !known.contains(&one.id)).collect()
}

async fn ids(ctx: &Ctx) -> Vec<InvoiceId> {
    invoices(ctx).await.iter().map(|one| one.id).collect()
}

/// What was shown is what there is now, beside what there was.
async fn came_true(player: &mut Player, world: &World, shown: &Preview, known: &[InvoiceId]) {
    player.enter(world).await;
    let made = new_since(&player.ctx, known).await;
    let subscription = get(&player.ctx).await.unwrap();
    assert_eq!(contents(&made), contents(&shown.documents));
    // One that was parked for what is not due any more stays so.
    if shown.parked_reason.is_some() || !made.is_empty() {
        assert_eq!(subscription.parked_reason, shown.parked_reason);
    }
    if shown.parked_reason.is_none() {
        assert_eq!(subscription.next_invoice_on, shown.next_invoice_on);
    }
}

async fn shown(
    ctx: &Ctx,
    as_of: NaiveDate,
    supposed: Option<PutSubscription>,
) -> Result<Preview, billing::Error> {
    let (version, known) = (get(ctx).await.unwrap().version, ids(ctx).await);
    let shown = preview(ctx, NewPreview { as_of: Some(as_of.to_string()), subscription: supposed }).await;
    assert_eq!((get(ctx).await.unwrap().version, ids(ctx).await), (version, known), "looking leaves nothing");
    shown
}

/// Late on a day: it has begun wherever the account may have been before.
fn evening(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    zone.from_local_datetime(&day.and_hms_opt(23, 30, 0).unwrap()).earliest().unwrap().to_utc()
}

/// The next day up to one on which a run has something to do: to bill, or to make a draft final.
async fn next_day(player: &Player, until: NaiveDate) -> Option<NaiveDate> {
    let subscription = get(&player.ctx).await.unwrap();
    assert_eq!(subscription.parked_reason, None);
    let drafts = invoices(&player.ctx).await.into_iter().filter(|one| one.status == "draft");
    let days = drafts.map(|draft| draft.issued_on).chain(subscription.next_invoice_on);
    days.filter(|day| *day <= until).min()
}

/// One that names the account, so that a parked one is tried.
async fn run_named(world: &World, player: &mut Player) {
    player.enter(world).await;
    let db = world.test_db.db();
    billing::run::run(&db, player.today(), Some(player.ctx.tenant_id())).await.unwrap();
}

pub(super) async fn comes_true(world: World, story: Story) {
    let clock = world.test_db.clock();
    clock.set(story.begins);
    let mut player = Player::new(&world, &story.account).await;
    let mut finals = hashes(&player.ctx).await;
    for step in story.steps {
        clock.advance(TimeDelta::minutes(7));
        player.enter(&world).await;
        let today = player.today();
        match step {
            Step::Change(change) => player.change(&world, &change).await,
            Step::Pass { hours } => clock.advance(TimeDelta::hours(hours)),
            Step::Bill => {
                let known = ids(&player.ctx).await;
                let shown = shown(&player.ctx, today, None).await.unwrap();
                run_named(&world, &mut player).await;
                came_true(&mut player, &world, &shown, &known).await;
            }
            Step::Suppose(terms) => {
                let (known, terms) = (ids(&player.ctx).await, terms.put(&player.book, today, false));
                let shown = shown(&player.ctx, today, Some(terms.clone())).await;
                let put = put(&player.ctx, terms, None).await;
                assert_eq!(shown.is_ok(), put.is_ok(), "{shown:?} {put:?}");
                if let Ok(shown) = shown {
                    run_named(&world, &mut player).await;
                    came_true(&mut player, &world, &shown, &known).await;
                }
            }
            Step::Ahead { days } => {
                let (known, until) = (ids(&player.ctx).await, today + Days::new(days));
                let shown = shown(&player.ctx, until, None).await.unwrap();
                if shown.parked_reason.is_some() {
                    // Runs on the way make what comes before that.
                    continue;
                }
                run_named(&world, &mut player).await;
                while let Some(day) = next_day(&player, until).await {
                    clock.set(evening(day, player.ctx.time_zone()));
                    run_named(&world, &mut player).await;
                }
                came_true(&mut player, &world, &shown, &known).await;
            }
        }
        let now = hashes(&player.ctx).await;
        assert!(finals.iter().all(|(id, hash)| now.get(id) == Some(hash)), "a final document is another");
        finals = now;
    }
    verify::assert_tenant_clean(&world, player.ctx.tenant_id()).await;
}
