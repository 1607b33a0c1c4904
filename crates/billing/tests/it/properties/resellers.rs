//! I3, I15 and I17 of what the operator bills: resellers whose tenants come, grow, move and go, and whose invoices are voided, billed
//! by several workers at once and by runs that are killed anywhere, have the documents of clean runs, numbered without gaps in the
//! operator's series; and these are what a preview shows.

use billing::invoice::void_either;
use billing::price_book::{NewPrice, NewPriceBook, PriceBook, publish};
use billing::profile::{PutIssuer, put_issuer};
use billing::run::run;
use billing::verify::{Customer, Finding, verify};
use billing::wholesale::agreement::{self, PutAgreement};
use billing::wholesale::invoice::{WholesaleInvoice, WholesaleLine};
use billing::wholesale::preview::Preview;
use billing::{OPERATOR, transfer};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use db::SystemTx;
use kernel::InvoiceId;
use proptest::prelude::*;
use tenancy::reseller::Reseller;
use tenancy::{storage_sample, tenant};
use testkit::{World, world};

use super::foreseen::begins;
use super::player::{Change, Player, ZONES, beside, price, settled};
use super::rough::{Way, bill, ways};
use crate::tax::customer;
use crate::wholesale::preview::{came_true, foreseen};
use crate::wholesale::{documents, tax};

/// What is agreed with a reseller.
#[derive(Debug, Clone)]
struct Terms {
    /// By the second of the two price books.
    other_book: bool,
    terms: Option<i64>,
    seats_committed: i64,
}

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// To a tenant, by itself.
    Uses(usize, Change),
    /// Everything is sampled, whoever has changed.
    Samples,
    /// To another reseller.
    Moves {
        tenant: usize,
        to: usize,
    },
    Deletes(usize),
    Restores(usize),
    /// From so many days ago, if that is asked for.
    Agrees {
        reseller: usize,
        terms: Terms,
        days_ago: Option<u64>,
    },
    Lives {
        reseller: usize,
        country: &'static str,
    },
    /// One of its documents, counted from the last on.
    Voids {
        reseller: usize,
        document: usize,
    },
}

#[derive(Debug, Clone)]
struct Round {
    hours: i64,
    events: Vec<Event>,
    way: Way,
}

#[derive(Debug, Clone)]
pub(super) struct Story {
    begins: DateTime<Utc>,
    currency: &'static str,
    interval: &'static str,
    zone: Tz,
    books: [Vec<NewPrice>; 2],
    taxed: bool,
    /// Of the first two resellers; the third, below the first, has agreed to nothing yet.
    agreed: [Terms; 2],
    /// By which of the three each tenant is sold to.
    tenants: Vec<usize>,
    rounds: Vec<Round>,
}

const RESELLERS: usize = 3;

fn terms() -> impl Strategy<Value = Terms> {
    (any::<bool>(), prop::option::weighted(0.3, 1_i64..4), 0_i64..6)
        .prop_map(|(other_book, terms, seats_committed)| Terms { other_book, terms, seats_committed })
}

/// What the operator sells: it has neither setups, nor changes billed by the day, nor days that are not charged.
fn books(interval: &'static str) -> impl Strategy<Value = Vec<NewPrice>> {
    (price(interval), beside(interval)).prop_map(|(seat, beside)| {
        let of_operator = |price: NewPrice| NewPrice {
            setup_price: None,
            changes_billed: None,
            suspension_policy: None,
            ..price
        };
        std::iter::once(seat).chain(beside).map(of_operator).collect()
    })
}

fn event() -> impl Strategy<Value = Event> {
    let (tenant, reseller) = (0_usize..4, 0..RESELLERS);
    let uses = prop_oneof![
        6 => Just(Change::Join),
        3 => Just(Change::Leave),
        2 => Just(Change::Share),
        1 => Just(Change::Archive),
        1 => Just(Change::Unshare),
        2 => (0_i64..1 << 36).prop_map(|bytes| Change::Store { bytes }),
    ];
    let past = prop::option::weighted(0.5, 0_u64..50);
    prop_oneof![
        10 => (tenant.clone(), uses).prop_map(|(tenant, change)| Event::Uses(tenant, change)),
        1 => Just(Event::Samples),
        2 => (tenant.clone(), reseller.clone()).prop_map(|(tenant, to)| Event::Moves { tenant, to }),
        1 => tenant.clone().prop_map(Event::Deletes),
        1 => tenant.prop_map(Event::Restores),
        3 => (reseller.clone(), terms(), past)
            .prop_map(|(reseller, terms, days_ago)| Event::Agrees { reseller, terms, days_ago }),
        1 => (reseller.clone(), prop::sample::select(vec!["DE", "FR", "US"]))
            .prop_map(|(reseller, country)| Event::Lives { reseller, country }),
        3 => (reseller, 0_usize..6).prop_map(|(reseller, document)| Event::Voids { reseller, document }),
    ]
}

