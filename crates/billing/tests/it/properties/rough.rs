//! I3 and I15: accounts of all sorts, billed by batches of any size, by several workers at once, by runs that are killed anywhere
//! and by runs that go from one account to the next, have the documents of clean runs of each, numbered without gaps.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use billing::invoice::{DocumentKind, Invoice, InvoiceTax};
use billing::ledger::{AsOf, trial_balance};
use billing::run::{RunSummary, run, run_by};
use billing::subscription::get;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use db::Db;
use kernel::{InvoiceId, ResellerId};
use proptest::prelude::*;
use sqlx::{Connection as _, PgConnection};
use tenancy::reseller::Reseller;
use testkit::{Cut, Side, World, world};

use super::foreseen::begins;
use super::player::{Account, Change, Player, account, change};
use crate::{date, invoices, shown, verify};

/// How what is due is billed.
#[derive(Debug, Clone)]
pub(super) struct Way {
    accounts: NonZeroU32,
    workers: u32,
    /// Runs before that are killed at so many statements, on either side of them.
    kills: Vec<(u64, bool)>,
    /// Whether no batch of several accounts succeeds.
    one_by_one: bool,
}

impl Way {
    /// All at once, and nobody else.
    pub(super) fn plain() -> Self {
        Self { accounts: NonZeroU32::MAX, workers: 1, kills: Vec::new(), one_by_one: false }
    }
}

/// Some time, and what is changed at its end, by whom.
#[derive(Debug, Clone)]
struct Round {
    hours: i64,
    changes: Vec<(usize, Change)>,
    way: Way,
}

#[derive(Debug, Clone)]
pub(super) struct Story {
    begins: DateTime<Utc>,
    /// Each of the first of two issuers or of the second.
    accounts: Vec<(bool, Account)>,
    rounds: Vec<Round>,
}

pub(super) fn ways() -> impl Strategy<Value = Way> {
    let accounts = prop::sample::select([1, 2, 3, 500].map(|n| NonZeroU32::new(n).unwrap()).to_vec());
    let kills =
        prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec((1_u64..120, any::<bool>()), 1..4)];
    (accounts, 1_u32..4, kills, prop::bool::weighted(0.25))
        .prop_map(|(accounts, workers, kills, one_by_one)| Way { accounts, workers, kills, one_by_one })
}

fn rounds() -> impl Strategy<Value = Round> {
    let changes = prop::collection::vec((0_usize..8, change()), 0..6);
    (1_i64..24 * 40, changes, ways()).prop_map(|(hours, changes, way)| Round { hours, changes, way })
}

pub(super) fn stories() -> impl Strategy<Value = Story> {
    let accounts = prop::collection::vec((any::<bool>(), account()), 2..5);
    (begins(), accounts, prop::collection::vec(rounds(), 1..4)).prop_map(|(begins, accounts, rounds)| Story {
        begins,
        accounts,
        rounds,
    })
}

/// Two issuers, one of which taxes and drafts, three currencies, zones from one end of the day to the other, an account that is
/// credited, and one that is parked.
pub(super) fn of_all_sorts() -> Story {
    let accounts = vec![
        (false, Account::monthly("EUR", Tz::Europe__Berlin, "12.50")),
        (false, Account::monthly("JPY", Tz::Pacific__Kiritimati, "330")),
        (true, Account::monthly("KWD", Tz::America__Los_Angeles, "1.255")),
        (true, Account::monthly("EUR", Tz::Pacific__Apia, "0.14")),
        (true, Account::monthly("EUR", Tz::UTC, "7")),
    ];
    let round = |hours, changes: Vec<(usize, Change)>| {
        let accounts = NonZeroU32::new(500).unwrap();
        Round { hours, changes, way: Way { accounts, workers: 1, kills: Vec::new(), one_by_one: false } }
    };
    let lives = |country| Change::Lives { country };
    // The last of them says nowhere where it is.
    let parties =
        vec![(2, lives("DE")), (3, lives("US")), (2, Change::Taxes), (2, Change::Drafts { days: 3 })];
    let joined = [0, 0, 1, 2, 2, 3, 4].map(|by| (by, Change::Join));
    let left = [0, 0, 2].map(|by| (by, Change::Leave));
    let rounds = vec![
        round(2, parties.into_iter().chain(joined).collect()),
        round(24 * 10, left.to_vec()),
        round(24 * 31, vec![(1, Change::Join)]),
    ];
    Story { begins: date("2026-01-01").and_hms_opt(0, 30, 0).unwrap().and_utc(), accounts, rounds }
}

