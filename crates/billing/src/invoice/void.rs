//! Voiding an invoice: a credit note takes back the whole of what is left of it, and neither counts as billed any more, so
//! that the next run bills anew what is owed, by the profiles of then and the rates of the boundary's day.

use kernel::{Checks, InvoiceId, Money};
use serde_json::json;
use tenancy::{Action, Caller, TenantTx, event};

use super::draft::Completed;
use super::store::{NewInvoice, Reference, unbilled};
use super::{DocumentKind, Invoice, draft, enter, store};
use crate::ledger;
use crate::rating::Totals;
use crate::receivable::Receivables;
use crate::series;
use crate::{Error, dunning, subscription};

/// The longest reason.
const MAX_REASON_CHARS: usize = 200;

/// Voids a final invoice, and returns the credit note that does.
///
/// # Errors
/// [`Error::Invalid`] for a bad reason; [`Error::NotFound`], the same for one that does not exist and for one of a tenant
/// out of scope; [`Error::Conflict`] `tenant_transferred` for a former issuer, `issued_by_another` for another than that; `not_voidable` for what is no final invoice of which something is left, or shares a
/// credit note with another; `paid` when money has arrived for it or may still; `credited_since` when a later document
/// takes back what it charges.
pub async fn void(caller: &Caller, id: InvoiceId, reason: &str) -> Result<Invoice, Error> {
    let ctx = enter(caller, id, Action::InvoiceWrite).await?;
    check_reason(reason)?;
    let mut tx = ctx.begin().await?;
    // The tenant's row before the subscription's, as whoever changes that does: what dunning took may be given back.
    subscription::store::find_locked(&mut tx).await?;
    let invoice = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let family = family(&mut tx, invoice).await?;
    let [invoice, ..] = family.as_slice() else { return Err(Error::Stored("invoice")) };
    let totals = opposite(family.iter().map(|document| [document.net, document.tax, document.total]))?;
    let is_being_paid = unbilled::is_being_paid(&mut tx, id).await?;
    // Counted again: a payment may have come before the invoice's row was held.
    let due_minor = Receivables::read(&mut tx).await?.due_minor(id);
    must_be_unpaid(due_minor, &totals, is_being_paid)?;
    let today = ctx.today();
    let number = series::store::take(tx.conn(), invoice.issuer.id, DocumentKind::CreditNote.series()).await?;
    // After whoever had the number before it.
    let now = ctx.env().now();
    let new = NewInvoice {
        id: ctx.env().new_id(),
        kind: DocumentKind::CreditNote,
        issuer: &invoice.issuer,
        customer: &invoice.customer,
        currency: invoice.currency,
        billing: None,
        reason: Some(reason),
        issued_on: today,
        due_on: today,
        totals: &totals,
        tax_behavior: invoice.tax_behavior,
        tax_rates_known: invoice.tax_rates_known,
        finalized: Some((number, now)),
    };
    store::insert(&mut tx, std::slice::from_ref(&new)).await?;
    let ids: Vec<InvoiceId> = family.iter().map(|document| document.id).collect();
    unbilled::insert_opposite(&mut tx, new.id, &ids).await?;
    let (tenant_id, amount_minor) = (ctx.tenant_id(), totals.total_minor.saturating_neg());
    store::insert_references(
        &mut tx,
        &[Reference { tenant_id, credit_note: new.id, invoice: id, amount_minor }],
    )
    .await?;
    let posting = new.posting(now);
    ledger::post(&mut tx, &[(tenant_id, posting)]).await?;
    let note = store::find(&mut tx, new.id).await?.ok_or(Error::Stored("credit note"))?;
    let all: Vec<&Invoice> = family.iter().chain([&note]).collect();
    draft::unbill(&ctx, &mut tx, &all).await?;
    draft::announce(&mut tx, &[Completed { ctx: &ctx, posting, number }]).await?;
    let data = json!({"credit_note_id": new.id, "reason": reason});
    event::record(&mut tx, &ctx, event::Kind::InvoiceVoided, id, data).await?;
    dunning::lift(&mut tx, &ctx).await?;
    tx.commit().await?;
    Ok(note)
}

/// Checks what a credit note is to say.
pub(crate) fn check_reason(reason: &str) -> Result<(), Error> {
    let mut checks = Checks::default();
    checks.name(reason, MAX_REASON_CHARS, "/reason");
    checks.done().map_err(Error::Invalid)
}

pub(crate) fn not_voidable(detail: &'static str) -> Error {
    Error::Conflict { code: "not_voidable", detail }
}

/// Whether an invoice may be voided as it is: a final one that is not void.
pub(crate) fn must_be_final(kind: DocumentKind, status: &str) -> Result<(), Error> {
    if kind == DocumentKind::Invoice && matches!(status, "final" | "paid") {
        return Ok(());
    }
    Err(not_voidable("only a final invoice that is not void already can be voided"))
}

/// Whether a credit note that corrects so many invoices is one's alone.
pub(crate) fn must_be_its_own(corrects: i64) -> Result<(), Error> {
    if corrects > 1 {
        return Err(not_voidable("a credit note corrects it and other invoices"));
    }
    Ok(())
}

/// An invoice with the credit notes that correct it and nothing else: together they are what is left of it.
async fn family(tx: &mut TenantTx, invoice: Invoice) -> Result<Vec<Invoice>, Error> {
    must_be_final(invoice.kind, &invoice.status)?;
    let mut family = vec![invoice];
    let Some(id) = family.first().map(|invoice| invoice.id) else { return Ok(family) };
    for (credit_note, corrects) in unbilled::corrections(tx, id).await? {
        must_be_its_own(corrects)?;
        family.push(store::find(tx, credit_note).await?.ok_or(Error::Stored("credit note"))?);
    }
    Ok(family)
}

/// What takes documents back, of which it is the net, the tax and the total of each, and which come to more than nothing.
pub(crate) fn opposite(documents: impl Iterator<Item = [Money; 3]>) -> Result<Totals, Error> {
    let mut sums = [0_i64; 3];
    for amounts in documents {
        for (sum, amount) in sums.iter_mut().zip(amounts) {
            *sum = sum.checked_sub(amount.amount_minor).ok_or(Error::Stored("amount"))?;
        }
    }
    let [net_minor, tax_minor, total_minor] = sums;
    if total_minor >= 0 {
        return Err(not_voidable("nothing of it is left to take back"));
    }
    Ok(Totals { lines_net_minor: Vec::new(), groups: Vec::new(), net_minor, tax_minor, total_minor })
}

/// What is due must be all that is left: neither a payment nor another's credit has gone to it.
pub(crate) fn must_be_unpaid(due_minor: i64, opposite: &Totals, is_being_paid: bool) -> Result<(), Error> {
    if due_minor == opposite.total_minor.saturating_neg() && !is_being_paid {
        return Ok(());
    }
    let detail = "something of it is paid, or a payment of it is under way: what was paid is paid back first";
    Err(Error::Conflict { code: "paid", detail })
}
