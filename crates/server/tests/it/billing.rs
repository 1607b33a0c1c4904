use billing::price_book::{self, NewPrice};
use billing::subscription::{self, PutSubscription};
use testkit::World;

use crate::{data_dir, pillarbox, stderr, stdout};

/// The tenant subscribes on 2026-03-02, where a world's clock begins; the program lives in real time, later.
async fn subscribed() -> World {
    let world = World::new().await;
    let price = NewPrice {
        item: "mailbox".into(),
        interval: "month".into(),
        model: "flat".into(),
        unit_price: Some("4.99".into()),
        currency: "EUR".into(),
        ..NewPrice::default()
    };
    let book = price_book::publish(&world.operator, Some(world.reseller.id), vec![price]).await.unwrap();
    let put = PutSubscription {
        price_book_id: book.id,
        interval: "month".into(),
        payment_schedule: None,
        term_months: None,
        seats_committed: None,
        anchor_date: None,
        trial_ends_on: None,
    };
    subscription::put(&world.ctx, put, None).await.unwrap();
    world.user("ada", None).await;
    world
}

#[tokio::test]
async fn a_run_bills_what_is_due_and_a_second_one_adds_nothing() {
    let (world, dir) = (subscribed().await, data_dir());
    let url = world.test_db.url();
    let run = |arguments: &[&str]| {
        let arguments = [&["billing", "run"], arguments].concat();
        let output = pillarbox(dir.path(), &[("PILLARBOX_DATABASE_URL", url.as_str())], &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let tenant = world.tenant.id.to_string();
    let first = run(&["--as-of", "2026-04-02", "--tenant", &tenant]);
    assert!(first.contains("invoices 2, credit notes 0"), "{first}");
    let second = run(&["--as-of", "2026-04-02"]);
    assert!(second.contains("accounts due 0,") && second.contains("invoices 0, credit notes 0"), "{second}");
    let page = kernel::PageRequest::new(None, None);
    let invoices = billing::invoice::list(&world.ctx, Default::default(), page).await.unwrap().items;
    let totals = invoices.iter().map(|invoice| invoice.total.amount_minor).collect::<Vec<_>>();
    assert_eq!(totals, [499, 499]);
}

#[tokio::test]
async fn a_day_to_come_and_a_date_that_is_none_are_refused() {
    let (world, dir) = (subscribed().await, data_dir());
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let tenant = world.tenant.id.to_string();
    let future =
        pillarbox(dir.path(), &settings, &["billing", "run", "--as-of", "2199-01-01", "--tenant", &tenant]);
    assert_eq!(future.status.code(), Some(1));
    assert!(stderr(&future).contains("must not be after the tenant's present day"), "{}", stderr(&future));
    let no_date = pillarbox(dir.path(), &settings, &["billing", "run", "--as-of", "2026-02-30"]);
    assert_eq!(no_date.status.code(), Some(2));
}

#[tokio::test]
async fn verifying_finds_nothing_until_somebody_changes_a_line() {
    let (world, dir) = (subscribed().await, data_dir());
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let run = pillarbox(dir.path(), &settings, &["billing", "run", "--as-of", "2026-04-02"]);
    assert!(run.status.success(), "{}", stderr(&run));
    let tenant = world.tenant.id.to_string();
    for arguments in [&["billing", "verify"][..], &["billing", "verify", "--tenant", &tenant]] {
        let whole = pillarbox(dir.path(), &settings, arguments);
        assert!(whole.status.success(), "{}", stderr(&whole));
        assert_eq!(stdout(&whole), "1 tenants, 0 agreements, 2 documents, 2 transfers: no differences\n");
    }
    let owner = sqlx::PgPool::connect(&url).await.unwrap();
    let tamper = "alter table transfers no force row level security;
        update transfers set effective_on = effective_on + 1 where effective_on = '2026-04-02'";
    sqlx::raw_sql(tamper).execute(&owner).await.unwrap();
    let broken = pillarbox(dir.path(), &settings, &["billing", "verify"]);
    assert_eq!(broken.status.code(), Some(1));
    let (lines, tenant) = (stdout(&broken), format!("{tenant}: inv_"));
    assert!(lines.starts_with(&tenant) && lines.contains("is not what it was posted from"), "{lines}");
    assert!(lines.ends_with("1 tenants, 0 agreements, 2 documents, 2 transfers: 1 DIFFERENCES\n"), "{lines}");
}

#[tokio::test]
async fn a_trial_balance_comes_out_even_at_any_day_and_moment() {
    let (world, dir) = (subscribed().await, data_dir());
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let run = pillarbox(dir.path(), &settings, &["billing", "run", "--as-of", "2026-04-02"]);
    assert!(run.status.success(), "{}", stderr(&run));
    let reseller = world.reseller.id.to_string();
    let balance = |arguments: &[&str]| {
        let arguments = [&["billing", "trial-balance"], arguments].concat();
        let output = pillarbox(dir.path(), &settings, &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let table = |receivable: &str| {
        format!(
            "account     currency  debits  credits  balance\n\
             receivable  EUR         {receivable}     0.00     {receivable}\n\
             revenue     EUR         0.00     {receivable}    -{receivable}\n\
             total       EUR         {receivable}     {receivable}     0.00\n"
        )
    };
    let of_reseller = ["--reseller", &reseller];
    assert_eq!(balance(&of_reseller), table("9.98"));
    assert_eq!(balance(&[&of_reseller[..], &["--on", "2026-04-01"]].concat()), table("4.99"));
    let none = "account  currency  debits  credits  balance\n";
    // It was posted after that day had come.
    let at = [&of_reseller[..], &["--on", "2026-04-01", "--at", "2026-03-02T12:00:00Z"]].concat();
    assert_eq!(balance(&at), none);
    assert_eq!(balance(&[]), none, "the operator has billed nobody");
    let refused = |arguments: &[&str], status, says: &str| {
        let arguments = [&["billing", "trial-balance"], arguments].concat();
        let output = pillarbox(dir.path(), &settings, &arguments);
        let text = stderr(&output);
        assert!(output.status.code() == Some(status) && text.contains(says), "{text}");
    };
    for nobody in ["rsl_019a2f3c5d7e7abc8def0123456789ab", "rsl_00000000000000000000000000000000"] {
        refused(&["--reseller", nobody], 1, &format!("there is no reseller {nobody}"));
    }
    refused(&["--on", "2026-02-30"], 2, "such as 2026-02-01");
    refused(&["--at", "2026-03-02"], 2, "such as 2026-02-03T12:00:00Z");
}

#[tokio::test]
async fn a_tenant_that_there_is_not_is_named() {
    let (world, dir) = (World::new().await, data_dir());
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let nobody = "ten_019a2f3c5d7e7abc8def0123456789ab";
    for arguments in [
        &["billing", "run", "--as-of", "2026-02-01", "--tenant", nobody][..],
        &["billing", "verify", "--tenant", nobody],
        &["audit", "verify", "--tenant", nobody],
        &["keys", "rotate", nobody],
    ] {
        let output = pillarbox(dir.path(), &settings, arguments);
        let text = stderr(&output);
        assert!(output.status.code() == Some(1), "{text}");
        assert!(text.contains(&format!("there is no tenant {nobody}")), "{text}");
    }
}
