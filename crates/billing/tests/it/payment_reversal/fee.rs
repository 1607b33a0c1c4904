//! What the provider charges for a dispute: the issuer's cost, in the currency in which it is charged, once.

use std::collections::BTreeMap;

use billing::export::{self, Kind as File, Level, Window};
use billing::ledger::{AsOf, Balance, trial_balance};
use billing::table::Format;

use proptest::prelude::*;
use proptest::sample::Index;
use testkit::World;

use super::*;
use crate::date;
use crate::payment::{currencies, in_currency};

impl Scene {
    /// The issuer's accounts of money and of what the provider charges.
    async fn accounts(&self) -> Vec<String> {
        let issuer = self.world.reseller.id;
        let rows = trial_balance(&self.world.operator, issuer, AsOf::day(date("2100-01-01"))).await.unwrap();
        let rows = rows.iter().filter(|row| matches!(row.account, Account::Cash | Account::ProviderFees));
        rows.map(|row| format!("{} {}", row.account.as_str(), row.balance)).collect()
    }

    /// The ledger's rows of what a dispute did, as its file has them.
    async fn exported(&self) -> Vec<String> {
        let own = self.world.operator.enter_reseller(self.world.reseller.id).await.unwrap();
        let days = Window::new(date("2026-01-01"), date("2027-01-01")).unwrap();
        let mut open =
            export::open(&own, File::Ledger, Level::Retail, days, Format::JsonLines).await.unwrap();
        let mut file = Vec::new();
        while let Some(piece) = open.next().await.unwrap() {
            file.extend(piece);
        }
        let rows = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let rows = rows.map(|line| serde_json::from_slice::<Value>(line).unwrap());
        let mut shown: Vec<_> = rows
            .filter(|row| row["code"].as_str().unwrap().starts_with("dispute"))
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                let reference = text("reference");
                let [prefix, _] = reference.split('_').collect::<Vec<_>>()[..] else { panic!("{reference}") };
                let (debit, credit) = (text("debit_account"), text("credit_account"));
                format!(
                    "{prefix} {} {debit}/{credit} {} {}",
                    text("code"),
                    row["amount_minor"],
                    text("currency")
                )
            })
            .collect();
        shown.sort();
        shown
    }
}

#[tokio::test]
async fn a_fee_is_the_issuer_s_cost_once_in_whatever_order_it_is_told() {
    for (end, currency, is_returned, expected) in [
        ("lost", "eur", true, vec!["cash -10.00 EUR", "provider_fees 15.00 EUR"]),
        ("won", "eur", true, vec!["cash 25.00 EUR", "provider_fees 0.00 EUR"]),
        ("won", "eur", false, vec!["cash 10.00 EUR", "provider_fees 15.00 EUR"]),
        ("lost", "usd", true, vec!["cash 5.00 EUR", "cash -15.00 USD", "provider_fees 15.00 USD"]),
        ("won", "jpy", true, vec!["cash 25.00 EUR", "cash 0 JPY", "provider_fees 0 JPY"]),
    ] {
        for turn in 0..4 {
            let scene = Scene::new().await;
            scene.fake.charge_disputes(1500, currency, is_returned);
            scene.pay().await.unwrap();
            tell_in_turn(&scene, events(&scene, 2000, Some(end)), turn).await;
            assert_eq!(scene.accounts().await, expected, "{end} {currency} {is_returned} {turn}");
            // The customer owes what the dispute took, and no fee.
            let due = if end == "lost" { "final 500/2000" } else { "paid 2500/0" };
            assert_eq!(states(&scene.world.ctx).await[0], due);
            assert_clean(&scene.world).await;
            crate::statement::assert_agrees(&scene.world, date("2026-01-01"), date("2026-04-01")).await;
            let trail = told(&scene.world, Kind::PaymentDisputeOpened).await;
            assert!(trail.iter().all(|data| !format!("{data:?}").contains("1500")), "{trail:?}");
        }
    }
}