fn rounds() -> impl Strategy<Value = Round> {
    let events = prop::collection::vec(event(), 0..8);
    (1_i64..24 * 40, events, ways()).prop_map(|(hours, events, way)| Round { hours, events, way })
}

pub(super) fn stories() -> impl Strategy<Value = Story> {
    let interval = prop_oneof![3 => Just("month"), 1 => Just("year")];
    let sold = interval.prop_flat_map(|interval| (Just(interval), [books(interval), books(interval)]));
    let currency = prop::sample::select(vec!["JPY", "EUR", "KWD"]);
    let tenants = prop::collection::vec(0..RESELLERS, 1..5);
    let accounts = (sold, currency, prop::sample::select(ZONES.to_vec()), any::<bool>(), [terms(), terms()]);
    (begins(), accounts, tenants, prop::collection::vec(rounds(), 1..4)).prop_map(
        |(begins, ((interval, books), currency, zone, taxed, agreed), tenants, rounds)| Story {
            begins,
            currency,
            interval,
            zone,
            books,
            taxed,
            agreed,
            tenants,
            rounds,
        },
    )
}

/// One of two who live through the same story.
struct Twin<'a> {
    world: &'a World,
    story: &'a Story,
    books: &'a [PriceBook],
    resellers: Vec<Reseller>,
    tenants: Vec<Player>,
}

impl<'a> Twin<'a> {
    async fn new(world: &'a World, story: &'a Story, books: &'a [PriceBook]) -> Self {
        let above = world::reseller(&world.operator, "Above").await;
        let beside = world::reseller(&world.operator, "Beside").await;
        let below = world::reseller_below(&world.operator, &above, "Below").await;
        let resellers = vec![above, beside, below];
        let mut tenants = Vec::new();
        for (nth, by) in story.tenants.iter().enumerate() {
            // They are billed in the order of their ids, which those of one instant have at random.
            world.test_db.clock().advance(TimeDelta::seconds(1));
            let name = format!("Tenant {nth}");
            tenants.push(Player::unbilled(world, &resellers[*by], &name, &books[0]).await);
        }
        let twin = Self { world, story, books, resellers, tenants };
        for (reseller, terms) in twin.resellers.iter().zip(&story.agreed) {
            twin.agree(reseller, terms, None).await.unwrap();
        }
        twin
    }

    fn today(&self) -> NaiveDate {
        self.world.operator.db().env().now().with_timezone(&self.story.zone).date_naive()
    }

    async fn agree(
        &self,
        reseller: &Reseller,
        terms: &Terms,
        days_ago: Option<u64>,
    ) -> Result<(), billing::Error> {
        let months = if self.story.interval == "year" { 12 } else { 1 };
        let new = PutAgreement {
            operator_name: "Pillar Ltd".into(),
            price_book_id: self.books[usize::from(terms.other_book)].id,
            interval: self.story.interval.into(),
            term_months: terms.terms.map(|terms| terms * months),
            seats_committed: Some(terms.seats_committed),
            time_zone: Some(self.story.zone.name().into()),
            starts_on: days_ago.map(|days| (self.today() - Days::new(days)).to_string()),
            anchor_date: None,
        };
        let ctx = self.world.operator.enter_reseller(reseller.id).await.unwrap();
        agreement::put(&ctx, new, None).await.map(drop)
    }

