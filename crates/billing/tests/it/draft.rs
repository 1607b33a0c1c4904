//! Drafts: they count as billed, become final in time or at once, and are made anew when they are discarded.

use billing::invoice::{self, Found, Invoice};
use billing::payment::{self, NewTransfer};
use billing::profile::{NewAddress, PutIssuer, put_issuer};
use billing::rating::RemovalPolicy;
use kernel::ErrorKind;
use tenancy::Ctx;
use testkit::{World, world};

use super::courses::run_and_verify;
use super::discount::{give, percent};
use super::export::rows;
use super::one_off_item::{add, list, with_setup};
use super::verify::{assert_clean, remove_first};
use super::{admin_of, all_shown, at, book, invoices, run, seat, shown, subscribe, with_one_seat, world_on};

/// An issuer that looks at drafts for so many days.
pub(crate) async fn drafting(world: &World, draft_days: u32, if_version: i64) {
    let new = PutIssuer {
        legal_name: "North Hosting GmbH".into(),
        address: NewAddress {
            street: "Hafenstr. 1".into(),
            city: "Hamburg".into(),
            country: "DE".into(),
            ..NewAddress::default()
        },
        draft_days,
        ..PutIssuer::default()
    };
    put_issuer(&world.operator, world.reseller.id, new, Some(if_version)).await.unwrap();
}

/// [`with_one_seat`] on New Year's Day, of an issuer that looks at drafts for so many days.
pub(super) async fn drafted(draft_days: u32, policy: RemovalPolicy) -> World {
    let (world, _) = with_one_seat("2026-01-01", policy).await;
    drafting(&world, draft_days, 0).await;
    world
}

/// `status number issued_on due_on`.
async fn standing(ctx: &Ctx) -> Vec<String> {
    let shown = |invoice: &Invoice| {
        let number = invoice.number.as_deref().unwrap_or("-");
        format!("{} {number} {} {}", invoice.status, invoice.issued_on, invoice.due_on)
    };
    invoices(ctx).await.iter().map(shown).collect()
}

#[tokio::test]
async fn a_draft_cannot_be_paid_yet_and_says_so() {
    let world = drafted(3, RemovalPolicy::CreditToBalance).await;
    run(&world, "2026-01-01").await;
    let draft = invoices(&world.ctx).await[0].id;
    let transfer = NewTransfer {
        amount: super::payment::euro(1250),
        reference: String::new(),
        received_on: "2026-01-01".into(),
        invoice_id: Some(draft),
    };
    let refused = payment::record(&world.ctx, transfer.clone()).await.unwrap_err();
    let [error] = refused.field_errors() else { panic!("{refused:?}") };
    assert_eq!(error.pointer, "/invoice_id");
    assert!(error.detail.starts_with("is a draft, which cannot be paid yet"), "{error:?}");
    let refused = payment::pay(&world.operator, &super::payment::nobody(), draft).await.unwrap_err();
    assert_eq!((refused.code(), refused.to_string()), ("nothing_due", error.detail.clone()));
    invoice::finalize(&world.operator, draft).await.unwrap();
    let paid = payment::record(&world.ctx, transfer).await.unwrap();
    assert_eq!((paid.invoice_id, invoices(&world.ctx).await[0].status.as_str()), (Some(draft), "paid"));
}

#[tokio::test]
async fn a_draft_becomes_final_on_its_day_and_is_billed_once() {
    let world = drafted(3, RemovalPolicy::CreditToBalance).await;
    let first = run(&world, "2026-01-01").await;
    assert_eq!((first.drafts, first.invoices), (1, 0));
    assert_eq!(standing(&world.ctx).await, ["draft - 2026-01-04 2026-01-18"]);
    assert_eq!(invoices(&world.ctx).await[0].due.amount_minor, 0);
    assert_clean(&world, 1).await;
    for day in ["2026-01-02", "2026-01-03"] {
        at(&world, &format!("{day}T09:00"));
        let again = run(&world, day).await;
        assert_eq!((again.drafts, again.invoices), (0, 0));
    }
    // Nobody ran on the day itself: it is issued on the day on which it becomes final.
    at(&world, "2026-01-06T09:00");
    assert_eq!(run(&world, "2026-01-06").await.invoices, 1);
    assert_eq!(standing(&world.ctx).await, ["final INV-000001 2026-01-06 2026-01-20"]);
    assert_eq!(invoices(&world.ctx).await[0].due.amount_minor, 1250);
    assert_clean(&world, 1).await;
    let changed = invoice::discard(&world.operator, invoices(&world.ctx).await[0].id).await.unwrap_err();
    assert_eq!((changed.kind(), changed.code()), (ErrorKind::Conflict, "not_a_draft"));
}

