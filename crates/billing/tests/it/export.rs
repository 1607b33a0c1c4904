//! Exports: what they hold, that they are whole and of one moment, and who gets them.

use std::collections::BTreeMap;

use billing::export::{self, Export, Kind, Level, Window};
use billing::invoice::{self, Found};
use billing::ledger::{AsOf, trial_balance};
use billing::rating::RemovalPolicy::CreditToBalance;
use billing::table::Format;
use billing::{Error, OPERATOR};
use kernel::{ErrorKind, ResellerId};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use sqlx::Connection as _;
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use tenancy::{Caller, ResellerCtx, Role, user};
use testkit::World;

use super::payment::{nobody, paid};
use super::tax::{customer, is, taxing};
use super::wholesale::{agree, agreed, below, wholesale_book};
use super::{admin_of, at, book, date, run, seat, subscribed_tenant, world_on};

const MONEY: [&str; 2] = ["amount_minor", "amount"];

fn window(from: &str, until: &str) -> Window {
    Window::new(date(from), date(until)).unwrap()
}

async fn open(ctx: &ResellerCtx, kind: Kind, level: Level, format: Format) -> Export {
    export::open(ctx, kind, level, window("2026-01-01", "2026-03-01"), format).await.unwrap()
}

async fn whole(mut export: Export) -> String {
    let mut file = Vec::new();
    while let Some(piece) = export.next().await.unwrap() {
        file.extend(piece);
    }
    String::from_utf8(file).unwrap()
}

/// Both forms of a file, which say the same.
pub(super) async fn rows(ctx: &ResellerCtx, kind: Kind, level: Level) -> Vec<Map<String, Value>> {
    let lines = whole(open(ctx, kind, level, Format::JsonLines).await).await;
    let rows: Vec<Map<String, Value>> =
        lines.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
    let file = whole(open(ctx, kind, level, Format::Csv).await).await;
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let header = reader.headers().unwrap().clone();
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(&rows) {
        assert_eq!(header.len(), row.len());
        for (name, cell) in header.iter().zip(record) {
            let text = match &row[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            let is_number = text.parse::<f64>().is_ok();
            assert_eq!(cell.strip_prefix('\'').filter(|_| !is_number).unwrap_or(cell), text, "{name}");
        }
    }
    rows
}

fn minor(row: &Map<String, Value>, name: &str) -> i64 {
    row[name].as_i64().unwrap()
}

fn text<'a>(row: &'a Map<String, Value>, name: &str) -> &'a str {
    row[name].as_str().unwrap()
}

/// Two taxed months of two tenants, one of them with a name that would be a formula, a credit note, a payment and a refund; and the
/// operator's agreement.
async fn story() -> World {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    let book = book(&world, CreditToBalance).await;
    let wholesale = wholesale_book(&world, "3.3333", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&wholesale, 7)).await;
    let grows = subscribed_tenant(&world, &book, "=HYPERLINK(\"http://x\",\"y\")", 2).await;
    let shrinks = subscribed_tenant(&world, &book, "-Shrinks, Ltd", 3).await;
    for tenant in [&grows, &shrinks] {
        is(tenant, customer("DE", None)).await;
    }
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-10T10:00");
    seat(&grows, "late").await;
    let users =
        user::list(&shrinks, &Default::default(), kernel::PageRequest::new(None, None)).await.unwrap();
    for user in users.items {
        user::delete(&shrinks, user.id, None).await.unwrap();
    }
    let payment = paid(&grows, 5000, "INV-000001").await;
    at(&world, "2026-01-20T10:00");
    billing::payment::refund(&world.operator, &nobody(), payment.id, None, "a mistake".into()).await.unwrap();
    at(&world, "2026-02-01T10:00");
    run(&world, "2026-02-01").await;
    world
}

/// What the sums of an export's transfers come to, by account.
fn balances(transfers: &[Map<String, Value>]) -> BTreeMap<String, (i64, i64)> {
    let mut sums = BTreeMap::<String, (i64, i64)>::new();
    for row in transfers {
        sums.entry(text(row, "debit_account").to_owned()).or_default().0 += minor(row, "amount_minor");
        sums.entry(text(row, "credit_account").to_owned()).or_default().1 += minor(row, "amount_minor");
    }
    sums
}

async fn trial(world: &World, issuer: ResellerId) -> BTreeMap<String, (i64, i64)> {
    let balances = trial_balance(&world.operator, issuer, AsOf::day(date("2026-02-28"))).await.unwrap();
    let of = |one: &billing::ledger::Balance| {
        (one.account.as_str().to_owned(), (one.debits.amount_minor, one.credits.amount_minor))
    };
    balances.iter().map(of).collect()
}