    /// What the present state refuses changes nothing.
    async fn happens(&mut self, event: &Event) {
        let count = self.tenants.len();
        match event {
            Event::Uses(tenant, change) => self.tenants[tenant % count].change(self.world, change).await,
            Event::Samples => drop(storage_sample::record(&self.world.test_db.db()).await.unwrap()),
            Event::Moves { tenant, to } => {
                let player = &mut self.tenants[tenant % count];
                player.enter(self.world).await;
                settled(transfer::transfer(&player.ctx, None, self.resellers[*to].id).await);
            }
            Event::Deletes(tenant) => {
                let player = &mut self.tenants[tenant % count];
                player.enter(self.world).await;
                settled(tenant::delete(&player.ctx, None).await);
            }
            Event::Restores(tenant) => {
                let player = &mut self.tenants[tenant % count];
                player.enter(self.world).await;
                settled(tenant::restore(&player.ctx).await);
            }
            Event::Agrees { reseller, terms, days_ago } => {
                settled(self.agree(&self.resellers[*reseller], terms, *days_ago).await);
            }
            Event::Lives { reseller, country } => self.lives(&self.resellers[*reseller], country).await,
            Event::Voids { reseller, document } => {
                let documents = documents(self.world, &self.resellers[*reseller]).await;
                if let Some(one) = documents.iter().rev().nth(*document) {
                    settled(void_either(&self.world.operator, one.id, "a mistake").await);
                }
            }
        }
    }

    async fn lives(&self, reseller: &Reseller, country: &str) {
        let vat_id = (country == "FR").then_some("FR40303265045");
        tax::is(self.world, reseller, customer(country, vat_id)).await;
    }

    /// Each reseller's documents with the next boundary and why it is parked, but for numbers and ids.
    async fn told(&self) -> Vec<Vec<String>> {
        let mut told = Vec::new();
        for reseller in &self.resellers {
            let mut documents = documents(self.world, reseller).await;
            documents.sort_by_key(|one| (one.issued_on, one.reason.is_none()));
            let place = |id: &InvoiceId| documents.iter().position(|one| one.id == *id);
            let mut lines: Vec<String> = documents.iter().map(|one| content(one, &place)).collect();
            let ctx = self.world.operator.enter_reseller(reseller.id).await.unwrap();
            // The third may not have agreed to anything.
            if let Ok(agreed) = agreement::get(&ctx).await {
                lines.push(format!("{} {:?}", agreed.next_invoice_on, agreed.parked_reason));
            }
            told.push(lines);
        }
        told
    }

    /// What a run would make today of each that has agreed to something and is not parked, which a run passes over.
    async fn foreseen(&self) -> Vec<(&Reseller, usize, Preview)> {
        let mut ahead = Vec::new();
        for reseller in &self.resellers {
            let ctx = self.world.operator.enter_reseller(reseller.id).await.unwrap();
            if agreement::get(&ctx).await.is_ok_and(|agreed| agreed.parked_reason.is_none()) {
                ahead.push(foreseen(self.world, reseller, &self.today().to_string()).await);
            }
        }
        ahead
    }

    /// The numbers of its documents, by series.
    async fn numbers(&self) -> Vec<String> {
        let mut numbers = Vec::new();
        for reseller in &self.resellers {
            numbers.extend(documents(self.world, reseller).await.into_iter().map(|one| one.number));
        }
        numbers
    }

