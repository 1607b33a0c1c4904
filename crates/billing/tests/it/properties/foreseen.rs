//! I17: what a preview shows is what a run makes, whatever happened to the account before; and meanwhile I16, that no final
//! document changes.

use billing::discount::{self, NewDiscount};
use billing::invoice::{self, Invoice};
use billing::one_off_item::{self, NewOneOffItem};
use billing::preview::{NewPreview, Preview, preview};
use billing::price_book::{NewPrice, NewPriceBook, NewTier, PriceBook, publish};
use billing::profile::{NewAddress, PutCustomer, PutIssuer, put_customer, put_issuer};
use billing::rating::RemovalPolicy;
use billing::subscription::{PutSubscription, cancel, get, put};
use billing::tax_rate::{self, NewTaxRate};
use billing::vat_id::NoRegister;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use kernel::{InvoiceId, Money};
use proptest::prelude::*;
use tenancy::{Ctx, tenant, user};
use testkit::{World, world};

use super::hashes;
use crate::{date, domain, invoices, verify};

/// Days that clocks turn on are near some of these, or a month's end.
const STARTS: [&str; 5] = ["2026-01-31", "2026-03-20", "2026-10-20", "2028-02-20", "2027-06-15"];

const ZONES: [Tz; 7] = [
    Tz::UTC,
    Tz::America__Los_Angeles,
    Tz::Europe__Berlin,
    Tz::Pacific__Apia,
    Tz::Pacific__Kiritimati,
    Tz::America__St_Johns,
    Tz::Australia__Lord_Howe,
];

/// What an account is made of.
#[derive(Debug, Clone)]
pub(super) struct Account {
    currency: &'static str,
    zone: Tz,
    prices: [NewPrice; 2],
    inclusive: bool,
    first: Terms,
}

#[derive(Debug, Clone)]
pub(super) struct Terms {
    yearly: bool,
    terms: Option<i64>,
    seats_committed: i64,
    trial_days: Option<u64>,
}

impl Account {
    /// By the month at so much for a seat, which is credited when it goes.
    pub(super) fn monthly(currency: &'static str, zone: Tz, unit_price: &str) -> Self {
        let price = |interval: &str| {
            let price = crate::price(interval, unit_price, RemovalPolicy::CreditToBalance);
            NewPrice { currency: currency.into(), ..price }
        };
        let first = Terms { yearly: false, terms: None, seats_committed: 0, trial_days: None };
        Self { currency, zone, prices: ["month", "year"].map(price), inclusive: false, first }
    }
}

impl Terms {
    pub(super) fn put(&self, book: &PriceBook, today: NaiveDate, is_first: bool) -> PutSubscription {
        let months = if self.yearly { 12 } else { 1 };
        let trial = self.trial_days.filter(|_| is_first).map(|days| today + Days::new(days));
        PutSubscription {
            price_book_id: book.id,
            interval: if self.yearly { "year" } else { "month" }.into(),
            term_months: self.terms.map(|terms| terms * months),
            seats_committed: Some(self.seats_committed),
            anchor_date: None,
            trial_ends_on: trial.map(|day| day.to_string()),
        }
    }
}

/// What may happen to an account.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Join,
    Leave,
    Terms(Terms),
    Cancel { in_days: Option<u64> },
    Suspend,
    Resume,
    Item { quantity: i64, amount: i64, in_days: u64 },
    Percent { percentage: u32, days: Option<u64> },
    Amount { amount: i64 },
    Void { nth: usize },
    Discard { nth: usize },
    Finalize { nth: usize },
    Lives { country: &'static str },
    Drafts { days: u32 },
    Taxes,
}

fn decimals() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0_u32..5000).prop_map(|cents| format!("{}.{:02}", cents / 100, cents % 100)),
        1 => (1_u64..10_000_000_000).prop_map(|digits| format!("{}.{:08}", digits / 100_000_000, digits % 100_000_000)),
    ]
}

fn price(interval: &'static str) -> impl Strategy<Value = NewPrice> {
    let policy = prop::sample::select(vec!["at_cycle_end", "credit_to_balance", "locked_until_term_end"]);
    let model = prop::sample::select(vec!["flat", "flat", "graduated", "volume"]);
    let tiers = (decimals(), decimals(), 1_u32..5);
    (model, tiers, policy, any::<bool>(), prop::option::weighted(0.3, decimals()), 0_u32..9).prop_map(
        move |(model, (first, last, up_to), policy, pauses, setup_price, grace_days)| {
            let is_flat = model == "flat";
            let tiers = vec![
                NewTier { up_to: Some(up_to), unit_price: first.clone() },
                NewTier { up_to: None, unit_price: last },
            ];
            NewPrice {
                item: "mailbox".into(),
                interval: interval.into(),
                model: model.into(),
                unit_price: is_flat.then_some(first),
                tiers: if is_flat { Vec::new() } else { tiers },
                currency: String::new(),
                removal_policy: Some(policy.into()),
                suspension_policy: Some(if pauses { "pause" } else { "continue" }.into()),
                grace_days: (policy == "locked_until_term_end").then_some(grace_days),
                setup_price,
            }
        },
    )
}

