//! Voiding a wholesale invoice, as [`crate::invoice::void()`] does a tenant's: a credit note takes back the whole of what is left of
//! it, and neither counts as billed any more, so that the operator's next run bills anew what is owed.

mod store;

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::InvoiceId;
use serde_json::json;
use tenancy::{Action, Caller, ResellerCtx, Scope, event};

use super::agreement::{self, Agreement};
use super::bill::store as billed;
use super::invoice::{self, NewInvoice, WholesaleInvoice, store as invoices};
use super::{must_be_party, system};
use crate::Error;
use crate::invoice::DocumentKind;
use crate::invoice::draft::{are_charged, must_stand_alone};
use crate::invoice::void::{
    check_reason, must_be_final, must_be_its_own, must_be_unpaid, not_voidable, opposite,
};
use crate::rating::local_day;
use crate::series::{self, OPERATOR};

/// Voids a final invoice of the operator's, and returns the credit note that does.
///
/// # Errors
/// As [`crate::invoice::void()`]; [`Error::NotFound`] for whoever is neither the operator nor the reseller itself, and
/// [`Error::Tenancy`] for any but the operator; [`Error::Conflict`] `not_voidable` for one of a reseller that was deleted, too, and
/// `credited_since` when a later document charges more of a cycle by the same tiers.
pub(crate) async fn void(caller: &Caller, id: InvoiceId, reason: &str) -> Result<WholesaleInvoice, Error> {
    let ctx = enter(caller, id).await?;
    ctx.require(Action::InvoiceWrite)?;
    ctx.require(Action::WholesaleWrite)?;
    check_reason(reason)?;
    let (env, reseller_id) = (ctx.db().env(), ctx.reseller_id());
    let mut tx = system(ctx.db()).await?;
    // Nobody bills the reseller, records what it pays or deletes it until this is written.
    let agreement = agreement::store::held(&mut tx, reseller_id).await?.ok_or(Error::NotFound)?;
    if billed::is_deleted(&mut tx, reseller_id).await? {
        return Err(not_voidable("its reseller is deleted, and is billed nothing anew"));
    }
    let invoice = invoices::find(&mut tx, reseller_id, id).await?.ok_or(Error::NotFound)?;
    let family = family(&mut tx, &agreement, invoice).await?;
    let [invoice, ..] = family.as_slice() else { return Err(Error::Stored("invoice")) };
    let totals = opposite(family.iter().map(|document| [document.net, document.tax, document.total]))?;
    // What a reseller pays is final when it is recorded.
    must_be_unpaid(invoice.due.amount_minor, &totals, false)?;
    unbill(&mut tx, &agreement, &family, env.now()).await?;
    let today = local_day(env.now(), agreement.time_zone);
    let number = series::store::take(tx.conn(), OPERATOR, DocumentKind::CreditNote.series()).await?;
    // After whoever had the number before it.
    let now = env.now();
    let new = NewInvoice {
        id: env.new_id(),
        reseller_id,
        kind: DocumentKind::CreditNote,
        number,
        issuer: &invoice.issuer,
        customer: &invoice.customer,
        tax_rates_known: invoice.tax_rates_known,
        currency: invoice.currency,
        billing: None,
        reason: Some(reason),
        issued_on: today,
        due_on: today,
        net_minor: totals.net_minor,
        tax_minor: totals.tax_minor,
        total_minor: totals.total_minor,
        finalized_at: now,
    };
    invoices::insert(&mut tx, &new).await?;
    let ids: Vec<InvoiceId> = family.iter().map(|document| document.id).collect();
    store::insert_opposite(&mut tx, &new, &ids).await?;
    invoices::insert_reference(&mut tx, &new, id, totals.total_minor.saturating_neg()).await?;
    store::unbill_with(&mut tx, &new, id).await?;
    invoice::complete(&mut tx, caller, &new).await?;
    // Resellers above see the trail too: what the operator says of it is not theirs to know.
    let (trail, data) = (Scope::Reseller(reseller_id), json!({"credit_note_id": new.id}));
    event::record_on(&mut tx, caller, trail, event::Kind::WholesaleInvoiceVoided, id, data).await?;
    let note = invoices::find(&mut tx, reseller_id, new.id).await?.ok_or(Error::Stored("credit note"))?;
    tx.commit().await?;
    Ok(note)
}

/// Enters the reseller that a document is of, to whoever is no party the same as if there were none.
async fn enter(caller: &Caller, id: InvoiceId) -> Result<ResellerCtx, Error> {
    let found = {
        let mut tx = system(caller.db()).await?;
        invoices::reseller_of(&mut tx, id).await?
    };
    let ctx = caller.enter_reseller_deleted_too(found.ok_or(Error::NotFound)?).await?;
    must_be_party(&ctx)?;
    Ok(ctx)
}

/// An invoice with the credit notes that correct it and nothing else: together they are what is left of it.
async fn family(
    tx: &mut SystemTx,
    agreement: &Agreement,
    invoice: WholesaleInvoice,
) -> Result<Vec<WholesaleInvoice>, Error> {
    must_be_final(invoice.kind, &invoice.status)?;
    let (reseller_id, id) = (agreement.reseller_id, invoice.id);
    let mut family = vec![invoice];
    for (credit_note, corrects) in store::corrections(tx, reseller_id, id).await? {
        must_be_its_own(corrects)?;
        let found = invoices::find(tx, reseller_id, credit_note).await?;
        family.push(found.ok_or(Error::Stored("credit note"))?);
    }
    Ok(family)
}

/// Lets documents count as billed no more, and the last boundary be billed again by the next run, which tries a parked agreement,
/// too. What is left must stand alone.
async fn unbill(
    tx: &mut SystemTx,
    agreement: &Agreement,
    documents: &[WholesaleInvoice],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let reseller_id = agreement.reseller_id;
    let last = billed::last_billed(tx, reseller_id).await?;
    let (after, _) = last.ok_or(Error::Stored("billed boundary"))?;
    let ids: Vec<InvoiceId> = documents.iter().map(|document| document.id).collect();
    store::unbill(tx, reseller_id, &ids, after, now).await?;
    billed::advance(tx, reseller_id, after.boundary).await?;
    let lines = documents.iter().flat_map(|document| &document.lines);
    let charged: BTreeSet<(&str, NaiveDate)> =
        lines.map(|line| (line.item.as_str(), line.cycle_starts_on)).collect();
    let cycles: BTreeSet<NaiveDate> = charged.iter().map(|(_, starts_on)| *starts_on).collect();
    let cycles: Vec<NaiveDate> = cycles.into_iter().collect();
    let past = invoices::past(tx, reseller_id, &cycles).await?;
    must_stand_alone(past.history.stands_alone()?)?;
    // By tiers units are priced with those before them: billed anew without them, each tenant would come to another sum.
    if store::are_priced_with_later(tx, reseller_id, &ids).await? {
        let detail = "a later document charges more of a cycle by the same tiers, and is to be voided first";
        return Err(Error::Conflict { code: "credited_since", detail });
    }
    // The money alone would not say so: what one tenant is credited others may be charged. Other cycles stay as they are.
    let billed = billed::billed_lines(tx, reseller_id).await?;
    let mut cycles = billed
        .values()
        .flatten()
        .flat_map(|(item, cycles)| cycles.iter().map(move |(starts_on, lines)| (*item, *starts_on, lines)));
    must_stand_alone(cycles.all(|(item, starts_on, lines)| {
        !charged.contains(&(item.as_str(), starts_on)) || are_charged(item, lines)
    }))
}
