//! Drafts: documents that count as billed, and that nobody owes yet. A run makes them final when their day has come, or
//! somebody does before; or one is discarded, and its boundary is billed anew.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use kernel::{InvoiceId, Money, TenantId};
use serde_json::json;
use tenancy::{Action, Caller, Ctx, OfTenants, TenantTx, event};

use super::corrected::{correct, taken_back};
use super::store::{Creditable, NewInvoice, Reference, unbilled};
use super::{DocumentKind, Invoice, enter, store};
use crate::Error;
use crate::ledger::{self, Posting};
use crate::price_book::Item;
use crate::profile::DAYS_TO_PAY;
use crate::rating::{Billed, Rate};
use crate::reader::{issued_by_another, must_act_for};
use crate::run::{is_settled, opened};
use crate::series;

/// Makes a draft final today: numbered, posted and due.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one of a tenant out of scope; [`Error::Conflict`]
/// `not_a_draft`, `issued_by_another` for one of a reseller that the tenant has left and the caller is not above, `tenant_transferred`
/// for whoever is not above the tenant's present one, and `earlier_draft`
/// while one of an earlier boundary is there.
pub async fn finalize(caller: &Caller, id: InvoiceId) -> Result<Invoice, Error> {
    let ctx = enter(caller, id, Action::InvoiceWrite).await?;
    must_act_for_issuer(&ctx, id).await?;
    let mut tx = ctx.begin().await?;
    let draft = held_draft(&mut tx, id).await?;
    let billing = draft.billing.ok_or(Error::Stored("draft"))?;
    if unbilled::has_earlier_draft(&mut tx, billing).await? {
        let detail = "a draft of an earlier boundary becomes final before it";
        return Err(Error::Conflict { code: "earlier_draft", detail });
    }
    make_final(&ctx, &mut tx, &draft, (ctx.today(), false)).await?;
    let made = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(made)
}

/// Discards a draft: the next run bills anew what it billed, by what is known then.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one of a tenant out of scope; [`Error::Conflict`]
/// `not_a_draft`, and `credited_since` when a later document takes back what it charges.
pub async fn discard(caller: &Caller, id: InvoiceId) -> Result<(), Error> {
    let ctx = enter(caller, id, Action::InvoiceWrite).await?;
    let mut tx = ctx.begin().await?;
    let draft = held_draft(&mut tx, id).await?;
    unbill(&ctx, &mut tx, &[&draft]).await?;
    let data = json!({"kind": draft.kind.as_str(), "total": draft.total});
    event::record(&mut tx, &ctx, event::Kind::InvoiceDiscarded, id, data).await?;
    tx.commit().await?;
    Ok(())
}

/// Makes the tenant's drafts final whose day has come, or all that it leaves, the oldest first and each in a transaction of its own.
/// Returns how many invoices and credit notes that were.
pub(crate) async fn finalize_due(ctx: &Ctx, as_of: NaiveDate) -> Result<(u64, u64), Error> {
    let until = as_of.min(ctx.today());
    let (mut invoices, mut credit_notes) = (0, 0);
    loop {
        let mut tx = ctx.begin().await?;
        unbilled::hold(&mut tx).await?;
        let Some(id) = unbilled::oldest_draft(&mut tx).await? else { break };
        let draft = store::find(&mut tx, id).await?.ok_or(Error::Stored("draft"))?;
        let settles = is_settled(&mut tx, ctx, as_of).await?;
        if draft.issued_on > until && !settles {
            break;
        }
        make_final(ctx, &mut tx, &draft, (until, settles)).await?;
        tx.commit().await?;
        match draft.kind {
            DocumentKind::Invoice => invoices += 1,
            DocumentKind::CreditNote => credit_notes += 1,
        }
    }
    Ok((invoices, credit_notes))
}

/// Whoever is above a former issuer may, too: that one cannot be deleted while it has drafts.
async fn must_act_for_issuer(ctx: &Ctx, id: InvoiceId) -> Result<(), Error> {
    let draft = {
        let mut tx = ctx.read().await?;
        store::find(&mut tx, id).await?.ok_or(Error::NotFound)?
    };
    // What it is else is told once it is held.
    if draft.status != "draft" || draft.issuer.id == ctx.reseller_id() {
        return Ok(());
    }
    must_act_for(ctx.caller(), draft.issuer.id).await
}

async fn held_draft(tx: &mut TenantTx, id: InvoiceId) -> Result<Invoice, Error> {
    unbilled::hold(tx).await?;
    let found = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    match found.status.as_str() {
        "draft" => Ok(found),
        // Just now, by somebody else.
        "discarded" => Err(Error::NotFound),
        _ => Err(Error::Conflict { code: "not_a_draft", detail: "the document is final" }),
    }
}

