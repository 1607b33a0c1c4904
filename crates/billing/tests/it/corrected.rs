//! Which invoice a credit note corrects: the one that billed what it takes back.

use billing::rating::RemovalPolicy;
use billing::verify::Difference;

use super::courses::run_and_verify;
use super::one_off_item::add;
use super::tax::{customer, is, rate, taxing};
use super::verify::{found, owner, remove_first};
use super::{at, book, invoices, seat, subscribe, world_on};

#[tokio::test]
async fn a_credit_note_corrects_the_invoice_that_billed_what_it_takes_back() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    is(&world.ctx, customer("DE", None)).await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "year").await;
    for name in ["ada", "ben"] {
        seat(&world.ctx, name).await;
    }
    run_and_verify(&world, "2026-01-01").await;
    // Newer, of more than will be credited, of something else and at another rate.
    rate(&world, "DE", "21", "2026-02-01").await;
    add(&world.ctx, Some("2026-02-01")).await;
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-10T12:00");
    remove_first(&world.ctx).await;
    run_and_verify(&world, "2026-03-01").await;
    let documents = invoices(&world.ctx).await;
    let [year, work, note] = &documents[..] else { panic!("{documents:?}") };
    // 120 × 324/365 = 106.52, at 19 %.
    assert_eq!((note.net.amount_minor, note.tax.amount_minor), (-10_652, -2_024));
    assert_eq!(note.corrects, [year.id]);
    assert_eq!((year.credited.amount_minor, work.credited.amount_minor), (12_676, 0));

    let owner = owner(&world).await;
    let moved = "update credit_note_references set invoice_id = (select id from invoices where kind = 'invoice' and number = 2)";
    sqlx::raw_sql(moved).execute(&owner).await.unwrap();
    let expected = Difference::Corrected { credit_note: note.id, invoice: work.id, instead: year.id };
    assert_eq!(found(&world).await, [expected]);
    // As a server from before that makes it.
    let older = "with made as (delete from credit_note_references returning tenant_id, credit_note_id, invoice_id, amount_minor)
         insert into credit_note_references (tenant_id, credit_note_id, invoice_id, amount_minor) select * from made";
    sqlx::raw_sql(older).execute(&owner).await.unwrap();
    assert_eq!(found(&world).await, []);
}
