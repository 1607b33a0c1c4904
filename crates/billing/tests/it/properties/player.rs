//! An account that plays its part in random stories: what it is made of, and what may happen to it.

use billing::discount::{self, NewDiscount};
use billing::invoice;
use billing::one_off_item::{self, NewOneOffItem};
use billing::price_book::{NewPrice, NewPriceBook, NewTier, PriceBook, publish};
use billing::profile::{NewAddress, PutCustomer, PutIssuer, put_customer, put_issuer};
use billing::rating::RemovalPolicy;
use billing::subscription::{PutSubscription, cancel, put};
use billing::tax_rate::{self, NewTaxRate};
use billing::vat_id::NoRegister;
use chrono::{Days, NaiveDate};
use chrono_tz::Tz;
use kernel::{ErrorKind, Money, PageRequest};
use proptest::prelude::*;
use tenancy::mailbox::{self, Kind};
use tenancy::reseller::Reseller;
use tenancy::user::{self, Fate, Leaving, User};
use tenancy::{Ctx, storage_sample, tenant};
use testkit::{World, world};

use crate::items::{make, storage, stores_in};
use crate::{domain, invoices};

pub(super) const ZONES: [Tz; 7] = [
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
    /// What is sold beside seats.
    beside: Vec<NewPrice>,
    inclusive: bool,
    first: Terms,
}

#[derive(Debug, Clone)]
pub(super) struct Terms {
    yearly: bool,
    /// Of a year: in instalments.
    by_month: bool,
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
        let first =
            Terms { yearly: false, by_month: false, terms: None, seats_committed: 0, trial_days: None };
        let prices = ["month", "year"].map(price);
        Self { currency, zone, prices, beside: Vec::new(), inclusive: false, first }
    }

    /// And what it stores, of which nothing is included, in euros.
    pub(super) fn storing(self) -> Self {
        Self { beside: vec![storage(0)], ..self }
    }
}

impl Terms {
    pub(super) fn put(&self, book: &PriceBook, today: NaiveDate, is_first: bool) -> PutSubscription {
        let months = if self.yearly { 12 } else { 1 };
        let trial = self.trial_days.filter(|_| is_first).map(|days| today + Days::new(days));
        PutSubscription {
            price_book_id: book.id,
            interval: if self.yearly { "year" } else { "month" }.into(),
            payment_schedule: (self.yearly && self.by_month).then(|| "monthly".into()),
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
    Share,
    Archive,
    Unshare,
    Store { bytes: i64 },
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
    Zone(Tz),
}

pub(super) fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(ZONES.to_vec())
}

fn decimals() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0_u32..5000).prop_map(|cents| format!("{}.{:02}", cents / 100, cents % 100)),
        1 => (1_u64..10_000_000_000).prop_map(|digits| format!("{}.{:08}", digits / 100_000_000, digits % 100_000_000)),
    ]
}

/// What a book may sell beside seats for an interval.
pub(super) fn beside(interval: &'static str) -> impl Strategy<Value = Vec<NewPrice>> {
    let one =
        (prop::sample::select(vec!["shared_mailbox", "archive", "storage"]), price(interval), 0_i64..1 << 32);
    prop::collection::vec(one, 0..3).prop_map(|mut all| {
        all.sort_by_key(|(item, ..)| *item);
        all.dedup_by_key(|(item, ..)| *item);
        let price = |(item, price, included): (&str, NewPrice, i64)| {
            let of_item = NewPrice { item: item.into(), setup_price: None, changes_billed: None, ..price };
            if item != "storage" {
                return of_item;
            }
            let (removal_policy, suspension_policy, grace_days) = (None, None, None);
            let included_bytes = Some(included);
            NewPrice { removal_policy, suspension_policy, grace_days, included_bytes, ..of_item }
        };
        all.into_iter().map(price).collect()
    })
}

pub(super) fn price(interval: &'static str) -> impl Strategy<Value = NewPrice> {
    let policy = prop::sample::select(vec!["at_cycle_end", "credit_to_balance", "locked_until_term_end"]);
    let model = prop::sample::select(vec!["flat", "flat", "graduated", "volume"]);
    let tiers = (decimals(), decimals(), 1_u32..5);
    let changes = prop::option::weighted(0.3, prop::sample::select(vec!["monthly", "daily"]));
    let once = prop::option::weighted(0.3, decimals());
    (model, tiers, policy, any::<bool>(), once, 0_u32..9, changes).prop_map(
        move |(model, (first, last, up_to), policy, pauses, setup_price, grace_days, changes_billed)| {
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
                changes_billed: changes_billed.map(Into::into),
                included_bytes: None,
            }
        },
    )
}

pub(super) fn some_terms() -> impl Strategy<Value = Terms> {
    let trial_days = prop::option::weighted(0.2, 1_u64..40);
    let paid = (any::<bool>(), any::<bool>());
    (paid, prop::option::weighted(0.3, 1_i64..4), 0_i64..5, trial_days).prop_map(
        |((yearly, by_month), terms, seats_committed, trial_days)| Terms {
            yearly,
            by_month,
            terms,
            seats_committed,
            trial_days,
        },
    )
}

