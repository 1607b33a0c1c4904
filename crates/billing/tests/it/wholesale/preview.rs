//! What a run would make of an agreement, before there is one.

use std::time::Duration;

use billing::wholesale::preview::{Preview, Previewed, preview};
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};

use super::*;

/// A document, but for what a run gives it and what is paid of it.
fn made(of: &WholesaleInvoice) -> String {
    let sums = (of.net, of.tax, of.total);
    format!("{:#?}", (of.kind, of.currency, of.issued_on, of.due_on, &of.lines, &of.taxes, sums))
}

fn shown(of: &Previewed) -> String {
    let sums = (of.net, of.tax, of.total);
    format!("{:#?}", (of.kind, of.currency, of.issued_on, of.due_on, &of.lines, &of.taxes, sums))
}

/// How much has been written so far, into whichever table.
async fn written(world: &World) -> (i64, i64) {
    let mut tx = crate::run::behind(world).await;
    let all = "select count(*), coalesce(max(seq), 0) from journal";
    sqlx::query_as(all).fetch_one(tx.conn()).await.unwrap()
}

async fn look(world: &World, reseller: &Reseller, as_of: Option<&str>) -> Preview {
    let ctx = world.operator.enter_reseller(reseller.id).await.unwrap();
    let before = written(world).await;
    let ahead = preview(&ctx, as_of).await.unwrap();
    assert_eq!(written(world).await, before, "looking leaves nothing");
    ahead
}

/// A reseller with how many documents it has, and what a run up to a day would make.
pub(crate) async fn foreseen<'a>(
    world: &World,
    reseller: &'a Reseller,
    day: &str,
) -> (&'a Reseller, usize, Preview) {
    (reseller, documents(world, reseller).await.len(), look(world, reseller, Some(day)).await)
}

/// What was foreseen is what there is now, beside what there was. Returns how many documents that are.
pub(crate) async fn came_true(world: &World, (reseller, known, ahead): (&Reseller, usize, Preview)) -> usize {
    let all = documents(world, reseller).await;
    let new: Vec<String> = all[known..].iter().map(made).collect();
    assert_eq!(new, ahead.documents.iter().map(shown).collect::<Vec<_>>());
    let ctx = world.operator.enter_reseller(reseller.id).await.unwrap();
    let agreed = agreement::get(&ctx).await.unwrap();
    assert_eq!((agreed.next_invoice_on, agreed.parked_reason), (ahead.next_invoice_on, ahead.parked_reason));
    new.len()
}

#[tokio::test]
async fn what_is_shown_is_what_the_run_makes_whatever_has_happened() {
    let world = world_on("2026-01-01").await;
    tax::taxing(&world).await;
    let south = world::reseller(&world.operator, "South").await;
    tax::is(&world, &world.reseller, crate::tax::customer("DE", None)).await;
    tax::is(&world, &south, crate::tax::customer("FR", Some("FR40303265045"))).await;
    let book = items::book_of_all(&world).await;
    agree(&world, &world.reseller, agreed(&book, 6)).await;
    agree(&world, &south, agreed(&book, 0)).await;
    let one = tenant_of(&world, &world.reseller, "One", 2).await;
    let two = tenant_of(&world, &world.reseller, "Two", 3).await;
    let (mut extra, mut made) = (None, Vec::new());
    for day in date("2026-01-01").iter_days().take_while(|day| *day <= date("2026-04-01")) {
        let day = day.to_string();
        at(&world, &format!("{day}T15:00"));
        match day.as_str() {
            "2026-01-10" => extra = Some(seat(&one, "extra").await),
            "2026-01-12" => items::stores(&world, &one, "2026-01-12T15:00", 93 << 30).await,
            "2026-01-15" => drop(make(&two, Kind::Shared, "shared").await.unwrap()),
            "2026-01-20" => drop(billing::transfer::transfer(&two, None, south.id).await.unwrap()),
            // The rate that is credited is not the one that is charged.
            "2026-02-05" => tax::rate(&world, "16", "2026-02-15").await,
            "2026-02-14" => user::delete(&one, extra.take().unwrap().id, None).await.unwrap(),
            "2026-02-20" => drop(agree(&world, &world.reseller, agreed(&book, 2)).await),
            "2026-03-05" => tenant::delete(&two, None).await.unwrap(),
            "2026-03-20" => {
                let deleted = world.operator.enter_deleted_too(two.tenant_id()).await.unwrap();
                tenant::restore(&deleted).await.unwrap();
            }
            _ => {}
        }
        if !day.ends_with("-01") {
            continue;
        }
        let north = foreseen(&world, &world.reseller, &day).await;
        let other = foreseen(&world, &south, &day).await;
        run(&world, &day).await;
        made.push((came_true(&world, north).await, came_true(&world, other).await));
    }
    // On the first of January nobody is the second one's.
    assert_eq!(made, [(1, 0), (1, 1), (1, 1), (1, 1)]);
    let kinds: std::collections::BTreeSet<_> = documents(&world, &world.reseller)
        .await
        .iter()
        .flat_map(|document| &document.lines)
        .map(|line| line.kind.as_str())
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["credit", "proration", "recurring", "usage"]);
    // Months ahead, in which nothing happens.
    let north = foreseen(&world, &world.reseller, "2026-06-30").await;
    let other = foreseen(&world, &south, "2026-06-30").await;
    at(&world, "2026-06-30T15:00");
    run(&world, "2026-06-30").await;
    assert_eq!((came_true(&world, north).await, came_true(&world, other).await), (2, 2));
    verified(&world).await;
}