    /// Whatever is due of its resellers is due no more, or is again.
    #[expect(clippy::disallowed_methods, reason = "a test reaches behind the domain")]
    async fn put_aside(&self, is_aside: bool) {
        let ids: Vec<_> = self.resellers.iter().map(|one| one.id.uuid()).collect();
        let mut tx = SystemTx::begin(&self.world.test_db.db()).await.unwrap();
        // Boundaries are days of this age, and stay told apart by their distance.
        let statement = "update wholesale_agreements set next_invoice_on = next_invoice_on + $1 where reseller_id = any ($2)";
        let days = if is_aside { 365 * 1000 } else { -365 * 1000 };
        sqlx::query(statement).bind(days).bind(ids).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn content(one: &WholesaleInvoice, place: &dyn Fn(&InvoiceId) -> Option<usize>) -> String {
    let line = |line: &WholesaleLine| {
        let whose = line.tenant.as_ref().map(|tenant| &tenant.name);
        let (period, quantity, days, amount) = (line.period, line.quantity, line.seat_days, line.amount);
        let of = (whose, &line.item, line.kind, &line.description, &line.unit_price, line.tax);
        format!("{of:?} {period:?} x{quantity} {days} {amount}")
    };
    let lines: Vec<_> = one.lines.iter().map(line).collect();
    let mut corrects: Vec<_> = one.corrects.iter().map(place).collect();
    corrects.sort_unstable();
    let money = (one.net, one.tax, one.total, one.due);
    format!(
        "{:?} {} {} {} {money:?} {:?} {corrects:?} {lines:#?}",
        one.kind, one.status, one.issued_on, one.due_on, one.taxes
    )
}

/// The operator issues so, from now on.
async fn issues(world: &World, taxed: bool) {
    put_issuer(&world.operator, OPERATOR, PutIssuer { charges_tax: taxed, ..tax::issuer() }, None)
        .await
        .unwrap();
    if taxed && billing::tax_rate::list(&world.operator, OPERATOR).await.unwrap().is_empty() {
        tax::rate(world, "19", "2007-01-01").await;
    }
}

/// I15: these are the numbers after the last that was there before, without a gap.
fn assert_gapless(before: &[String], numbers: &[String]) {
    for series in ["INV-", "CRN-"] {
        let of = |numbers: &[String]| {
            let mut digits: Vec<u64> = numbers
                .iter()
                .filter_map(|one| one.strip_prefix(series))
                .map(|one| one.parse().unwrap())
                .collect();
            digits.sort_unstable();
            digits
        };
        let last = of(before).last().copied().unwrap_or(0);
        let made = of(numbers);
        assert_eq!(made, (last + 1..=last + made.len() as u64).collect::<Vec<_>>(), "{series}");
    }
}

/// The numbers that the operator has given out.
#[expect(clippy::disallowed_methods, reason = "a test reaches behind the domain")]
async fn given_out(world: &World) -> Vec<String> {
    let mut tx = SystemTx::begin(&world.test_db.db()).await.unwrap();
    let all = "select case kind when 'invoice' then 'INV-' else 'CRN-' end || number from wholesale_invoices";
    sqlx::query_scalar(all).fetch_all(tx.conn()).await.unwrap()
}

/// What the resellers had in the end, as [`Twin::told`] tells it.
pub(super) async fn is_that_of_clean_runs(world: World, story: Story) -> Vec<Vec<String>> {
    let clock = world.test_db.clock();
    clock.set(story.begins);
    issues(&world, story.taxed).await;
    let mut books = Vec::new();
    for prices in &story.books {
        let of_book = |price: &NewPrice| NewPrice { currency: story.currency.into(), ..price.clone() };
        let new = NewPriceBook { tax_behavior: None, prices: prices.iter().map(of_book).collect() };
        books.push(publish(&world.operator, None, new).await.unwrap());
    }
    let before = given_out(&world).await;
    let mut clean = Twin::new(&world, &story, &books).await;
    let mut rough = Twin::new(&world, &story, &books).await;
    for twin in [&clean, &rough] {
        for (reseller, country) in twin.resellers.iter().zip(["DE", "FR"]) {
            twin.lives(reseller, country).await;
        }
    }
    for round in &story.rounds {
        clock.advance(TimeDelta::hours(round.hours));
        for event in &round.events {
            clock.advance(TimeDelta::minutes(3));
            clean.happens(event).await;
            rough.happens(event).await;
        }
        // What is made of it has later ids.
        clock.advance(TimeDelta::minutes(3));
        rough.put_aside(true).await;
        let ahead = clean.foreseen().await;
        let as_of = world.operator.db().env().now().date_naive() + Days::new(2);
        run(&world.test_db.db(), as_of, None).await.unwrap();
        for one in ahead {
            came_true(&world, one).await;
        }
        rough.put_aside(false).await;
        bill(&world, &round.way).await;
        assert_eq!(rough.told().await, clean.told().await);
    }
    let told = rough.told().await;
    assert_eq!(bill(&world, &Way::plain()).await.accounts_billed, 0);
    assert_eq!(rough.told().await, told, "a run over the same day adds nothing");
    assert_gapless(&before, &[clean.numbers().await, rough.numbers().await].concat());
    let whose: Vec<_> = clean.resellers.iter().chain(&rough.resellers).map(|one| one.id).collect();
    let found = |finding: &Finding| match finding.customer {
        // What earlier cases left is billed no more, as if it had not gone on.
        Some(Customer::Reseller(id)) if !whose.contains(&id) => {}
        _ => panic!("{finding}"),
    };
    verify(&world.operator, None, found).await.unwrap();
    told
}
