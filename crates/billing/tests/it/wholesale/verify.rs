//! What was billed wholesale is verified.

use billing::payment::NewTransfer;

use super::*;
use crate::payment::{euro, nobody};

#[tokio::test]
async fn what_somebody_changed_by_hand_is_found() {
    let world = world_on("2026-01-01").await;
    tax::taxing(&world).await;
    tax::is(&world, &world.reseller, crate::tax::customer("DE", None)).await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 2)).await;
    tenant_of(&world, &world.reseller, "One", 1).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let new = NewTransfer {
        amount: euro(1500),
        reference: String::new(),
        received_on: "2026-02-01".into(),
        invoice_id: None,
    };
    let payment = billing::wholesale::payment::record(&ctx, new).await.unwrap();
    billing::payment::refund(&world.operator, &nobody(), payment.id, Some(euro(400)), "x".into())
        .await
        .unwrap();
    assert_eq!(verified(&world).await.agreements, 1);
    let owner = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    for table in [
        "invoice_lines",
        "invoice_taxes",
        "transfers",
        "invoices",
        "boundary_tenants",
        "agreements",
        "payments",
        "refunds",
        "coverage",
    ] {
        let statement = format!("alter table wholesale_{table} no force row level security");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&owner).await.unwrap();
    }
    for (change, undo, found) in TAMPERING {
        sqlx::raw_sql(*change).execute(&owner).await.unwrap();
        let mut findings = Vec::new();
        let note = |finding: &billing::verify::Finding| findings.push(finding.to_string());
        billing::verify::verify(&world.operator, None, note).await.unwrap();
        assert!(findings.iter().any(|finding| finding.contains(found)), "{change}: {findings:?}");
        sqlx::raw_sql(*undo).execute(&owner).await.unwrap();
        verified(&world).await;
    }
}

/// What is done, how it is undone, and what is found between.
const TAMPERING: &[(&str, &str, &str)] = &[
    (
        "update wholesale_invoice_lines set amount_minor = amount_minor + 1 where position = 1",
        "update wholesale_invoice_lines set amount_minor = amount_minor - 1 where position = 1",
        "the net is",
    ),
    (
        "update wholesale_invoice_lines set seat_days = seat_days + 1 where position = 2",
        "update wholesale_invoice_lines set seat_days = seat_days - 1 where position = 2",
        "line 2: stored",
    ),
    (
        "update wholesale_invoice_taxes set tax_minor = tax_minor + 1",
        "update wholesale_invoice_taxes set tax_minor = tax_minor - 1",
        "the tax is",
    ),
    (
        "update wholesale_invoices set customer_profile = customer_profile || '{\"exemption\": \"a public body\"}' where number = 2",
        "update wholesale_invoices set customer_profile = customer_profile || '{\"exemption\": null}' where number = 2",
        "E 0.0000 %",
    ),
    (
        "update wholesale_invoice_lines set tax_category = 'E', tax_rate = 0 where position = 1",
        "update wholesale_invoice_lines set tax_category = 'S', tax_rate = 19 where position = 1",
        "line 1",
    ),
    (
        "update wholesale_transfers set amount_minor = amount_minor + 1",
        "update wholesale_transfers set amount_minor = amount_minor - 1",
        "in the ledger is not what it was posted from",
    ),
    (
        "update wholesale_payments set amount_minor = amount_minor + 1",
        "update wholesale_payments set amount_minor = amount_minor - 1",
        "cash of rsl_00000000000000000000000000000000 is 11.00 EUR by the ledger, 11.01 EUR by",
    ),
    (
        "update wholesale_transfers set effective_on = effective_on - 1 where code = 'payment'",
        "update wholesale_transfers set effective_on = effective_on + 1 where code = 'payment'",
        ": payment in the ledger is not what it was posted from",
    ),
    (
        "update wholesale_refunds set id = gen_random_uuid()",
        "update wholesale_refunds set id = (select reference from wholesale_transfers where code = 'refund')",
        ": refund is not in the ledger",
    ),
    (
        "update wholesale_refunds set amount_minor = amount_minor + 1101",
        "update wholesale_refunds set amount_minor = amount_minor - 1101",
        "15.01 EUR of it went back, and 15.00 EUR had arrived",
    ),
    (
        "update wholesale_invoices set number = 7 where number = 2",
        "update wholesale_invoices set number = 2 where number = 7",
        "invoice numbers of",
    ),
    (
        "update wholesale_boundary_tenants set seat_changes_known = seat_changes_known + 1",
        "update wholesale_boundary_tenants set seat_changes_known = seat_changes_known - 1",
        "the event log has less",
    ),
    (
        "update wholesale_agreements set next_invoice_on = '2026-04-01'",
        "update wholesale_agreements set next_invoice_on = '2026-03-01'",
        "billing should have gone on from 2026-03-01",
    ),
    (
        "update wholesale_coverage set time_zone = 'Europe/Berlin' where kind = 'cycle' and days @> date '2026-02-01'",
        "update wholesale_coverage set time_zone = 'UTC' where kind = 'cycle'",
        "the cycle from 2026-02-01 on",
    ),
    (
        "update wholesale_invoice_lines set tenant_id = null, tenant_name = null where position = 1",
        "update wholesale_invoice_lines set tenant_id = (select tenant_id from wholesale_boundary_tenants limit 1),
           tenant_name = 'One' where position = 1",
        "computed ten_",
    ),
];