/// One of two who live through the same story.
struct Twin {
    issuers: [World; 2],
    players: Vec<(usize, Player)>,
}

impl Twin {
    /// The second issuer is below the first.
    async fn new(world: &World, accounts: &[(bool, Account)]) -> Self {
        let of = |reseller: Reseller| World {
            test_db: world.test_db.clone(),
            operator: world.operator.clone(),
            reseller,
            tenant: world.tenant.clone(),
            ctx: world.ctx.clone(),
        };
        let above = world::reseller(&world.operator, "Above").await;
        let below = world::reseller_below(&world.operator, &above, "Below").await;
        let issuers = [of(above), of(below)];
        let mut players = Vec::new();
        for (is_below, account) in accounts {
            let issuer = usize::from(*is_below);
            players.push((issuer, Player::new(&issuers[issuer], account).await));
        }
        Self { issuers, players }
    }

    async fn change(&mut self, by: usize, change: &Change) {
        let nth = by % self.players.len();
        let (issuer, player) = &mut self.players[nth];
        player.change(&self.issuers[*issuer], change).await;
    }

    async fn enter(&mut self) {
        for (issuer, player) in &mut self.players {
            player.enter(&self.issuers[*issuer]).await;
        }
    }

    /// Each account's documents with the next boundary and why it is parked, but for numbers and ids; and what is in each
    /// issuer's ledger.
    async fn told(&self) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
        let mut told = Vec::new();
        for (_, player) in &self.players {
            let subscription = get(&player.ctx).await.unwrap();
            let mut documents = invoices(&player.ctx).await;
            // A void and what is billed again are made in one instant, at which ids are in random order.
            documents
                .sort_by_cached_key(|one| (one.issued_on, shown(one), format!("{} {}", one.status, one.due)));
            let place = |id: &InvoiceId| documents.iter().position(|one| one.id == *id);
            let mut lines: Vec<String> = documents
                .iter()
                .map(|one| {
                    let corrects: BTreeSet<_> = one.corrects.iter().map(place).collect();
                    let tax = |tax: &InvoiceTax| format!("{} {} {}", tax.group, tax.taxable, tax.tax);
                    let taxes: Vec<_> = one.taxes.iter().map(tax).collect();
                    let (status, due_on, due) = (&one.status, one.due_on, one.due);
                    format!("{} {status} {due_on} {due} {taxes:?} {corrects:?}", shown(one))
                })
                .collect();
            lines.push(format!("{:?} {:?}", subscription.next_invoice_on, subscription.parked_reason));
            told.push(lines);
        }
        let mut ledgers = Vec::new();
        for world in &self.issuers {
            let balances = trial_balance(&world.operator, world.reseller.id, AsOf::day(date("2100-01-01")));
            let balances = balances.await.unwrap();
            ledgers.push(balances.iter().map(|one| format!("{:?} {}", one.account, one.balance)).collect());
        }
        (told, ledgers)
    }

    /// I15: of each issuer and series, 1 to n.
    async fn assert_gapless(&self) {
        let mut numbers = BTreeMap::<(ResellerId, &str), Vec<u64>>::new();
        for (_, player) in &self.players {
            for one in invoices(&player.ctx).await {
                let Invoice { number: Some(number), kind, issuer, .. } = one else { continue };
                let (prefix, digits) = number.split_once('-').unwrap();
                assert_eq!(prefix, if kind == DocumentKind::Invoice { "INV" } else { "CRN" });
                numbers.entry((issuer.id, kind.as_str())).or_default().push(digits.parse().unwrap());
            }
        }
        for (series, mut numbers) in numbers {
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{series:?}");
        }
    }
}