pub(super) fn account() -> impl Strategy<Value = Account> {
    let currency = prop::sample::select(vec!["JPY", "EUR", "KWD"]);
    let prices = (price("month"), price("year"), beside("month"), beside("year"));
    (currency, zone(), prices, any::<bool>(), some_terms()).prop_map(
        |(currency, zone, (month, year, by_month, by_year), inclusive, first)| {
            let of_book = |price: NewPrice| NewPrice { currency: currency.into(), ..price };
            let prices = [month, year].map(of_book);
            let beside = by_month.into_iter().chain(by_year).map(of_book).collect();
            Account { currency, zone, prices, beside, inclusive, first }
        },
    )
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    let nth = 0_usize..5;
    prop_oneof![
        6 => Just(Change::Join),
        4 => Just(Change::Leave),
        2 => Just(Change::Share),
        1 => Just(Change::Archive),
        1 => Just(Change::Unshare),
        2 => (0_i64..1 << 36).prop_map(|bytes| Change::Store { bytes }),
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
        1 => zone().prop_map(Change::Zone),
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
        let prices =
            NewPriceBook { tax_behavior, prices: [account.prices.to_vec(), account.beside.clone()].concat() };
        let book = publish(&world.operator, Some(world.reseller.id), prices).await.unwrap();
        let player = Self { ctx, book, joined: 0 };
        put(&player.ctx, account.first.put(&player.book, player.today(), true), None).await.unwrap();
        player
    }

    /// Of a tenant that its reseller bills nothing: what it uses is the operator's to bill. It takes no part in what becomes of
    /// documents.
    pub(super) async fn unbilled(world: &World, reseller: &Reseller, name: &str, book: &PriceBook) -> Self {
        let tenant = world::tenant(&world.operator, reseller, name).await;
        let ctx = world.operator.enter(tenant.id).await.unwrap();
        world::domain(&ctx, &domain(&ctx)).await;
        Self { ctx, book: book.clone(), joined: 0 }
    }

    pub(super) fn today(&self) -> NaiveDate {
        self.ctx.today()
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
                settled(user::create(ctx, new).await);
            }
            Change::Leave => {
                if let Some(user) = first_user(ctx).await {
                    settled(user::delete(ctx, user.id, None).await);
                }
            }
            Change::Share => {
                self.joined += 1;
                settled(make(ctx, Kind::Shared, &format!("shared{}", self.joined)).await);
            }
            Change::Archive => {
                if let Some(user) = first_user(ctx).await {
                    let leaving = Leaving { mailbox: Fate::Archive, release_seat: true, hold: None };
                    settled(user::offboard(ctx, user.id, None, leaving).await);
                }
            }
            Change::Unshare => {
                let filter = mailbox::Filter { kind: Some(Kind::Shared), deleted: false };
                let page = PageRequest::new(None, None);
                if let Some(mailbox) = mailbox::list(ctx, filter, page).await.unwrap().items.first() {
                    settled(mailbox::delete(ctx, mailbox.id, None).await);
                }
            }
            Change::Store { bytes } => {
                stores_in(ctx, *bytes).await;
                storage_sample::record(&world.test_db.db()).await.unwrap();
            }
            Change::Terms(terms) => settled(put(ctx, terms.put(&self.book, today, false), None).await),
            Change::Cancel { in_days } => {
                let day = in_days.map(|days| (today + Days::new(days)).to_string());
                settled(cancel(ctx, day.as_deref(), None).await);
            }
            Change::Suspend => settled(tenant::suspend(ctx, None, &[]).await),
            Change::Resume => settled(tenant::resume(ctx, None, &[]).await),
            Change::Item { quantity, amount, in_days } => {
                let new = NewOneOffItem {
                    description: "Work".into(),
                    quantity: *quantity,
                    unit_amount: self.money(*amount),
                    bill_on: Some((today + Days::new(*in_days)).to_string()),
                };
                settled(one_off_item::create(ctx, new).await);
            }
            Change::Percent { percentage, days } => {
                let new = NewDiscount {
                    description: "A rebate".into(),
                    percentage: Some(format!("{}.{:04}", percentage / 10_000, percentage % 10_000)),
                    starts_on: today.to_string(),
                    ends_on: days.map(|days| (today + Days::new(days)).to_string()),
                    ..NewDiscount::default()
                };
                settled(discount::create(ctx, new).await);
            }
            Change::Amount { amount } => {
                let new = NewDiscount {
                    description: "A voucher".into(),
                    amount: Some(self.money(*amount)),
                    starts_on: today.to_string(),
                    ..NewDiscount::default()
                };
                settled(discount::create(ctx, new).await);
            }
            Change::Void { nth: n } => {
                if let Some(id) = nth(*n).await {
                    settled(invoice::void(operator, id, "a mistake").await);
                }
            }
            Change::Discard { nth: n } => {
                if let Some(id) = nth(*n).await {
                    settled(invoice::discard(operator, id).await);
                }
            }
            Change::Finalize { nth: n } => {
                if let Some(id) = nth(*n).await {
                    settled(invoice::finalize(operator, id).await);
                }
            }
            Change::Lives { country } => {
                put_customer(ctx, &NoRegister, lives_in(country), None).await.map(drop).unwrap()
            }
            Change::Drafts { days } => issues(world, Some(*days), None).await,
            Change::Taxes => issues(world, None, Some(true)).await,
            Change::Zone(zone) => {
                let time_zone = Some(zone.name().into());
                let change = tenant::TenantChange { time_zone, ..Default::default() };
                settled(tenant::update(ctx, None, change).await);
            }
        }
    }
}

/// It is done, or the present state refuses it; a fault of ours is neither.
pub(super) fn settled<T>(result: Result<T, impl Into<billing::Error>>) {
    if let Err(error) = result.map_err(Into::into) {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error:?}");
    }
}

async fn first_user(ctx: &Ctx) -> Option<User> {
    let users = user::list(ctx, &Default::default(), PageRequest::new(None, None)).await.unwrap().items;
    users.into_iter().next()
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
            // The second, only if it is to come.
            settled(tax_rate::add(&world.operator, world.reseller.id, new).await);
        }
    }
}
