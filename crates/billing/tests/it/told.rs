//! What events of documents and money say.

use std::collections::BTreeMap;

use billing::dunning::{self, Policy};
use billing::invoice;
use billing::payment;
use billing::rating::RemovalPolicy::CreditToBalance;
use serde_json::{Value, json};
use tenancy::event::Kind;
use testkit::World;

use super::draft::{drafted, drafting};
use super::payment::{nobody, paid};
use super::payment_charge::told;
use super::{at, invoices, run};

/// A draft that is discarded and made anew; an invoice that is overdue, paid and paid back; and one that is voided.
async fn story() -> World {
    let world = drafted(3, CreditToBalance).await;
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let policy = Policy { remind_after_days: vec![1], ..Policy::default() };
    dunning::put(&reseller, &policy, None).await.unwrap();
    run(&world, "2026-01-01").await;
    invoice::discard(&world.operator, invoices(&world.ctx).await[0].id).await.unwrap();
    run(&world, "2026-01-01").await;
    invoice::finalize(&world.operator, invoices(&world.ctx).await[0].id).await.unwrap();
    at(&world, "2026-01-20T12:00");
    dunning::run(&world.test_db.db()).await.unwrap();
    let money = paid(&world.ctx, 1250, "INV-000001").await;
    payment::refund(&world.operator, &nobody(), money.id, None, "paid twice".into()).await.unwrap();
    drafting(&world, 0, 1).await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    invoice::void(&world.operator, invoices(&world.ctx).await[1].id, "misspelt").await.unwrap();
    world
}

fn form(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some("boolean"),
        Value::Number(_) => Some("number"),
        Value::String(_) => Some("string"),
        Value::Array(_) => Some("array"),
        Value::Object(_) => Some("object"),
    }
}

#[tokio::test]
async fn the_same_key_has_the_same_form_in_every_event_of_billing() {
    let world = story().await;
    let mut forms = BTreeMap::<String, (&str, &str)>::new();
    let mut seen = Vec::new();
    for &kind in Kind::ALL {
        let prefixes = ["invoice.", "payment."];
        if !prefixes.iter().any(|prefix| kind.as_str().starts_with(prefix)) {
            continue;
        }
        for data in told(&world, kind).await {
            seen.push(kind.as_str());
            for (key, value) in data.as_object().unwrap() {
                let Some(form) = form(value) else { continue };
                let (known, first) = *forms.entry(key.clone()).or_insert((form, kind.as_str()));
                assert_eq!(form, known, "{key} of {} and {first}", kind.as_str());
            }
            if let Some(number) = data.get("number") {
                let number = number.as_str().unwrap();
                assert!(number.starts_with("INV-0000") || number.starts_with("CRN-0000"), "{number}");
            }
        }
    }
    for kind in [
        Kind::InvoiceDrafted,
        Kind::InvoiceDiscarded,
        Kind::InvoiceFinalized,
        Kind::InvoiceOverdue,
        Kind::InvoiceReminder,
        Kind::InvoiceVoided,
        Kind::PaymentSucceeded,
        Kind::PaymentRefunded,
    ] {
        assert!(seen.contains(&kind.as_str()), "{} in {seen:?}", kind.as_str());
    }
}

#[tokio::test]
async fn a_draft_is_told_of_when_it_is_made_and_an_invoice_by_its_number() {
    let world = story().await;
    let total = json!({"amount_minor": 1250, "currency": "EUR"});
    let draft = json!({"kind": "invoice", "issued_on": "2026-01-04", "total": total});
    assert_eq!(told(&world, Kind::InvoiceDrafted).await, [draft.clone(), draft]);
    let finalized = told(&world, Kind::InvoiceFinalized).await;
    let first = json!({"kind": "invoice", "number": "INV-000001", "issued_on": "2026-01-01", "total": total});
    assert_eq!(finalized[0], first);
    let numbers: Vec<_> = finalized.iter().map(|one| one["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["INV-000001", "INV-000002", "CRN-000001"]);
}
