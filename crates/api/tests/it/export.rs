//! Files that are sent while they are read.

use std::time::Duration;

use api::{Limits, Means};
use axum::http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tenancy::auth::Auth;
use testkit::client::http::Http;
use testkit::{Cut, Side};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::billing;
use crate::support::App;

const DEADLINE: Duration = Duration::from_secs(20);

/// A reseller with a tenant that was billed, its key, and the path of its exports.
async fn billed(app: &App) -> (String, String) {
    let (reseller, north) = app.reseller("North").await;
    let tenant = billing::subscribed(app, &north, "one.example", 2).await;
    let id = tenant.trim_start_matches("/v1/tenants/");
    billing::run(app, &north, json!({"as_of": "2026-03-02", "tenant_id": id})).await;
    (north, format!("/v1/resellers/{reseller}/exports"))
}

#[tokio::test]
async fn accounting_gets_its_files_in_both_forms() {
    let app = App::new().await;
    let (north, path) = billed(&app).await;
    for (name, rows) in [("invoices", 1), ("invoice-lines", 1), ("ledger", 1)] {
        let file = format!("{path}/{name}?from=2026-03-01&to=2027-03-01");
        let answer = app.get(&north, &file).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        let saved = format!("attachment; filename=\"{name}_2026-03-01_2027-03-01.csv\"");
        assert_eq!(answer.header("content-disposition"), Some(saved.as_str()));
        assert_eq!(answer.body.split(|byte| *byte == b'\n').count(), rows + 2, "{answer:?}");
        let call = app.call(Method::GET, &file).token(&north).header("accept", "application/jsonl");
        let answer = call.send().await;
        assert_eq!(answer.header("content-type"), Some("application/jsonl"));
        let row: Value = serde_json::from_slice(&answer.body).unwrap();
        let amount = if name == "invoices" { "total" } else { "amount" };
        assert_eq!((&row[amount], &row["currency"]), (&json!("9.00"), &json!("EUR")), "{row}");
        let wholesale = app.get(&north, &format!("{file}&level=wholesale")).await;
        assert_eq!(
            (wholesale.status.as_u16(), wholesale.body.iter().filter(|byte| **byte == b'\n').count()),
            (200, 1)
        );
    }
    for (query, parameter) in [
        ("from=2026-03-01&to=2026-03-01", "to"),
        ("from=2026-03-01&to=2027-03-02", "to"),
        ("from=2026-02-30&to=2026-03-01", "from"),
        ("from=2026-03-01&to=2026-03-02&level=all", "level"),
    ] {
        let refused = app.get(&north, &format!("{path}/ledger?{query}")).await;
        assert_eq!(refused.expect_problem(422, "invalid_request")["errors"][0]["parameter"], parameter);
    }
    let (_, south) = app.reseller("South").await;
    let hidden = app.get(&south, &format!("{path}/ledger?from=2026-03-01&to=2026-03-02")).await;
    hidden.expect_problem(404, "not_found");
}

/// So many transfers of one cent of the tenant's reseller, on one day.
async fn transfers(app: &App, count: i64) {
    let mut connection = sqlx::PgConnection::connect(&app.db.url()).await.unwrap();
    let id: uuid::Uuid = sqlx::query_scalar("select tenant_id from transfers limit 1")
        .fetch_one(&mut as_system(app).await)
        .await
        .unwrap();
    let setting = format!("set role pillarbox_tenant; set app.tenant_id = '{id}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(setting)).execute(&mut connection).await.unwrap();
    let insert = "insert into transfers (tenant_id, reference, code, issuer_id, debit_account, credit_account, currency,
          amount_minor, effective_on, posted_at)
        select tenant_id, gen_random_uuid(), code, issuer_id, debit_account, credit_account, currency, 1, effective_on, posted_at
        from transfers, generate_series(1, $1)";
    sqlx::query(insert).bind(count).execute(&mut connection).await.unwrap();
}