#[tokio::test]
async fn drafts_become_final_at_once_the_oldest_first() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    drafting(&world, 28, 0).await;
    subscribe(&world.ctx, &book, "month").await;
    for name in ["ada", "bob", "eve"] {
        seat(&world.ctx, name).await;
    }
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-11T09:00");
    remove_first(&world.ctx).await;
    remove_first(&world.ctx).await;
    remove_first(&world.ctx).await;
    at(&world, "2026-02-01T09:00");
    // The first has come of age at the 29th; the second is a credit note.
    let summary = run(&world, "2026-02-01").await;
    assert_eq!((summary.invoices, summary.credit_notes, summary.drafts), (1, 0, 1));
    assert_clean(&world, 2).await;
    at(&world, "2026-02-02T09:00");
    let note = invoices(&world.ctx).await[1].id;
    let made = invoice::finalize(&world.operator, note).await.unwrap();
    assert_eq!((made.number.as_deref(), made.corrects.len()), (Some("CRN-000001"), 1));
    assert_clean(&world, 2).await;
}

#[tokio::test]
async fn a_discarded_draft_is_made_anew_from_the_log() {
    let world = drafted(5, RemovalPolicy::AtCycleEnd).await;
    run(&world, "2026-01-01").await;
    // On the boundary's own day, after it was billed.
    at(&world, "2026-01-01T15:00");
    seat(&world.ctx, "bob").await;
    let draft = invoices(&world.ctx).await[0].clone();
    let early = invoice::discard(&world.operator, draft.id).await;
    early.unwrap();
    assert_eq!(invoices(&world.ctx).await.len(), 0);
    let gone = invoice::get(&world.operator, draft.id).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert_clean(&world, 1).await;
    at(&world, "2026-01-02T09:00");
    let summary = run(&world, "2026-01-02").await;
    assert_eq!((summary.drafts, summary.invoices), (1, 0));
    let anew = invoices(&world.ctx).await;
    assert_eq!(
        anew.iter().map(shown).collect::<Vec<_>>(),
        ["invoice 2026-01-07 25.00 EUR; recurring 2026-01-01..2026-02-01 x2 = 62 seat-days, 25.00 EUR"]
    );
    assert_clean(&world, 2).await;
    assert_eq!(run(&world, "2026-01-02").await.drafts, 0);
    let made = invoice::finalize(&world.operator, anew[0].id).await.unwrap();
    assert_eq!(made.number.as_deref(), Some("INV-000001"));
    assert!(matches!(invoice::find(&world.operator, made.id).await.unwrap(), Found::Retail(_)));
    assert_clean(&world, 2).await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    assert_clean(&world, 3).await;
}

#[tokio::test]
async fn what_comes_once_and_what_is_off_is_on_the_draft_that_is_made_anew() {
    let world = world_on("2026-01-01").await;
    drafting(&world, 3, 0).await;
    let book = with_setup(&world, "49.995").await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    add(&world.ctx, None).await;
    give(&world.ctx, percent("10", "2026-01-01", None)).await;
    run_and_verify(&world, "2026-01-01").await;
    let made = all_shown(&world.ctx).await;
    assert!(made[0].starts_with("invoice 2026-01-04 332.75 EUR; recurring"), "{made:?}");
    for documents in 2..4 {
        let draft = invoices(&world.ctx).await[0].id;
        assert_eq!(list(&world.ctx).await[0].invoice_id, Some(draft));
        invoice::discard(&world.operator, draft).await.unwrap();
        assert_eq!(list(&world.ctx).await[0].invoice_id, None, "it waits again");
        assert_clean(&world, documents - 1).await;
        assert_eq!(super::preview::previewed(&world.ctx, "2026-01-01").await, made);
        for drafts in [1, 0] {
            assert_eq!(run(&world, "2026-01-01").await.drafts, drafts);
            assert_clean(&world, documents).await;
        }
        assert_eq!(all_shown(&world.ctx).await, made);
    }
    // What was added by mistake goes with a draft for good.
    invoice::discard(&world.operator, invoices(&world.ctx).await[0].id).await.unwrap();
    billing::one_off_item::delete(&world.ctx, list(&world.ctx).await[0].id).await.unwrap();
    run(&world, "2026-01-01").await;
    assert_eq!(invoices(&world.ctx).await[0].total.amount_minor, 1250 - 125 + 5000);
    assert_clean(&world, 4).await;
    at(&world, "2026-01-04T09:00");
    assert_eq!(run(&world, "2026-01-04").await.invoices, 1);
    assert_clean(&world, 4).await;
}