/// Makes each statement that writes documents of several accounts fail, as one that gives way to others does.
pub(crate) async fn set_one_by_one(world: &World, is_on: bool) {
    let mut owner = PgConnection::connect(&world.test_db.url()).await.unwrap();
    let on = "create or replace function one_by_one() returns trigger language plpgsql as $$ begin
                if (select count(distinct tenant_id) from written) > 1 then
                  raise exception 'several at once' using errcode = '40001';
                end if;
                return null;
              end $$;
              create trigger one_by_one after insert on billed_boundaries referencing new table as written
                for each statement execute function one_by_one()";
    let statement = if is_on { on } else { "drop trigger one_by_one on billed_boundaries" };
    sqlx::raw_sql(statement).execute(&mut owner).await.unwrap();
    owner.close().await.unwrap();
}

/// Bills all that is due of everybody, that way.
pub(super) async fn bill(world: &World, way: &Way) -> RunSummary {
    // Everybody's own present day comes before that.
    let as_of = (world.operator.db().env().now() + TimeDelta::days(2)).date_naive();
    if way.one_by_one {
        set_one_by_one(world, true).await;
    }
    for (nth, is_after) in &way.kills {
        let side = if *is_after { Side::After } else { Side::Before };
        let cut = Cut::new(&world.test_db.url(), side).await;
        let db = Db::connect(cut.url(), world.test_db.db().env().clone()).await.unwrap();
        cut.arm(*nth);
        tokio::select! {
            biased;
            () = cut.happened() => {}
            // Before its time, or by the cut of which it hears first.
            done = run_by(&db, as_of, None, way.accounts) => drop(done),
        }
    }
    let workers = (0..way.workers).map(|_| {
        let (db, accounts) = (world.test_db.db(), way.accounts);
        tokio::spawn(async move { run_by(&db, as_of, None, accounts).await.unwrap() })
    });
    let mut all = RunSummary::default();
    for worker in workers.collect::<Vec<_>>() {
        let one = worker.await.unwrap();
        assert_eq!(one.accounts_failed, 0, "{one:?}");
        all.accounts_billed += one.accounts_billed;
        all.accounts_parked += one.accounts_parked;
    }
    if way.one_by_one {
        set_one_by_one(world, false).await;
    }
    all
}

/// What the accounts had in the end, as [`Twin::told`] tells it.
pub(super) async fn is_that_of_clean_runs(world: World, story: Story) -> Vec<Vec<String>> {
    let clock = world.test_db.clock();
    clock.set(story.begins);
    let mut clean = Twin::new(&world, &story.accounts).await;
    let mut rough = Twin::new(&world, &story.accounts).await;
    for round in &story.rounds {
        clock.advance(TimeDelta::hours(round.hours));
        for (by, change) in &round.changes {
            clock.advance(TimeDelta::minutes(3));
            clean.change(*by, change).await;
            rough.change(*by, change).await;
        }
        // A parked account is tried again by a run that names it, so it is in both.
        clean.enter().await;
        for (_, player) in &clean.players {
            run(&world.test_db.db(), player.today(), Some(player.ctx.tenant_id())).await.unwrap();
        }
        rough.enter().await;
        for (_, player) in &rough.players {
            if get(&player.ctx).await.unwrap().parked_reason.is_some() {
                run(&world.test_db.db(), player.today(), Some(player.ctx.tenant_id())).await.unwrap();
            }
        }
        bill(&world, &round.way).await;
        assert_eq!(rough.told().await, clean.told().await);
    }
    for twin in [&clean, &rough] {
        twin.assert_gapless().await;
        for (_, player) in &twin.players {
            verify::assert_tenant_clean(&world, player.ctx.tenant_id()).await;
        }
    }
    // A run over the same day adds nothing.
    let told = rough.told().await;
    assert_eq!(bill(&world, &Way::plain()).await.accounts_billed, 0);
    assert_eq!(rough.told().await, told);
    told.0
}