pub(super) fn some_terms() -> impl Strategy<Value = Terms> {
    let trial_days = prop::option::weighted(0.2, 1_u64..40);
    (any::<bool>(), prop::option::weighted(0.3, 1_i64..4), 0_i64..5, trial_days).prop_map(
        |(yearly, terms, seats_committed, trial_days)| Terms { yearly, terms, seats_committed, trial_days },
    )
}

pub(super) fn account() -> impl Strategy<Value = Account> {
    let currency = prop::sample::select(vec!["JPY", "EUR", "KWD"]);
    let prices = (price("month"), price("year"));
    (currency, prop::sample::select(ZONES.to_vec()), prices, any::<bool>(), some_terms()).prop_map(
        |(currency, zone, (month, year), inclusive, first)| {
            let prices = [month, year].map(|price| NewPrice { currency: currency.into(), ..price });
            Account { currency, zone, prices, inclusive, first }
        },
    )
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    let nth = 0_usize..5;
    prop_oneof![
        6 => Just(Change::Join),
        4 => Just(Change::Leave),
        3 => some_terms().prop_map(Change::Terms),
        1 => prop::option::of(1_u64..60).prop_map(|in_days| Change::Cancel { in_days }),
        1 => Just(Change::Suspend),
        1 => Just(Change::Resume),
        2 => (1_i64..4, 1_i64..9_000, 0_u64..50).prop_map(|(quantity, amount, in_days)| Change::Item { quantity, amount, in_days }),
        1 => (1_u32..=1_000_000, prop::option::of(1_u64..80)).prop_map(|(percentage, days)| Change::Percent { percentage, days }),
        1 => (1_i64..9_000).prop_map(|amount| Change::Amount { amount }),
        1 => nth.clone().prop_map(|nth| Change::Void { nth }),
        1 => nth.clone().prop_map(|nth| Change::Discard { nth }),
        1 => nth.prop_map(|nth| Change::Finalize { nth }),
        1 => prop::sample::select(vec!["DE", "FR", "US"]).prop_map(|country| Change::Lives { country }),
        1 => (0_u32..8).prop_map(|days| Change::Drafts { days }),
        1 => Just(Change::Taxes),
    ]
}

/// An account that plays its part in a story.
pub(super) struct Player {
    pub(super) ctx: Ctx,
    pub(super) book: PriceBook,
    joined: u32,
}

impl Player {
    pub(super) async fn new(world: &World, account: &Account) -> Self {
        let new = tenant::create(
            &world.operator,
            tenancy::tenant::NewTenant {
                currency: account.currency.parse().unwrap(),
                time_zone: account.zone.name().into(),
                ..world::new_tenant(&world.reseller, "Player")
            },
        );
        let ctx = world.operator.enter(new.await.unwrap().id).await.unwrap();
        world::domain(&ctx, &domain(&ctx)).await;
        let tax_behavior = Some(if account.inclusive { "inclusive" } else { "exclusive" }.into());
        let prices = NewPriceBook { tax_behavior, prices: account.prices.to_vec() };
        let book = publish(&world.operator, Some(world.reseller.id), prices).await.unwrap();
        let player = Self { ctx, book, joined: 0 };
        put(&player.ctx, account.first.put(&player.book, player.today(), true), None).await.unwrap();
        player
    }

    pub(super) fn today(&self) -> NaiveDate {
        self.ctx.now().with_timezone(&self.ctx.time_zone()).date_naive()
    }

    fn money(&self, amount_minor: i64) -> Money {
        Money::new(amount_minor, self.book.prices[0].currency)
    }

    /// As each request does: where the tenant stands is read anew.
    pub(super) async fn enter(&mut self, world: &World) {
        self.ctx = world.operator.enter_deleted_too(self.ctx.tenant_id()).await.unwrap();
    }