#[tokio::test]
async fn without_a_day_the_next_boundary_is_looked_at_and_before_it_nothing_is_there() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    tenant_of(&world, &world.reseller, "One", 1).await;
    run(&world, "2026-01-01").await;
    let next = look(&world, &world.reseller, None).await;
    assert_eq!((next.as_of, next.next_invoice_on), (date("2026-02-01"), date("2026-03-01")));
    assert_eq!(next.documents.iter().map(|one| one.total.amount_minor).collect::<Vec<_>>(), [1200]);
    let before = look(&world, &world.reseller, Some("2026-01-31")).await;
    assert_eq!((before.documents.len(), before.next_invoice_on), (0, date("2026-02-01")));
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    for wrong in ["2026-02-30", "2027-01-03"] {
        let refused = preview(&ctx, Some(wrong)).await.unwrap_err();
        assert_eq!(refused.field_errors()[0].pointer, "/as_of", "{wrong}");
    }
    assert_eq!(look(&world, &world.reseller, Some("2027-01-02")).await.documents.len(), 12);
}

/// Whoever bills, or numbers documents, keeps nobody from looking, and the other way round.
#[tokio::test]
async fn looking_waits_for_nobody() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    run(&world, "2026-01-01").await;
    let mut held = crate::run::behind(&world).await;
    for rows in ["number_series", "wholesale_agreements"] {
        let lock = sqlx::AssertSqlSafe(format!("select from {rows} for update"));
        assert_ne!(sqlx::query(lock).fetch_all(held.conn()).await.unwrap().len(), 0);
    }
    assert_eq!(look(&world, &world.reseller, None).await.documents.len(), 1);
    held.commit().await.unwrap();
}

/// Each look takes a connection and a core, of which some are left to everybody else.
#[tokio::test]
async fn two_look_at_once_and_the_others_wait_without_a_connection() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    let owner = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    let mut held = PgConnection::connect(&world.test_db.url()).await.unwrap();
    sqlx::raw_sql("begin; lock table wholesale_coverage").execute(&mut held).await.unwrap();
    let mut looks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
        looks.spawn(async move { preview(&ctx, None).await.unwrap().documents.len() });
    }
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let waiting = async || sqlx::query_scalar::<_, i64>(sql).fetch_one(&owner).await.unwrap();
    let two = async {
        while waiting().await < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), two).await.expect("nobody looks");
    // Long enough for a third to come as far.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(waiting().await, 2);
    sqlx::raw_sql("commit").execute(&mut held).await.unwrap();
    assert_eq!(looks.join_all().await, [1; 4]);
}

#[tokio::test]
async fn an_agreement_that_would_be_parked_says_why() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 3)).await;
    // Whoever issues with tax needs to know where its customer is.
    tax::taxing(&world).await;
    let ahead = foreseen(&world, &world.reseller, "2026-01-01").await;
    assert!(ahead.2.parked_reason.is_some() && ahead.2.documents.is_empty());
    run(&world, "2026-01-01").await;
    assert_eq!(came_true(&world, ahead).await, 0);
}

/// What runs are refused by the database a look does not find.
#[tokio::test]
async fn an_agreement_that_is_parked_says_why_though_it_can_be_rated() {
    let world = refused_by_the_database().await;
    assert_eq!(look(&world, &world.reseller, Some("2026-01-01")).await.documents.len(), 1);
    assert_eq!(run(&world, "2026-01-01").await.accounts_parked, 1);
    let ahead = foreseen(&world, &world.reseller, "2026-01-01").await;
    assert!(ahead.2.parked_reason.is_some() && ahead.2.documents.is_empty());
    run(&world, "2026-01-01").await;
    assert_eq!(came_true(&world, ahead).await, 0);
}

#[tokio::test]
async fn the_two_parties_look_and_nobody_else() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    let below = below(&world).await;
    agree(&world, &below, agreed(&book, 3)).await;
    let own = admin_of(&world, &below).await.enter_reseller(below.id).await.unwrap();
    assert_eq!(preview(&own, None).await.unwrap().documents.len(), 1);
    // The one above has it in scope, and is no party to it.
    let above = admin_of(&world, &world.reseller).await.enter_reseller(below.id).await.unwrap();
    assert_eq!(preview(&above, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    let new = NewApiKey::full(Role::ResellerSupport);
    let at_below = world.operator.enter_reseller(below.id).await.unwrap();
    let (_, secret) = api_key::create_for_reseller(&at_below, new).await.unwrap();
    let support = Auth::new(world.test_db.db()).await.unwrap();
    let support = support.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let support = support.enter_reseller(below.id).await.unwrap();
    assert_eq!(preview(&support, None).await.unwrap_err().kind(), ErrorKind::Forbidden);
    // Who has agreed to nothing is billed nothing.
    let operator = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    assert_eq!(preview(&operator, None).await.unwrap_err().kind(), ErrorKind::NotFound);
}
