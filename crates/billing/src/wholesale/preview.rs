//! What a run would make of an agreement, before there is one: rated and taxed as by it, in a transaction that can only read
//! and holds nobody up, and written nowhere.

use chrono::{DateTime, Days, NaiveDate, Utc};
use db::{Db, SystemTx};
use kernel::{Currency, Money};
use tenancy::{Action, ResellerCtx};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::agreement::{self, Agreement};
use super::bill::Books;
use super::bill::document::{Draft, draft};
use super::invoice::WholesaleLine;
use super::must_be_party;
use crate::Error;
use crate::invoice::{DocumentKind, InvoiceTax};
use crate::preview::day;
use crate::rating::{GroupTotal, local_day};
use crate::run::account::is_of_account;

/// How far ahead of the agreement's present day one can look: all of a reseller's tenants are rated at each boundary.
const AHEAD: Days = Days::new(366);

/// Each takes a core, and a connection to the database with a snapshot: most of these are left to everybody else. Whoever finds none
/// free waits, as for a file, for as long as a request may take.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What a run would make.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Up to which day it would run.
    pub as_of: NaiveDate,
    /// The documents, by boundary.
    pub documents: Vec<Previewed>,
    /// The boundary after these.
    pub next_invoice_on: NaiveDate,
    /// Why a run could not bill the agreement but would park it, or has.
    pub parked_reason: Option<String>,
}

/// A document as it would become final but for id and number, which a run gives.
#[derive(Debug, Clone)]
pub struct Previewed {
    /// Invoice or credit note.
    pub kind: DocumentKind,
    /// What every amount is in.
    pub currency: Currency,
    /// The boundary that it would be made for; of one that is billed anew, the present day.
    pub issued_on: NaiveDate,
    /// By when it would be to be paid.
    pub due_on: NaiveDate,
    /// What it would be for, by tenant; the commitment last.
    pub lines: Vec<WholesaleLine>,
    /// Its taxes, by category and rate.
    pub taxes: Vec<InvoiceTax>,
    /// The sum of the lines.
    pub net: Money,
    /// Tax on it.
    pub tax: Money,
    /// Net and tax.
    pub total: Money,
}

/// The documents that a run up to a day, such as 2026-02-01, would make if everything stayed as it is now; without a day, up to
/// the next boundary.
///
/// # Errors
/// [`Error::NotFound`] when there is no agreement, and for whoever is neither the operator nor the reseller itself;
/// [`Error::Invalid`] for what is no day, or one further ahead than a year; [`Error::Tenancy`] without the right to see
/// wholesale.
pub async fn preview(ctx: &ResellerCtx, as_of: Option<&str>) -> Result<Preview, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleRead)?;
    // It fails for a closed semaphore only, which this one never is.
    let turn = AT_ONCE.acquire().await.ok();
    let mut tx = snapshot(ctx.db()).await?;
    let agreement = agreement::store::find(&mut tx, ctx.reseller_id()).await?.ok_or(Error::NotFound)?;
    let now = ctx.db().env().now();
    let today = local_day(now, agreement.time_zone);
    let asked = as_of.map(|text| day(today, AHEAD, text)).transpose()?;
    let until = asked.unwrap_or(agreement.next_invoice_on);
    let (documents, next_invoice_on) = (Vec::new(), agreement.next_invoice_on);
    let parked_reason = agreement.parked_reason.clone();
    let none = Preview { as_of: until, documents, next_invoice_on, parked_reason };
    if none.parked_reason.is_some() {
        // No run tries it again until its cause is seen to: none can name a reseller, as it can a tenant.
        return Ok(none);
    }
    match drafts(&mut tx, &agreement, (until, now), turn).await {
        Ok((drafts, next_invoice_on)) => {
            let documents = drafts.into_iter().map(|draft| previewed(&agreement, draft)).collect();
            Ok(Preview { documents, next_invoice_on, ..none })
        }
        Err(error) if is_of_account(&error) => Ok(Preview { parked_reason: Some(error.to_string()), ..none }),
        Err(error) => Err(error),
    }
}

/// With the boundary after them. The turn is over when they are made, or their rating is if nobody waits for them any more.
async fn drafts(
    tx: &mut SystemTx,
    agreement: &Agreement,
    (until, now): (NaiveDate, DateTime<Utc>),
    turn: Option<SemaphorePermit<'static>>,
) -> Result<(Vec<Draft>, NaiveDate), Error> {
    let books = Books::read(tx, agreement, (until, now)).await?;
    let (owed, _turn) = books.rate(turn).await?;
    let today = local_day(now, agreement.time_zone);
    let documents = draft(tx, agreement, &owed.boundaries, today).await?;
    Ok((documents.map(|documents| documents.drafts).unwrap_or_default(), owed.next_boundary))
}

fn previewed(agreement: &Agreement, of: Draft) -> Previewed {
    let money = |minor| Money::new(minor, agreement.currency);
    let tax = |(total, reason): (&GroupTotal, Option<&str>)| InvoiceTax {
        group: total.group,
        taxable: money(total.taxable_minor),
        tax: money(total.tax_minor),
        reason: reason.map(str::to_owned),
    };
    let mut taxes: Vec<InvoiceTax> = of.taxes().map(tax).collect();
    // As documents show them.
    taxes.sort_by_key(|tax| (tax.group.category().code(), tax.group.rate()));
    Previewed {
        kind: of.kind(),
        currency: agreement.currency,
        issued_on: of.issued_on,
        due_on: of.due_on,
        taxes,
        net: money(of.totals.net_minor),
        tax: money(of.totals.tax_minor),
        total: money(of.totals.total_minor),
        lines: of.lines.into_iter().map(|(line, _)| line).collect(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "wholesale is between the operator and a reseller, over all its tenants; each call is bounded by a ResellerCtx"
)]
async fn snapshot(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::snapshot(db).await
}