    /// What the present state refuses changes nothing.
    pub(super) async fn change(&mut self, world: &World, change: &Change) {
        self.enter(world).await;
        let (ctx, operator, today) = (&self.ctx, &world.operator, self.today());
        let nth = async |nth: usize| invoices(ctx).await.get(nth).map(|one| one.id);
        match change {
            Change::Join => {
                self.joined += 1;
                let address = format!("user{}@{}", self.joined, domain(ctx));
                let new = user::NewUser { password: None, ..world::new_user(&address, None) };
                drop(user::create(ctx, new).await);
            }
            Change::Leave => {
                let page = kernel::PageRequest::new(None, None);
                let users = user::list(ctx, &Default::default(), page).await.unwrap().items;
                if let Some(user) = users.first() {
                    drop(user::delete(ctx, user.id, None).await);
                }
            }
            Change::Terms(terms) => drop(put(ctx, terms.put(&self.book, today, false), None).await),
            Change::Cancel { in_days } => {
                let day = in_days.map(|days| (today + Days::new(days)).to_string());
                drop(cancel(ctx, day.as_deref(), None).await);
            }
            Change::Suspend => drop(tenant::suspend(ctx, None, &[]).await),
            Change::Resume => drop(tenant::resume(ctx, None, &[]).await),
            Change::Item { quantity, amount, in_days } => {
                let new = NewOneOffItem {
                    description: "Work".into(),
                    quantity: *quantity,
                    unit_amount: self.money(*amount),
                    bill_on: Some((today + Days::new(*in_days)).to_string()),
                };
                drop(one_off_item::create(ctx, new).await);
            }
            Change::Percent { percentage, days } => {
                let new = NewDiscount {
                    description: "A rebate".into(),
                    percentage: Some(format!("{}.{:04}", percentage / 10_000, percentage % 10_000)),
                    starts_on: today.to_string(),
                    ends_on: days.map(|days| (today + Days::new(days)).to_string()),
                    ..NewDiscount::default()
                };
                drop(discount::create(ctx, new).await);
            }
            Change::Amount { amount } => {
                let new = NewDiscount {
                    description: "A voucher".into(),
                    amount: Some(self.money(*amount)),
                    starts_on: today.to_string(),
                    ..NewDiscount::default()
                };
                drop(discount::create(ctx, new).await);
            }
            Change::Void { nth: n } => {
                if let Some(id) = nth(*n).await {
                    drop(invoice::void(operator, id, "a mistake").await);
                }
            }
            Change::Discard { nth: n } => {
                if let Some(id) = nth(*n).await {
                    drop(invoice::discard(operator, id).await);
                }
            }
            Change::Finalize { nth: n } => {
                if let Some(id) = nth(*n).await {
                    drop(invoice::finalize(operator, id).await);
                }
            }
            Change::Lives { country } => {
                put_customer(ctx, &NoRegister, lives_in(country), None).await.map(drop).unwrap()
            }
            Change::Drafts { days } => issues(world, Some(*days), None).await,
            Change::Taxes => issues(world, None, Some(true)).await,
        }
    }
}

fn address(country: &str) -> NewAddress {
    let (street, city) = ("Hafenstr. 1".into(), "Hafen".into());
    NewAddress { street, city, country: country.into(), ..NewAddress::default() }
}

fn lives_in(country: &str) -> PutCustomer {
    let vat_id = (country == "FR").then(|| "FR40303265045".into());
    PutCustomer {
        legal_name: "Bakery Ltd".into(),
        address: address(country),
        vat_id,
        exemption: None,
        reference: None,
    }
}

/// Changes of the reseller's profile what is given, and leaves the rest.
async fn issues(world: &World, draft_days: Option<u32>, charges_tax: Option<bool>) {
    let old = billing::profile::of_issuer(&world.operator, world.reseller.id).await.ok();
    let was =
        |of: fn(&billing::profile::IssuerProfile) -> u32| old.as_ref().map_or(0, |old| of(&old.profile));
    let charged = old.as_ref().is_some_and(|old| old.profile.charges_tax);
    let charges_tax = charges_tax.unwrap_or(charged);
    let new = PutIssuer {
        legal_name: "North Hosting GmbH".into(),
        address: address("DE"),
        vat_id: Some("DE136695976".into()),
        charges_tax,
        draft_days: draft_days.unwrap_or(was(|profile| profile.draft_days)),
        days_to_pay: Some(30),
        ..PutIssuer::default()
    };
    put_issuer(&world.operator, world.reseller.id, new, None).await.unwrap();
    if charges_tax && !charged {
        for (rate, valid_from) in [("19", "2007-01-01"), ("21.5", "2026-07-01")] {
            let new = NewTaxRate { country: "DE".into(), rate: rate.into(), valid_from: valid_from.into() };
            // The second is refused once its day is past.
            drop(tax_rate::add(&world.operator, world.reseller.id, new).await);
        }
    }
}

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

fn noon(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    zone.from_local_datetime(&day.and_hms_opt(12, 0, 0).unwrap()).earliest().unwrap().to_utc()
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
                    clock.set(noon(day, player.ctx.time_zone()));
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