#[tokio::test]
async fn lines_sum_up_to_documents_and_transfers_to_the_trial_balance() {
    let world = story().await;
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    for (level, issuer, documents) in [(Level::Retail, world.reseller.id, 4), (Level::Wholesale, OPERATOR, 2)]
    {
        let invoices = rows(&own, Kind::Invoices, level).await;
        let lines = rows(&own, Kind::InvoiceLines, level).await;
        assert_eq!(invoices.len(), documents, "{invoices:?}");
        for invoice in &invoices {
            let of_it = lines.iter().filter(|line| line["invoice_id"] == invoice["invoice_id"]);
            let amounts = of_it.clone().map(|line| minor(line, "amount_minor"));
            assert!(of_it.count() > 0 && amounts.sum::<i64>() == minor(invoice, "net_minor"), "{invoice:?}");
            assert_eq!(
                minor(invoice, "net_minor") + minor(invoice, "tax_minor"),
                minor(invoice, "total_minor")
            );
        }
        // In the order of days, then of documents and of their lines.
        let order = |row: &Map<String, Value>| {
            (
                text(row, "issued_on").to_owned(),
                text(row, "invoice_id").to_owned(),
                row.get("position").and_then(Value::as_i64),
            )
        };
        for rows in [&invoices, &lines] {
            assert!(rows.is_sorted_by_key(order), "{rows:?}");
        }
        let ledger = rows(&own, Kind::Ledger, level).await;
        assert_eq!(balances(&ledger), trial(&world, issuer).await);
        for row in ledger.iter().chain(&lines) {
            let [minor, decimal] = MONEY.map(|name| row[name].to_string());
            assert_eq!(
                minor.parse::<i64>().unwrap(),
                decimal.replace(['.', '"'], "").parse::<i64>().unwrap()
            );
        }
    }
    let retail = rows(&own, Kind::Invoices, Level::Retail).await;
    let note = retail.iter().find(|row| row["kind"] == "credit_note").unwrap();
    assert_eq!((text(note, "number"), text(note, "customer_name")), ("CRN-000001", "Bakery Ltd"));
    assert!(text(note, "corrects").starts_with("INV-00000") && minor(note, "tax_minor") < 0, "{note:?}");
    let ledger = rows(&own, Kind::Ledger, Level::Retail).await;
    let references = |code: &str| {
        ledger
            .iter()
            .filter(|row| row["code"] == code)
            .map(|row| &text(row, "reference")[..4])
            .collect::<Vec<_>>()
    };
    assert_eq!((references("payment"), references("refund")), (vec!["pay_"], vec!["ref_"]));
    assert_eq!(references("credit_note_tax"), ["inv_"]);
    let file = whole(open(&own, Kind::InvoiceLines, Level::Wholesale, Format::Csv).await).await;
    assert!(file.contains(",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",mailbox,"), "{file}");
    assert!(file.contains(",\"'-Shrinks, Ltd\",mailbox,"), "{file}");
    assert!(file.contains(",EUR,-"), "amounts are bare: {file}");
}

#[tokio::test]
async fn a_file_of_documents_says_how_they_stand_now() {
    let world = story().await;
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    let first = rows(&own, Kind::Invoices, Level::Retail).await[0].clone();
    assert_eq!(
        (text(&first, "status"), minor(&first, "paid_minor"), text(&first, "paid")),
        ("final", 0, "0.00")
    );
    let tenant = text(&first, "customer_id").parse().unwrap();
    let ctx = world.operator.enter(tenant).await.unwrap();
    paid(&ctx, 1000, text(&first, "number")).await;
    for level in [Level::Retail, Level::Wholesale] {
        for row in rows(&own, Kind::Invoices, level).await {
            let id = text(&row, "invoice_id").parse().unwrap();
            let (status, of) = match invoice::find(&world.operator, id).await.unwrap() {
                Found::Retail(one) => (one.status, [one.paid, one.due]),
                Found::Wholesale(one) => (one.status, [one.paid, one.due]),
            };
            let shown = ["paid_minor", "due_minor"].map(|name| minor(&row, name));
            assert_eq!((text(&row, "status"), shown), (status.as_str(), of.map(|money| money.amount_minor)));
        }
    }
    let part_paid = rows(&own, Kind::Invoices, Level::Retail).await[0].clone();
    let due = minor(&first, "due_minor") - 1000;
    assert_eq!((minor(&part_paid, "paid_minor"), minor(&part_paid, "due_minor")), (1000, due));
    paid(&ctx, due, text(&first, "number")).await;
    assert_eq!(text(&rows(&own, Kind::Invoices, Level::Retail).await[0], "status"), "paid");
}

#[tokio::test]
async fn days_are_half_open() {
    let world = story().await;
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let count = async |kind, from: &str, until: &str| {
        let file =
            export::open(&ctx, kind, Level::Retail, window(from, until), Format::JsonLines).await.unwrap();
        whole(file).await.lines().count()
    };
    assert_eq!(count(Kind::Invoices, "2026-01-01", "2026-02-01").await, 2);
    assert_eq!(count(Kind::Invoices, "2026-01-02", "2026-02-02").await, 2);
    assert_eq!(count(Kind::Invoices, "2026-01-02", "2026-02-01").await, 0);
    assert_eq!(count(Kind::Ledger, "2026-01-10", "2026-01-11").await, 1);
    assert_eq!(count(Kind::Ledger, "2026-01-11", "2026-01-21").await, 1);
    // What is empty has its header all the same.
    let days = window("2027-01-01", "2027-01-02");
    let empty = export::open(&ctx, Kind::Ledger, Level::Wholesale, days, Format::Csv).await.unwrap();
    assert_eq!(whole(empty).await.lines().count(), 1);
}

/// So many transfers of one cent on each of three days.
async fn transfers(world: &World, count: i64) {
    let mut connection = sqlx::PgConnection::connect(&world.test_db.url()).await.unwrap();
    let setting =
        format!("set role pillarbox_tenant; set app.tenant_id = '{}'", world.ctx.tenant_id().uuid());
    sqlx::raw_sql(sqlx::AssertSqlSafe(setting)).execute(&mut connection).await.unwrap();
    sqlx::query(
        "insert into transfers (tenant_id, reference, code, issuer_id, debit_account, credit_account, currency, amount_minor,
           effective_on, posted_at)
         select $1, gen_random_uuid(), 'invoice_net', $2, 'receivable', 'revenue', 'EUR', 1, date '2026-01-05' + n::integer % 3, now()
         from generate_series(1, $3) n",
    )
    .bind(world.ctx.tenant_id().uuid())
    .bind(world.reseller.id.uuid())
    .bind(count)
    .execute(&mut connection)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_file_of_many_pages_is_of_one_moment_and_never_in_memory_at_once() {
    let world = world_on("2026-01-01").await;
    transfers(&world, 3500).await;
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let mut export = open(&ctx, Kind::Ledger, Level::Retail, Format::JsonLines).await;
    let mut pieces = vec![export.next().await.unwrap().unwrap()];
    // On days that are still to come.
    transfers(&world, 3500).await;
    while let Some(piece) = export.next().await.unwrap() {
        pieces.push(piece);
    }
    let lines = |piece: &Vec<u8>| piece.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(pieces.iter().map(lines).collect::<Vec<_>>(), [1000, 1000, 1000, 500]);
    let file = String::from_utf8(pieces.concat()).unwrap();
    let row = |line: &str| serde_json::from_str::<Map<String, Value>>(line).unwrap();
    let places: Vec<_> = file
        .split_terminator('\n')
        .map(row)
        .map(|row| (text(&row, "effective_on").to_owned(), text(&row, "reference").to_owned()))
        .collect();
    // Strictly: nothing twice.
    assert!(places.is_sorted_by(|a, b| a < b));
    assert_eq!(
        whole(open(&ctx, Kind::Ledger, Level::Retail, Format::JsonLines).await).await.lines().count(),
        7000
    );
}

#[tokio::test]
async fn a_page_is_found_by_the_index() {
    let world = world_on("2026-01-01").await;
    transfers(&world, 5000).await;
    let mut connection = sqlx::PgConnection::connect(&world.test_db.url()).await.unwrap();
    sqlx::raw_sql("analyze transfers; set role pillarbox_system").execute(&mut connection).await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select amount_minor from transfers
         where issuer_id = $1 and effective_on < '2027-01-01' and (effective_on, reference, code) > ('2026-01-06', $2, '')
         order by effective_on, reference, code limit 100",
    )
    .bind(world.reseller.id.uuid())
    .bind(uuid::Uuid::max())
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("transfers_export") && !plan.contains("Sort"), "{plan}");
}