#[tokio::test]
async fn a_draft_is_neither_exported_nor_dunned_nor_a_margin() {
    use billing::export::{Kind, Level, Window};
    let world = drafted(28, RemovalPolicy::CreditToBalance).await;
    run(&world, "2026-01-01").await;
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let policy = billing::dunning::Policy {
        remind_after_days: vec![1],
        suspend_after_days: None,
        suspend_capabilities: vec![],
        cancel_after_days: None,
    };
    billing::dunning::put(&reseller, &policy, None).await.unwrap();
    let own = super::admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    let margins = || async {
        let year = Window::new(super::date("2026-01-01"), super::date("2027-01-01")).unwrap();
        let list = billing::wholesale::margin::list(&own, year);
        list.await.unwrap().iter().map(|of| of.retail.amount_minor).collect::<Vec<_>>()
    };
    let counts = || async {
        let documents = rows(&reseller, Kind::Invoices, Level::Retail).await.len();
        (documents, rows(&reseller, Kind::InvoiceLines, Level::Retail).await.len())
    };
    // Past the day on which it would have been due.
    at(&world, "2026-02-20T09:00");
    let dunned = billing::dunning::run(&world.test_db.db()).await.unwrap();
    assert_eq!((counts().await, dunned.steps), ((0, 0), 0));
    assert_eq!(margins().await, [0; 0]);
    let draft = invoices(&world.ctx).await[0].id;
    let pay = NewTransfer {
        amount: kernel::Money::new(100, "EUR".parse().unwrap()),
        invoice_id: Some(draft),
        reference: String::new(),
        received_on: "2026-02-20".into(),
    };
    let error = payment::record(&world.ctx, pay).await.unwrap_err();
    assert_eq!(error.field_errors()[0].pointer, "/invoice_id");
    invoice::finalize(&world.operator, draft).await.unwrap();
    assert_eq!((counts().await, margins().await), ((1, 1), vec![1250]));
    at(&world, "2026-03-10T09:00");
    assert_eq!(billing::dunning::run(&world.test_db.db()).await.unwrap().steps, 1);
}

#[tokio::test]
async fn a_draft_is_not_discarded_under_what_takes_it_back_nor_passed_over() {
    let world = drafted(28, RemovalPolicy::CreditToBalance).await;
    seat(&world.ctx, "bob").await;
    at(&world, "2026-01-11T09:00");
    // Two boundaries at once: both are drafts, and the second takes back some of the first.
    run(&world, "2026-01-11").await;
    remove_first(&world.ctx).await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let [first, second] = &invoices(&world.ctx).await[..] else { panic!("two drafts") };
    let under = invoice::discard(&world.operator, first.id).await.unwrap_err();
    assert_eq!(under.code(), "credited_since");
    let over = invoice::finalize(&world.operator, second.id).await.unwrap_err();
    assert_eq!(over.code(), "earlier_draft");
    assert_clean(&world, 2).await;
    // From the newest on, both can go, and what is owed is one document then.
    invoice::discard(&world.operator, second.id).await.unwrap();
    invoice::discard(&world.operator, first.id).await.unwrap();
    run(&world, "2026-02-01").await;
    let anew = invoices(&world.ctx).await;
    // 1250 for February; of January one for all days and one for eleven.
    let total = 1250 + 1250 + 444;
    assert_eq!(anew.iter().map(|invoice| invoice.total.amount_minor).collect::<Vec<_>>(), [total]);
    assert_clean(&world, 3).await;
}

#[tokio::test]
async fn a_former_issuers_draft_becomes_final_in_its_own_series() {
    let world = drafted(3, RemovalPolicy::AtCycleEnd).await;
    run(&world, "2026-01-01").await;
    let other = world::reseller(&world.operator, "South").await;
    billing::transfer::transfer(&world.ctx, None, other.id).await.unwrap();
    let draft = invoices(&world.operator.enter(world.tenant.id).await.unwrap()).await[0].id;
    let not_ours = invoice::discard(&world.operator, draft).await.unwrap_err();
    assert_eq!(not_ours.code(), "issued_by_another");
    let admin = admin_of(&world, &other).await;
    let not_ours = invoice::finalize(&admin, draft).await.unwrap_err();
    assert_eq!(not_ours.code(), "issued_by_another");
    assert_eq!(invoice::get(&admin, draft).await.unwrap().status, "draft");
    let issuer = admin_of(&world, &world.reseller).await;
    assert_eq!(invoice::get(&issuer, draft).await.unwrap().status, "draft");
    assert_eq!(invoice::finalize(&issuer, draft).await.unwrap_err().code(), "tenant_transferred");
    at(&world, "2026-01-04T09:00");
    assert_eq!(run(&world, "2026-01-04").await.invoices, 1);
    let made = invoice::get(&world.operator, draft).await.unwrap();
    assert_eq!((made.number.as_deref(), made.issuer.id), (Some("INV-000001"), world.reseller.id));
    assert_clean(&world, 1).await;
}

#[tokio::test]
async fn what_follows_a_draft_waits_for_it() {
    let world = drafted(28, RemovalPolicy::CreditToBalance).await;
    at(&world, "2026-01-11T09:00");
    run(&world, "2026-01-11").await;
    remove_first(&world.ctx).await;
    drafting(&world, 0, 1).await;
    // A credit note, and what it corrects is owed by nobody yet.
    at(&world, "2026-02-01T09:00");
    let summary = run(&world, "2026-02-01").await;
    assert_eq!((summary.drafts, summary.credit_notes, summary.accounts_parked), (1, 0, 0));
    assert_clean(&world, 2).await;
    at(&world, "2026-02-08T09:00");
    let summary = run(&world, "2026-02-08").await;
    assert_eq!((summary.invoices, summary.credit_notes), (1, 1));
    assert_clean(&world, 2).await;
}
