//! Statements of account: that they agree with the ledger on every day, and whose they are.

use billing::export::Window;
use billing::ledger::{Account, AsOf, trial_balance};
use billing::payment;
use billing::rating::RemovalPolicy;
use billing::statement::{self, Statement, of_tenant};
use chrono::{Days, NaiveDate};
use kernel::{ErrorKind, ResellerId};
use secrecy::ExposeSecret as _;
use tenancy::auth::Auth;
use tenancy::tenant::{self, TenantChange};
use tenancy::{Action, Ctx, Role, api_key};
use testkit::{World, world};

use super::draft::drafted;
use super::payment::{euro, nobody, paid, three_invoices};
use super::{admin_of, at, date, invoices, run};

async fn of(ctx: &Ctx, issuer: Option<ResellerId>, from: &str, until: &str) -> Statement {
    of_tenant(ctx.caller(), ctx.tenant_id(), issuer, Window::new(date(from), date(until)).unwrap())
        .await
        .unwrap()
}

/// `opening; date kind reference change = balance; …; closing`, then the open amounts.
pub(super) fn shown<Id: std::fmt::Debug>(statement: &Statement<Id>) -> (String, [i64; 6]) {
    let [account] = &statement.accounts[..] else { panic!("{statement:?}") };
    let mut text = account.opening.amount_minor.to_string();
    for entry in &account.entries {
        let change = entry.debit.amount_minor - entry.credit.amount_minor;
        let (on, kind, balance) = (entry.effective_on, entry.kind.as_str(), entry.balance.amount_minor);
        text += &format!("; {on} {kind} {} {change} = {balance}", entry.reference.as_deref().unwrap_or("-"));
    }
    (format!("{text}; {}", account.closing.amount_minor), open(account))
}

fn open(account: &statement::Account) -> [i64; 6] {
    let of = account.open;
    [of.current, of.days_1_30, of.days_31_60, of.days_61_90, of.days_over_90, of.credit]
        .map(|money| money.amount_minor)
}

async fn receivable(world: &World, day: NaiveDate) -> i64 {
    let rows = trial_balance(&world.operator, world.reseller.id, AsOf::day(day)).await.unwrap();
    rows.iter().find(|row| row.account == Account::Receivable).map_or(0, |row| row.balance.amount_minor)
}

/// Whatever the days, a statement opens and closes with the ledger's receivable, its entries lead from one to the other, and what is
/// open comes to it; at the end that is what is due of the invoices. For a world in which one tenant is billed.
pub(super) async fn assert_agrees(world: &World, from: NaiveDate, until: NaiveDate) {
    let mut days = vec![from - Days::new(1)];
    while days.last().is_some_and(|last| *last < until) {
        days.push(days[days.len() - 1] + Days::new([1, 30, 7][days.len() % 3]));
    }
    for (n, pair) in days.windows(2).enumerate() {
        // Each from the last one's end, and now and then from the beginning.
        let from = if n % 4 == 3 { days[n.saturating_sub(9)] } else { pair[0] };
        let statement = of(&world.ctx, None, &from.to_string(), &pair[1].to_string()).await;
        let [account] = &statement.accounts[..] else { panic!("{statement:?}") };
        assert_eq!(account.opening.amount_minor, receivable(world, from - Days::new(1)).await, "{from}");
        assert_eq!(
            account.closing.amount_minor,
            receivable(world, pair[1] - Days::new(1)).await,
            "{}",
            pair[1]
        );
        let mut balance = account.opening.amount_minor;
        for entry in &account.entries {
            assert!((from..pair[1]).contains(&entry.effective_on), "{entry:?}");
            balance += entry.debit.amount_minor - entry.credit.amount_minor;
            assert_eq!(entry.balance.amount_minor, balance, "{entry:?}");
        }
        assert_eq!(balance, account.closing.amount_minor);
        let [due @ .., credit] = open(account);
        assert_eq!(due.iter().sum::<i64>() - credit, account.closing.amount_minor, "{statement:?}");
        if pair[1] > until {
            let bills = invoices(&world.ctx).await;
            assert_eq!(due.iter().sum::<i64>(), bills.iter().map(|one| one.due.amount_minor).sum::<i64>());
        }
    }
}