async fn key(world: &World, role: Role) -> Caller {
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let (_, secret) = api_key::create_for_reseller(&ctx, NewApiKey::full(role)).await.unwrap();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    auth.bearer(secret.expose_secret(), world.origin()).await.unwrap()
}

#[tokio::test]
async fn wholesale_documents_are_the_two_parties_alone() {
    let world = story().await;
    let refused = async |ctx: &ResellerCtx, level| {
        let days = window("2026-01-01", "2026-03-01");
        export::open(ctx, Kind::Ledger, level, days, Format::Csv).await.err().map(|error: Error| error.kind())
    };
    let support = key(&world, Role::ResellerSupport).await.enter_reseller(world.reseller.id).await.unwrap();
    assert_eq!(refused(&support, Level::Retail).await, None);
    assert_eq!(refused(&support, Level::Wholesale).await, Some(ErrorKind::Forbidden));
    let below = below(&world).await;
    let above = key(&world, Role::ResellerAdmin).await.enter_reseller(below.id).await.unwrap();
    assert_eq!(refused(&above, Level::Retail).await, None);
    assert_eq!(refused(&above, Level::Wholesale).await, Some(ErrorKind::NotFound));
    let operator = world.operator.enter_reseller(below.id).await.unwrap();
    assert_eq!(refused(&operator, Level::Wholesale).await, None);
    // Another's documents are not in a file of one's own.
    assert_eq!(rows(&operator, Kind::InvoiceLines, Level::Retail).await.len(), 0);
    assert_eq!(rows(&operator, Kind::Ledger, Level::Wholesale).await.len(), 0);
}