/// On a day; what is settled is due on it.
async fn make_final(
    ctx: &Ctx,
    tx: &mut TenantTx,
    draft: &Invoice,
    (day, settles): (NaiveDate, bool),
) -> Result<(), Error> {
    let days_to_pay = draft.issuer.profile.as_ref().map_or(DAYS_TO_PAY, |profile| profile.days_to_pay);
    let days_to_pay = if settles { 0 } else { days_to_pay };
    let due_on = day.checked_add_days(Days::new(days_to_pay.into())).ok_or(Error::Stored("day"))?;
    let number = series::store::take(tx.conn(), draft.issuer.id, draft.kind.series()).await?;
    let now = ctx.env().now();
    unbilled::make_final(tx, draft.id, number, day, due_on, now).await?;
    let posting = Posting {
        document: draft.id,
        kind: draft.kind,
        issuer: draft.issuer.id,
        currency: draft.currency,
        net_minor: draft.net.amount_minor,
        tax_minor: draft.tax.amount_minor,
        effective_on: day,
        posted_at: now,
    };
    complete(tx, &[Completed { ctx, posting, number }]).await
}

/// A document that has just become final.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Completed<'a> {
    pub(crate) ctx: &'a Ctx,
    pub(crate) posting: Posting,
    pub(crate) number: i64,
}