#[tokio::test]
async fn a_statement_tells_what_moved_the_account_and_what_is_open() {
    let world = three_invoices().await;
    at(&world, "2026-03-01T13:00");
    let one = paid(&world.ctx, 2500, "INV-000002").await;
    at(&world, "2026-03-02T12:00");
    let nobody = nobody();
    let refund = payment::refund(&world.operator, &nobody, one.id, Some(euro(700)), "overpaid".into());
    refund.await.unwrap();
    let (text, open) = shown(&of(&world.ctx, None, "2026-03-01", "2026-04-01").await);
    let expected = "5000; 2026-03-01 invoice INV-000003 2500 = 7500; 2026-03-01 payment INV-000002 -2500 = 5000; \
                    2026-03-02 refund overpaid 700 = 5700; 5700";
    assert_eq!(text, expected);
    // Due on 15 January, 15 February and 15 March, on the last of March.
    assert_eq!(open, [0, 2500, 700, 2500, 0, 0]);
    let (text, open) = shown(&of(&world.ctx, None, "2026-01-01", "2026-03-01").await);
    let expected =
        "0; 2026-01-01 invoice INV-000001 2500 = 2500; 2026-02-01 invoice INV-000002 2500 = 5000; 5000";
    assert_eq!((text.as_str(), open), (expected, [0, 2500, 2500, 0, 0, 0]));
    assert_agrees(&world, date("2026-01-01"), date("2026-07-01")).await;
}

#[tokio::test]
async fn a_draft_is_on_no_statement() {
    let world = drafted(3, RemovalPolicy::CreditToBalance).await;
    run(&world, "2026-01-01").await;
    let january = async || shown(&of(&world.ctx, None, "2026-01-01", "2026-02-01").await);
    assert_eq!(january().await, ("0; 0".to_owned(), [0; 6]));
    at(&world, "2026-01-04T09:00");
    run(&world, "2026-01-04").await;
    assert_eq!(january().await.0, "0; 2026-01-04 invoice INV-000001 1250 = 1250; 1250");
}

#[tokio::test]
async fn each_issuer_has_a_statement_of_its_own() {
    let world = three_invoices().await;
    let (former, other) = (world.reseller.id, world::reseller(&world.operator, "Other").await);
    billing::transfer::transfer(&world.ctx, None, other.id).await.unwrap();
    let admin = admin_of(&world, &other).await;
    let ctx = admin.enter(world.ctx.tenant_id()).await.unwrap();
    let own = of(&ctx, None, "2026-01-01", "2026-04-01").await;
    assert_eq!((own.issuer.id, own.issuer.name.as_str()), (other.id, "Other"));
    assert_eq!(shown(&own), ("0; 0".to_owned(), [0; 6]));
    let old = of(&ctx, Some(former), "2026-03-01", "2026-04-01").await;
    assert_eq!((old.issuer.id, old.issuer.name.as_str()), (former, "Hosting"));
    assert_eq!(shown(&old).0, "5000; 2026-03-01 invoice INV-000003 2500 = 7500; 7500");
    let days = Window::new(date("2026-01-01"), date("2026-04-01")).unwrap();
    let third = world::reseller(&world.operator, "Third").await;
    let refused = of_tenant(&admin, ctx.tenant_id(), Some(third.id), days).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    // The former reseller sees the tenant no more, but what it issued, with the customer as it was.
    let issuer = admin_of(&world, &world.reseller).await;
    assert!(issuer.enter(world.ctx.tenant_id()).await.is_err());
    let renamed = TenantChange { name: Some("Hidden".into()), ..TenantChange::default() };
    tenant::update(&ctx, None, renamed).await.unwrap();
    let kept = of_tenant(&issuer, ctx.tenant_id(), Some(former), days).await.unwrap();
    assert_eq!((kept.issuer.id, kept.customer.name.as_str()), (former, world.tenant.name.as_str()));
    assert_eq!(kept.accounts, of(&ctx, Some(former), "2026-01-01", "2026-04-01").await.accounts);
    for hidden in [None, Some(other.id), Some(third.id)] {
        let refused = of_tenant(&issuer, ctx.tenant_id(), hidden, days).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{hidden:?}");
    }
    let new = api_key::NewApiKey {
        actions: [Action::PaymentRead].into(),
        ..api_key::NewApiKey::full(Role::TenantBilling)
    };
    let (_, secret) = api_key::create_for_tenant(&world.ctx, new).await.unwrap();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let narrow = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let refused = of_tenant(&narrow, ctx.tenant_id(), None, days).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
}