#[tokio::test]
async fn the_ledger_s_file_has_each_fee_in_its_own_currency() {
    let scene = Scene::new().await;
    scene.fake.charge_disputes(1500, "kwd", true);
    scene.pay().await.unwrap();
    for body in events(&scene, 2000, Some("won")) {
        scene.tell(&body).await.unwrap();
    }
    let expected = [
        "dsf dispute_fee provider_fees/cash 1500 KWD",
        "dsf dispute_fee_returned cash/provider_fees 1500 KWD",
        "dsp dispute receivable/cash 2000 EUR",
        "dsp dispute_reinstated cash/receivable 2000 EUR",
    ];
    assert_eq!(scene.exported().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fee_told_at_once_is_booked_once() {
    let scene = std::sync::Arc::new(Scene::new().await);
    scene.fake.charge_disputes(1500, "eur", true);
    scene.pay().await.unwrap();
    let body = event("evt_1", "charge.dispute.created", &scene.fake.dispute("pi_1", 800));
    let tellers = (0..8).map(|_| {
        let (scene, body) = (scene.clone(), body.clone());
        tokio::spawn(async move { scene.tell(&body).await.unwrap() })
    });
    for teller in tellers.collect::<Vec<_>>() {
        teller.await.unwrap();
    }
    assert_eq!(scene.accounts().await, ["cash 2.00 EUR", "provider_fees 15.00 EUR"]);
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn a_fee_without_sense_is_left_out_and_the_dispute_is_noted() {
    for (name, value) in [
        ("currency", json!("xyz")),
        ("currency", json!("isk")),
        ("id", json!("")),
        ("fee", json!(i64::MIN)),
        ("fee", json!(i64::MAX)),
    ] {
        let scene = Scene::new().await;
        scene.fake.charge_disputes(1501, "eur", true);
        scene.pay().await.unwrap();
        let mut dispute = scene.fake.dispute("pi_1", 800);
        dispute["balance_transactions"][0][name] = value.clone();
        scene.tell(&event("evt_1", "charge.dispute.created", &dispute)).await.unwrap();
        assert_eq!(scene.accounts().await, ["cash 17.00 EUR"], "{name} {value}");
        assert_clean(&scene.world).await;
    }
}

#[tokio::test]
async fn a_dispute_of_what_was_paid_back_costs_its_fee() {
    let scene = Scene::new().await;
    scene.fake.charge_disputes(1500, "eur", true);
    let one = scene.pay().await.unwrap();
    payment::refund(&scene.world.operator, &scene.client, one.id, None, "x".into()).await.unwrap();
    let dispute = scene.fake.dispute("pi_1", 800);
    for _ in 0..2 {
        scene.tell(&event("evt_1", "charge.dispute.created", &dispute)).await.unwrap();
    }
    assert_eq!(payment::get(&scene.world.operator, one.id).await.unwrap().disputes, []);
    assert_eq!(scene.accounts().await, ["cash -15.00 EUR", "provider_fees 15.00 EUR"]);
    assert_clean(&scene.world).await;
}

#[tokio::test]
async fn verifying_compares_fees_with_the_ledger_and_nobody_changes_them() {
    for (tampering, fault, balances) in [
        ("delete from transfers where code = 'dispute_fee'", Fault::Missing, 2),
        ("delete from transfers where code = 'dispute_fee_returned'", Fault::Missing, 2),
        ("update dispute_fees set amount_minor = 1499 where amount_minor > 0", Fault::Differs, 2),
        ("update dispute_fees set charged_on = charged_on - 1 where amount_minor > 0", Fault::Differs, 0),
        ("update dispute_fees set currency = 'EUR' where amount_minor > 0", Fault::Differs, 4),
        ("delete from dispute_fees where amount_minor < 0", Fault::Unfounded, 2),
    ] {
        let scene = Scene::new().await;
        scene.fake.charge_disputes(1500, "usd", true);
        scene.pay().await.unwrap();
        for body in events(&scene, 2000, Some("won")) {
            scene.tell(&body).await.unwrap();
        }
        assert_clean(&scene.world).await;
        let refused = sqlx::query(tampering).execute(scene.world.ctx.begin().await.unwrap().conn()).await;
        assert!(refused.unwrap_err().to_string().contains("permission denied"), "{tampering}");
        let owner = crate::verify::owner(&scene.world).await;
        sqlx::raw_sql(tampering).execute(&owner).await.unwrap();
        let found = crate::verify::found(&scene.world).await;
        let [Difference::Transfer { posted: Posted::DisputeFee(_), fault: is, .. }, rest @ ..] = &found[..]
        else {
            panic!("{tampering}: {found:?}")
        };
        assert_eq!((*is, rest.len()), (fault, balances), "{tampering}: {found:?}");
        assert!(rest.iter().all(|one| matches!(one, Difference::Balance { .. })), "{tampering}: {found:?}");
    }
}

#[tokio::test]
async fn fees_are_kept_apart_by_currency() {
    let scene = Scene::new().await;
    scene.pay().await.unwrap();
    for (nth, currency) in ["eur", "usd", "eur"].into_iter().enumerate() {
        scene.fake.charge_disputes(100, currency, true);
        let dispute = scene.fake.dispute("pi_1", 500);
        scene.tell(&event(&format!("evt_{nth}"), "charge.dispute.created", &dispute)).await.unwrap();
    }
    let expected = ["cash 8.00 EUR", "provider_fees 2.00 EUR", "cash -1.00 USD", "provider_fees 1.00 USD"];
    assert_eq!(scene.accounts().await, expected);
    assert_clean(&scene.world).await;
}

/// A dispute as it may go.
#[derive(Debug, Clone)]
struct Contested {
    amount: i64,
    fee: i64,
    /// That of the payment, or another one.
    fee_currency: Option<&'static str>,
    is_returned: bool,
    end: Option<&'static str>,
}

fn contested() -> impl Strategy<Value = Contested> {
    let fee_currency = prop::option::of(prop::sample::select(vec!["usd", "bhd", "krw"]));
    let end = prop::option::of(prop::sample::select(vec!["won", "lost"]));
    (1_i64..800, 0_i64..3_000, fee_currency, any::<bool>(), end).prop_map(
        |(amount, fee, fee_currency, is_returned, end)| Contested {
            amount,
            fee,
            fee_currency,
            is_returned,
            end,
        },
    )
}

/// Whatever is told how often and in which order: cash is what came less what went and less the fees, each in its currency, and
/// the customer owes what disputes have taken.
async fn comes_to_the_same(world: World, (code, all, order): (&str, Vec<Contested>, Vec<Index>)) {
    let scene = Scene::within(in_currency(world, code).await).await;
    scene.pay().await.unwrap();
    let (mut bodies, mut taken) = (Vec::new(), 0);
    let mut fees = BTreeMap::<String, i64>::new();
    for one in &all {
        let currency = one.fee_currency.unwrap_or(code).to_uppercase();
        scene.fake.charge_disputes(one.fee, &currency.to_lowercase(), one.is_returned);
        bodies.extend(events(&scene, one.amount, one.end));
        taken += if one.end == Some("won") { 0 } else { one.amount };
        let is_kept = one.end != Some("won") || !one.is_returned;
        *fees.entry(currency).or_default() += if is_kept { one.fee } else { 0 };
    }
    for index in order.iter().filter(|_| !bodies.is_empty()) {
        scene.tell(&bodies[index.index(bodies.len())]).await.unwrap();
    }
    for body in bodies.iter().rev().chain(&bodies) {
        scene.tell(body).await.unwrap();
    }
    let mut expected = BTreeMap::from([(code.to_owned(), 2500 - taken)]);
    for (currency, fee) in &fees {
        *expected.entry(currency.clone()).or_default() -= fee;
    }
    let issuer = scene.world.reseller.id;
    let rows = trial_balance(&scene.world.operator, issuer, AsOf::day(date("2100-01-01"))).await.unwrap();
    let of = |account: Account| {
        let rows = rows.iter().filter(|row| row.account == account && row.balance.amount_minor != 0);
        let of = |row: &Balance| (row.balance.currency.code().to_owned(), row.balance.amount_minor);
        rows.map(of).collect::<BTreeMap<_, _>>()
    };
    expected.retain(|_, amount| *amount != 0);
    fees.retain(|_, fee| *fee != 0);
    assert_eq!((of(Account::Cash), of(Account::ProviderFees)), (expected, fees));
    assert_eq!(of(Account::Receivable), BTreeMap::from([(code.to_owned(), 5000 + taken)]));
    crate::verify::assert_tenant_clean(&scene.world, scene.world.tenant.id).await;
}

#[test]
fn i2_what_disputes_take_and_cost_comes_to_the_same_in_whatever_order_it_is_told() {
    let order = prop::collection::vec(any::<Index>(), 0..12);
    let stories = (currencies(), prop::collection::vec(contested(), 0..4), order);
    crate::ground::check("i2_disputes", 6, &stories, comes_to_the_same);
}