/// Posts documents that have just become final, of each tenant in the order of their boundaries, lets credit notes correct the
/// invoices that billed what they take back, and tells of them.
pub(crate) async fn complete(tx: &mut impl OfTenants, completed: &[Completed<'_>]) -> Result<(), Error> {
    let postings: Vec<_> = completed.iter().map(|one| (one.ctx.tenant_id(), one.posting)).collect();
    ledger::post(tx, &postings).await?;
    let credits = credits(tx, completed).await?;
    if !credits.is_empty() {
        store::insert_references(tx, &credits).await?;
    }
    announce(tx, completed).await
}

/// Which invoices credit notes correct.
async fn credits(tx: &mut impl OfTenants, completed: &[Completed<'_>]) -> Result<Vec<Reference>, Error> {
    let notes: Vec<(TenantId, InvoiceId)> = completed
        .iter()
        .filter(|one| one.posting.total_minor() < 0)
        .map(|one| (one.ctx.tenant_id(), one.posting.document))
        .collect();
    let mut references = Vec::new();
    if notes.is_empty() {
        return Ok(references);
    }
    let tenants: BTreeSet<TenantId> = notes.iter().map(|(tenant, _)| *tenant).collect();
    let tenants: Vec<TenantId> = tenants.into_iter().collect();
    let mut taken_back = taken_back(&store::billed_lines(tx, &notes).await?)?;
    let mut creditable = store::creditable(tx, &tenants).await?;
    let are_new: BTreeSet<InvoiceId> = completed.iter().map(|one| one.posting.document).collect();
    for invoices in creditable.values_mut() {
        invoices.retain(|one| !are_new.contains(&one.invoice));
    }
    for Completed { ctx, posting, .. } in completed {
        let tenant_id = ctx.tenant_id();
        let (document, issuer, total_minor) = (posting.document, posting.issuer, posting.total_minor());
        let invoices = creditable.entry(tenant_id).or_default();
        if total_minor > 0 {
            let before = invoices.partition_point(|one| one.issued_on > posting.effective_on);
            let (issued_on, left_minor) = (posting.effective_on, total_minor);
            invoices.insert(before, Creditable { invoice: document, issuer, issued_on, left_minor });
        }
        let taken = taken_back.remove(&document).unwrap_or_default();
        let corrected = correct(total_minor.saturating_neg(), &taken, issuer, invoices)?;
        references.extend(corrected.into_iter().map(|(invoice, amount_minor)| Reference {
            tenant_id,
            credit_note: document,
            invoice,
            amount_minor,
        }));
    }
    Ok(references)
}

/// Tells of documents that have become final.
pub(super) async fn announce(tx: &mut impl OfTenants, completed: &[Completed<'_>]) -> Result<(), Error> {
    let happened = completed.iter().map(|Completed { ctx, posting, number }| event::Happened {
        ctx,
        kind: event::Kind::InvoiceFinalized,
        subject: posting.document.to_string(),
        data: json!({"kind": posting.kind.as_str(), "number": posting.kind.number(*number), "issued_on": posting.effective_on,
            "total": Money::new(posting.total_minor(), posting.currency)}),
    });
    event::record_all(tx, happened.collect()).await?;
    Ok(())
}

/// Tells of drafts that were made.
pub(crate) async fn announce_drafts(
    tx: &mut impl OfTenants,
    drafts: &[(&Ctx, &NewInvoice<'_>)],
) -> Result<(), Error> {
    let happened = drafts.iter().map(|&(ctx, draft)| event::Happened {
        ctx,
        kind: event::Kind::InvoiceDrafted,
        subject: draft.id.to_string(),
        data: json!({"kind": draft.kind.as_str(), "issued_on": draft.issued_on,
            "total": Money::new(draft.totals.total_minor, draft.currency)}),
    });
    event::record_all(tx, happened.collect()).await?;
    Ok(())
}

/// Lets documents that add up to nothing, or drafts, count as billed no more. What is left must stand alone: nothing may be
/// taken back of what is charged no more.
pub(super) async fn unbill(ctx: &Ctx, tx: &mut TenantTx, documents: &[&Invoice]) -> Result<(), Error> {
    if documents.iter().any(|document| document.issuer.id != ctx.reseller_id()) {
        return Err(issued_by_another());
    }
    let after = unbilled::last_billing(tx).await?.ok_or(Error::Conflict {
        code: "not_recorded",
        detail: "it is of before it was recorded what was known when it was made",
    })?;
    let ids: Vec<InvoiceId> = documents.iter().map(|document| document.id).collect();
    unbilled::unbill(tx, &ids, after, ctx.env().now()).await?;
    let lines = documents.iter().flat_map(|document| &document.lines);
    let charged: BTreeSet<(&str, NaiveDate)> =
        lines.map(|line| (line.item.as_str(), line.cycle_starts_on)).collect();
    let cycles: BTreeSet<NaiveDate> = charged.iter().map(|(_, starts_on)| *starts_on).collect();
    let cycles: Vec<_> = cycles.into_iter().map(|day| (ctx.tenant_id(), day)).collect();
    let issued = store::past(tx, &cycles).await?.remove(&ctx.tenant_id()).unwrap_or_default();
    let issuers: BTreeSet<_> = documents.iter().map(|document| document.issuer.id).collect();
    for past in issuers.iter().filter_map(|issuer| issued.pasts.get(issuer)) {
        must_stand_alone(past.history.stands_alone()?)?;
    }
    // The money alone would not say so: what some days are credited others may be charged. Other cycles stay as they are.
    let cycles = opened(tx, None).await?;
    let mut states = cycles.iter().flat_map(|(item, states)| states.iter().map(move |state| (*item, state)));
    must_stand_alone(states.all(|(item, state)| {
        let is_of_it = charged.contains(&(item.as_str(), state.cycle.charged.start()));
        !is_of_it || are_charged(item, &state.billed)
    }))
}

/// Whether what is left, when documents count as billed no more, takes back nothing that is charged no more.
pub(crate) fn must_stand_alone(stands_alone: bool) -> Result<(), Error> {
    if stands_alone {
        return Ok(());
    }
    let detail = "a later document takes back what it charges, and is to be voided or discarded first";
    Err(Error::Conflict { code: "credited_since", detail })
}

/// Whether all units that are credited of a cycle are charged, at their rate and on their days. Of storage only the whole of a cycle
/// is.
pub(crate) fn are_charged(item: Item, lines: &[Billed]) -> bool {
    // By how much the level of each rate changes on a day; after its last day it is back at nothing.
    let mut steps = BTreeMap::<(&Rate, NaiveDate), i64>::new();
    for line in lines.iter().filter(|_| item != Item::Storage) {
        *steps.entry((&line.rate, line.period.start())).or_default() += line.quantity;
        *steps.entry((&line.rate, line.period.end())).or_default() -= line.quantity;
    }
    let mut level = 0;
    steps.into_values().all(|step| {
        level += step;
        level >= 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::{Span, Tariff};

    fn line(unit_price: &str, from: &str, until: &str, quantity: i64) -> Billed {
        let rate = Rate::from(Tariff::Flat(unit_price.parse().unwrap()));
        let period = Span::new(from.parse().unwrap(), until.parse().unwrap()).unwrap();
        Billed { rate, period, quantity, amount_minor: 0, discount_minor: 0 }
    }

    #[test]
    fn a_unit_that_is_credited_is_charged_at_its_price_and_on_its_days() {
        let charged = line("4", "2026-01-01", "2026-02-01", 2);
        let part = |quantity| line("4", "2026-01-11", "2026-01-21", quantity);
        let are = |lines: &[Billed]| are_charged(Item::Mailbox, lines);
        assert!(are(&[]) && are(&[charged.clone(), part(-2)]));
        assert!(!are(&[charged.clone(), part(-3)]));
        // Neither more units on other days nor some at another price.
        assert!(!are(&[line("4", "2026-01-21", "2026-02-01", 9), part(-1)]));
        assert!(!are(&[line("5", "2026-01-01", "2026-02-01", 2), part(-1)]));
        let dearer = line("5", "2026-01-11", "2026-01-21", 1);
        assert!(are(&[part(-1), part(-1), part(1), dearer, charged]));
        assert!(are_charged(Item::Storage, &[part(-1)]));
    }
}