async fn as_system(app: &App) -> sqlx::PgConnection {
    let mut connection = sqlx::PgConnection::connect(&app.db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    connection
}

/// What a client over a socket gets when the database goes away at the `nth` thing that is asked of it: whether that happened, and the
/// whole file, a problem's status, or nothing where the connection broke.
async fn cut_at(
    app: &App,
    token: &str,
    path: &str,
    nth: u64,
    side: Side,
) -> (bool, Result<String, Option<u16>>) {
    let cut = Cut::new(&app.db.url(), side).await;
    let db = db::Db::connect(cut.url(), app.db.db().env().clone()).await.unwrap();
    let api = Means { auth: Auth::new(db).await.unwrap(), ..app.api.clone() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::new(listener.local_addr().unwrap()).unwrap().with_token(token);
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(api::serve(listener, api, shutdown.clone()));
    // Sessions that are new, or were not used for a while, ask more.
    assert_eq!(http.get(path).await.unwrap().status.as_u16(), 200);
    cut.arm(nth);
    let answer = http.get(path).await;
    let is_cut = tokio::time::timeout(Duration::ZERO, cut.happened()).await.is_ok();
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, server).await.unwrap().unwrap();
    let got = match answer {
        Ok(answer) if answer.status.as_u16() == 200 => Ok(String::from_utf8(answer.body.to_vec()).unwrap()),
        Ok(answer) => Err(Some(answer.status.as_u16())),
        Err(_) => Err(None),
    };
    (is_cut, got)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_to_its_end_is_never_taken_for_a_whole_one() {
    let limits = Limits { shutdown_grace: Duration::from_secs(1), ..Limits::default() };
    let app = App::with_limits(limits).await;
    let (north, path) = billed(&app).await;
    // Seven pages: a busy machine asks for up to two things besides, so that a cut may miss a page that it was meant for.
    transfers(&app, 6500).await;
    let file = format!("{path}/ledger?from=2026-03-01&to=2026-04-01");
    let expected = String::from_utf8(app.get(&north, &file).await.body.to_vec()).unwrap();
    assert_eq!(expected.lines().count(), 6502);
    for side in [Side::Before, Side::After] {
        let (mut problems, mut broken, mut uncut) = (0, 0, 0);
        let mut seen = Vec::new();
        for nth in 1.. {
            let (is_cut, got) = cut_at(&app, &north, &file, nth, side).await;
            seen.push((is_cut, got.as_ref().map(String::len).map_err(|status| *status)));
            match got {
                Err(Some(status)) => problems += usize::from(status >= 500),
                Err(None) => broken += 1,
                Ok(file) => assert_eq!(file, expected),
            }
            uncut = if is_cut { 0 } else { uncut + 1 };
            if uncut == 3 {
                break;
            }
        }
        // Before the first page it is a problem; the pages that follow break the connection. One that is cut off after an answer
        // may have asked for the next page by then.
        let breaks = matches!(side, Side::After) || broken >= 1;
        assert!(problems >= 3 && breaks, "{side:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_on_gives_its_turn_away() {
    let patience = Duration::from_millis(100);
    let app =
        App::with_limits(Limits { downloads: 1, download_patience: patience, ..Limits::default() }).await;
    let (north, path) = billed(&app).await;
    transfers(&app, 5000).await;
    let file = format!("{path}/ledger?from=2026-03-01&to=2026-04-01");
    let stalled = app.call(Method::GET, &file).token(&north).response().await;
    // Its body is not read, and yet the next one gets the whole file.
    let answer = tokio::time::timeout(DEADLINE, app.get(&north, &file)).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.body.iter().filter(|byte| **byte == b'\n').count()),
        (200, 5002)
    );
    let late = axum::body::to_bytes(stalled.into_body(), usize::MAX).await;
    assert!(late.is_err(), "{} bytes", late.unwrap().len());
}

#[tokio::test]
async fn a_client_that_reads_slowly_loses_its_turn_in_the_end() {
    let limits = Limits { downloads: 1, download_timeout: Duration::from_secs(3), ..Limits::default() };
    let app = App::with_limits(limits).await;
    let (north, path) = billed(&app).await;
    transfers(&app, 5000).await;
    let file = format!("{path}/ledger?from=2026-03-01&to=2026-04-01");
    let mut slow = app.call(Method::GET, &file).token(&north).response().await.into_body();
    // Each piece is taken long before the client's patience with a piece ends, and all of them take longer than a download may.
    let reading = tokio::spawn(async move {
        loop {
            match slow.frame().await {
                Some(Ok(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
                Some(Err(_)) => return false,
                None => return true,
            }
        }
    });
    let answer = tokio::time::timeout(DEADLINE, app.get(&north, &file)).await.unwrap();
    assert_eq!(answer.status, 200);
    let is_whole = reading.await.unwrap();
    assert!(!is_whole, "the slow client got the whole file");
}
