//! Billing against a real Postgres.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod autopay;
mod changes_billed;
mod corrected;
mod courses;
mod discount;
mod draft;
mod dunning;
mod export;
mod faults;
mod ground;
mod instalments;
mod items;
mod ledger;
mod listed;
mod one_off_item;
mod payment;
mod payment_charge;
mod payment_event;
mod payment_provider;
mod payment_reversal;
mod preview;
mod price_book;
mod properties;
mod run;
mod schedule;
mod statement;
mod story;
mod subscription;
mod tax;
mod told;
mod transfer;
mod usage;
mod vat_register;
mod verify;
mod void;
mod wholesale;
mod zone;

use billing::invoice::{self, Invoice};
use billing::price_book::{NewPrice, PriceBook, publish};
use billing::rating::RemovalPolicy;
use billing::run::RunSummary;
use billing::subscription::{PutSubscription, Subscription, put};
use chrono::NaiveDate;
use kernel::{Money, PageRequest, TenantId};
use secrecy::ExposeSecret as _;
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use tenancy::reseller::Reseller;
use tenancy::user::{self, NewUser, User};
use tenancy::{Caller, Ctx, Role};
use testkit::{World, world};

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Sets the world's clock to a time such as `2026-01-10T12:00`.
fn at(world: &World, time: &str) {
    world.test_db.clock().set(format!("{time}:00Z").parse().unwrap());
}

/// A world on a day such as `2026-01-01`, at nine o'clock.
async fn world_on(day: &str) -> World {
    let world = World::new().await;
    at(&world, &format!("{day}T09:00"));
    world
}

/// A world on a day whose tenant pays by the month from a [`book`], with ada's seat.
async fn with_one_seat(day: &str, policy: RemovalPolicy) -> (World, PriceBook) {
    let world = world_on(day).await;
    let book = book(&world, policy).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    (world, book)
}

fn price(interval: &str, unit_price: &str, policy: RemovalPolicy) -> NewPrice {
    NewPrice {
        item: "mailbox".into(),
        interval: interval.into(),
        model: "flat".into(),
        unit_price: Some(unit_price.into()),
        currency: "EUR".into(),
        removal_policy: Some(policy.as_str().into()),
        ..NewPrice::default()
    }
}

/// 12.50 a month, 120.00 a year; to a tenant of another currency as many of its minor units.
async fn book(world: &World, policy: RemovalPolicy) -> PriceBook {
    let currency = world.tenant.currency;
    let of = |interval, minor| {
        let unit_price = Money::new(minor, currency).decimal();
        NewPrice { currency: currency.code().into(), ..price(interval, &unit_price, policy) }
    };
    let prices = vec![of("month", 1250), of("year", 12_000)];
    publish(&world.operator, Some(world.reseller.id), prices).await.unwrap()
}

fn terms(book: &PriceBook, interval: &str) -> PutSubscription {
    PutSubscription {
        price_book_id: book.id,
        interval: interval.into(),
        payment_schedule: None,
        term_months: None,
        seats_committed: None,
        anchor_date: None,
        trial_ends_on: None,
    }
}

async fn subscribe(ctx: &Ctx, book: &PriceBook, interval: &str) -> Subscription {
    put(ctx, terms(book, interval), None).await.unwrap()
}

async fn subscribed_tenant(world: &World, book: &PriceBook, name: &str, users: u32) -> Ctx {
    let tenant = world::tenant(&world.operator, &world.reseller, name).await;
    let ctx = world.operator.enter(tenant.id).await.unwrap();
    world::domain(&ctx, &domain(&ctx)).await;
    subscribe(&ctx, book, "month").await;
    for n in 0..users {
        seat(&ctx, &format!("user{n}")).await;
    }
    ctx
}

fn domain(ctx: &Ctx) -> String {
    format!("{}.example", ctx.tenant_id().to_string().replace('_', "-"))
}

/// A user without a password: making one is slow on purpose.
async fn seat(ctx: &Ctx, local: &str) -> User {
    let domains =
        tenancy::domain::list(ctx, &Default::default(), PageRequest::new(None, None)).await.unwrap();
    let address = format!("{local}@{}", domains.items[0].name);
    user::create(ctx, NewUser { password: None, ..world::new_user(&address, None) }).await.unwrap()
}

async fn run(world: &World, as_of: &str) -> RunSummary {
    billing::run::run(&world.test_db.db(), date(as_of), None).await.unwrap()
}

async fn invoices(ctx: &Ctx) -> Vec<Invoice> {
    invoice::list(ctx, Default::default(), PageRequest::new(Some(200), None)).await.unwrap().items
}

async fn ctx_of(world: &World, tenant: TenantId) -> Ctx {
    world.operator.enter(tenant).await.unwrap()
}

/// A caller with a full key of the reseller's.
async fn admin_of(world: &World, reseller: &Reseller) -> Caller {
    let new = NewApiKey::full(Role::ResellerAdmin);
    let (_, secret) =
        api_key::create_for_reseller(&world.operator.enter_reseller(reseller.id).await.unwrap(), new)
            .await
            .unwrap();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    auth.bearer(secret.expose_secret(), world.origin()).await.unwrap()
}

/// A document as text: what two runs of the same story must agree on.
fn shown(invoice: &Invoice) -> String {
    let mut text = format!("{} {} {}", invoice.kind.as_str(), invoice.issued_on, invoice.total);
    for line in &invoice.lines {
        let (start, end) = (line.period.start(), line.period.end());
        let kind = line.kind.as_str();
        text += &format!(
            "; {kind} {start}..{end} x{} = {} seat-days, {}",
            line.quantity, line.seat_days, line.amount
        );
    }
    text
}

async fn all_shown(ctx: &Ctx) -> Vec<String> {
    invoices(ctx).await.iter().map(shown).collect()
}
