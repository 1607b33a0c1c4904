//! Lists of documents and payments, narrowed by their fields.

use billing::invoice::{self, DocumentKind, Filter, Status};
use billing::payment::{self, PaymentStatus};
use kernel::{InvoiceId, PageRequest};
use testkit::World;

use super::draft::drafting;
use super::payment::{paid, three_invoices};
use super::{at, date, invoices, run};

async fn ids(world: &World, filter: Filter) -> Vec<InvoiceId> {
    let page = PageRequest::new(None, None);
    let listed = invoice::list(&world.ctx, filter, page).await.unwrap();
    assert_eq!(listed.next, None);
    listed.items.iter().map(|one| one.id).collect()
}

/// A document of each status, and a credit note.
async fn of_all_sorts() -> World {
    let world = three_invoices().await;
    paid(&world.ctx, 2500, "INV-000002").await;
    at(&world, "2026-03-02T09:00");
    let third = invoices(&world.ctx).await[2].id;
    invoice::void(&world.operator, third, "a mistake").await.unwrap();
    drafting(&world, 3, 0).await;
    at(&world, "2026-03-02T09:01");
    run(&world, "2026-03-02").await;
    world
}

#[tokio::test]
async fn documents_are_narrowed_by_how_they_stand_and_by_what_they_are() {
    let world = of_all_sorts().await;
    let all = invoices(&world.ctx).await;
    let statuses: Vec<_> = all.iter().map(|one| one.status.as_str()).collect();
    assert_eq!(statuses, ["final", "paid", "void", "final", "draft"]);
    for &status in Status::ALL {
        let expected: Vec<_> =
            all.iter().filter(|one| one.status == status.as_str()).map(|one| one.id).collect();
        assert_eq!(
            ids(&world, Filter { status: Some(status), ..Filter::default() }).await,
            expected,
            "{status}"
        );
    }
    let notes = Filter { kind: Some(DocumentKind::CreditNote), ..Filter::default() };
    assert_eq!(ids(&world, notes).await, [all[3].id]);
    let both = Filter { status: Some(Status::Final), kind: Some(DocumentKind::Invoice), ..Filter::default() };
    assert_eq!(ids(&world, both).await, [all[0].id]);
    // One after the other, as without a filter.
    let open = Filter { status: Some(Status::Final), ..Filter::default() };
    let first = invoice::list(&world.ctx, open, PageRequest::new(Some(1), None)).await.unwrap();
    let second = invoice::list(&world.ctx, open, PageRequest::new(Some(1), first.next)).await.unwrap();
    let pages = [first.items[0].id, second.items[0].id];
    assert_eq!((pages, second.next), ([all[0].id, all[3].id], None));
    // What is paid back is due again.
    let payment = payment::list(&world.ctx, Default::default(), PageRequest::new(None, None)).await.unwrap();
    let nobody = super::payment::nobody();
    payment::refund(&world.operator, &nobody, payment.items[0].id, None, "x".into()).await.unwrap();
    assert_eq!(ids(&world, open).await, [all[0].id, all[1].id, all[3].id]);
}

#[tokio::test]
async fn documents_are_narrowed_by_the_day_on_which_they_were_issued() {
    let world = of_all_sorts().await;
    let all = invoices(&world.ctx).await;
    let during = async |from: Option<&str>, until: Option<&str>| {
        let filter = Filter { from: from.map(date), until: until.map(date), ..Filter::default() };
        ids(&world, filter).await
    };
    assert_eq!(during(Some("2026-02-01"), Some("2026-03-01")).await, [all[1].id]);
    assert_eq!(during(None, Some("2026-02-01")).await, [all[0].id]);
    // The credit note is of the day of the void, and the draft of when it is to become final.
    assert_eq!(during(Some("2026-03-02"), None).await, [all[3].id, all[4].id]);
    assert_eq!(during(Some("2026-03-06"), Some("2026-03-01")).await, []);
}

#[tokio::test]
async fn payments_are_narrowed_by_how_they_stand_and_by_what_they_are_meant_for() {
    let world = three_invoices().await;
    let all = invoices(&world.ctx).await;
    let one = paid(&world.ctx, 2500, "INV-000002").await;
    at(&world, "2026-03-01T12:01");
    let other = paid(&world.ctx, 100, "something").await;
    let of = async |filter: payment::Filter| {
        let listed = payment::list(&world.ctx, filter, PageRequest::new(None, None)).await.unwrap();
        listed.items.iter().map(|payment| payment.id).collect::<Vec<_>>()
    };
    let status = |status| payment::Filter { status: Some(status), ..Default::default() };
    assert_eq!(of(status(PaymentStatus::Succeeded)).await, [one.id, other.id]);
    assert_eq!(of(status(PaymentStatus::Failed)).await, []);
    let meant_for = |invoice: &invoice::Invoice| payment::Filter {
        invoice_id: Some(invoice.id),
        ..status(PaymentStatus::Succeeded)
    };
    assert_eq!(of(meant_for(&all[1])).await, [one.id]);
    assert_eq!(of(meant_for(&all[0])).await, []);
}
