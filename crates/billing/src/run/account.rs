//! Billing accounts: one transaction that locks their rows, reads their books, asks the rating core what is outstanding at
//! each due boundary, and writes the documents; of one account, or of hundreds at once.

mod books;
mod document;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use kernel::{InvoiceId, TenantId};
use serde_json::json;
use tenancy::tenant::RESTORABLE;
use tenancy::{Caller, Ctx, OfTenants, TenantTx, TenantsTx, event};

use crate::Error;
use crate::invoice::DocumentKind;

pub(crate) use books::opened;

/// How long after the last moment at which a deleted tenant can be restored it is billed to its end: nobody restores what is being billed,
/// though clocks differ.
pub(super) const MARGIN: TimeDelta = TimeDelta::hours(1);

/// How an account is gone about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Treatment<'a> {
    /// Whether it is tried though it is parked.
    pub(crate) retries_parked: bool,
    /// Whether to wait for somebody who holds it.
    pub(crate) waits: bool,
    /// Those that may be billed to their end, of which one-off items for days to come are withdrawn. No others are, though their time
    /// should come meanwhile.
    pub(crate) settled: &'a BTreeSet<TenantId>,
}

/// How an account came out of a run.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Everything due has been billed, as far as it has come in the tenant's own time.
    Billed {
        /// Invoices made.
        invoices: u64,
        /// Credit notes made.
        credit_notes: u64,
        /// Drafts made of either.
        drafts: u64,
    },
    /// Somebody holds its row: another run, or a change of the subscription.
    Held,
    /// Another run has billed it.
    Elsewhere,
    /// A cycle of it is not over yet in the zone in which its days are counted.
    NotYet,
    /// It cannot be billed.
    Parked,
}

/// Bills every boundary of an account up to a day, or up to the tenant's present day if that is earlier; of a tenant that cannot
/// be restored any more all that are left ([`settles`]).
///
/// What cannot be rated parks the account, with the reason. Only the database's faults are errors.
pub(super) async fn bill(
    caller: &Caller,
    tenant_id: TenantId,
    as_of: NaiveDate,
    treatment: Treatment<'_>,
) -> Result<Outcome, Error> {
    let one = async || {
        let outcomes = bill_all(caller, &[tenant_id], as_of, treatment).await?;
        Ok(outcomes.into_iter().next().map_or(Outcome::Elsewhere, |(_, outcome)| outcome))
    };
    let mut billed = one().await;
    if billed.as_ref().is_err_and(is_done_elsewhere) {
        // Somebody was faster; if the same is still due, it is not that.
        billed = one().await;
    }
    let reason = match billed {
        Err(error) if is_done_elsewhere(&error) => Error::Stored(RECORD_OF_BILLED),
        Err(error) if is_of_account(&error) => error,
        other => return other,
    };
    let Ok(ctx) = caller.enter_deleted_too(tenant_id).await else { return Ok(Outcome::Elsewhere) };
    let mut tx = ctx.begin().await?;
    park(&mut tx, &[(&ctx, reason)]).await?;
    tx.commit().await?;
    Ok(Outcome::Parked)
}

/// The database refuses what has been billed before.
fn is_done_elsewhere(error: &Error) -> bool {
    matches!(
        error.constraint(),
        Some(
            "billing_coverage_once"
                | "billing_coverage_same_days"
                | "billed_boundaries_once"
                | "invoices_boundary_once"
        )
    )
}

/// What is wrong where the database goes on refusing what nobody else has billed.
pub(crate) const RECORD_OF_BILLED: &str = "record of what was billed";

/// Whether an error is of an account, which somebody has to look at, and not of the database.
pub(crate) fn is_of_account(error: &Error) -> bool {
    matches!(error, Error::Rating(_) | Error::Untaxable(_) | Error::Stored(_))
}

async fn park(tx: &mut impl OfTenants, unbillable: &[(&Ctx, Error)]) -> Result<(), Error> {
    let Some((first, _)) = unbillable.first() else { return Ok(()) };
    let reason = |(ctx, error): &(&Ctx, Error)| {
        tracing::warn!(tenant.id = %ctx.tenant_id(), error = %error, "an account is parked");
        (ctx.tenant_id(), error.to_string())
    };
    let reasons: Vec<_> = unbillable.iter().map(reason).collect();
    let news = store::park(tx, &reasons, first.env().now()).await?;
    let told = unbillable.iter().zip(&reasons).filter_map(|((ctx, _), (id, reason))| {
        let subject = news.get(id)?.to_string();
        let kind = event::Kind::SubscriptionParked;
        Some(event::Happened { ctx, kind, subject, data: json!({"reason": reason}) })
    });
    event::record_all(tx, told.collect()).await?;
    Ok(())
}

/// Bills accounts as [`bill`] does, all in one transaction, and says how each came out; nothing of one whose tenant is gone.
///
/// An error leaves all of them as they were. One that is not the database's own may be of one of them alone: then each is to be
/// billed by itself.
pub(super) async fn bill_all(
    caller: &Caller,
    tenants: &[TenantId],
    as_of: NaiveDate,
    treatment: Treatment<'_>,
) -> Result<Vec<(TenantId, Outcome)>, Error> {
    // Deleted ones, too: what they used is still to be billed.
    let before = caller.enter_all_deleted_too(tenants).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "runs bill hundreds of tenants by statements for all of them"
    )]
    let mut tx = TenantsTx::begin(caller.db(), &before).await?;
    let mut claims =
        if treatment.waits { store::claim_waiting(&mut tx).await? } else { store::claim(&mut tx).await? };
    // Now that the rows are held: whoever held them before may have moved a tenant to another reseller.
    let entered = caller.enter_all_deleted_too(tenants).await?;
    let by_id: BTreeMap<TenantId, &Ctx> = entered.iter().map(|ctx| (ctx.tenant_id(), ctx)).collect();
    let (mut outcomes, mut due) = (Vec::new(), Vec::new());
    // As they were asked for, so that the oldest boundaries have the first numbers.
    for ctx in tenants.iter().filter_map(|id| by_id.get(id).copied()) {
        let claim = claims.remove(&ctx.tenant_id());
        let deleted_at = claim.as_ref().and_then(|claim| claim.deleted_at);
        let settles = treatment.settled.contains(&ctx.tenant_id())
            && settles(deleted_at, (ctx.now(), ctx.today()), as_of);
        let until = if settles { NaiveDate::MAX } else { as_of.min(ctx.today()) };
        let outcome = match claim {
            // A row that was waited for is gone with its tenant.
            None if treatment.waits => Outcome::Elsewhere,
            None => Outcome::Held,
            Some(claim) if claim.is_parked && !treatment.retries_parked => Outcome::Parked,
            Some(claim) if claim.next_invoice_on.is_none_or(|next| next > until) => Outcome::Elsewhere,
            Some(_) => {
                due.push(Due { ctx, until, settles });
                continue;
            }
        };
        outcomes.push((ctx.tenant_id(), outcome));
    }
    tx.narrow(|id| due.iter().any(|due| due.ctx.tenant_id() == id));
    let (mut next, mut unbillable) = (Vec::new(), Vec::new());
    for (tenant_id, made) in bill_until(&mut tx, &due, Finality::AtOnce).await? {
        match made {
            Ok(made) if made.waits => outcomes.push((tenant_id, Outcome::NotYet)),
            Ok(made) => {
                next.push((tenant_id, made.next_boundary));
                outcomes.push((tenant_id, made.outcome()));
            }
            Err(error) => {
                unbillable.extend(by_id.get(&tenant_id).map(|ctx| (*ctx, error)));
                outcomes.push((tenant_id, Outcome::Parked));
            }
        }
    }
    store::advance(&mut tx, &next).await?;
    park(&mut tx, &unbillable).await?;
    tx.commit().await?;
    Ok(outcomes)
}

/// An account that is to be billed, and up to which day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due<'a> {
    pub(crate) ctx: &'a Ctx,
    pub(crate) until: NaiveDate,
    /// Whether it is billed to its end: boundaries to come on the present day, and all of it is final at once and due.
    pub(crate) settles: bool,
}

/// Whether a run up to a day bills what is held of a tenant to its end: that was deleted so long ago that it cannot be restored any
/// more, and has not been for [`MARGIN`], and its present day is among those that are billed.
pub(super) fn settles(
    deleted_at: Option<DateTime<Utc>>,
    (now, today): (DateTime<Utc>, NaiveDate),
    as_of: NaiveDate,
) -> bool {
    today <= as_of && deleted_at.is_some_and(|at| at + RESTORABLE + MARGIN < now)
}

/// As [`settles`], of the transaction's tenant, which stays so until the transaction ends. The account's row has to be locked.
pub(crate) async fn is_settled(tx: &mut TenantTx, ctx: &Ctx, as_of: NaiveDate) -> Result<bool, Error> {
    Ok(settles(store::deleted_at(tx).await?, (ctx.now(), ctx.today()), as_of))
}

/// Whether documents become final at once, where the issuer does not look at drafts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finality {
    /// They do, with the next numbers of its series.
    AtOnce,
    /// None does: what is made is taken back, and nobody waits for the series meanwhile.
    Never,
}

/// A document that was written.
pub(crate) struct Written {
    pub(crate) id: InvoiceId,
    kind: DocumentKind,
    is_draft: bool,
}

/// What was made of an account, and where the next run goes on.
pub(crate) struct Made {
    pub(crate) documents: Vec<Written>,
    pub(crate) next_boundary: Option<NaiveDate>,
    /// Whether nothing was billed since a cycle is not over yet.
    waits: bool,
}

impl Made {
    fn outcome(&self) -> Outcome {
        let count =
            |counts: fn(&Written) -> bool| self.documents.iter().filter(|one| counts(one)).count() as u64;
        Outcome::Billed {
            invoices: count(|one| !one.is_draft && one.kind == DocumentKind::Invoice),
            credit_notes: count(|one| !one.is_draft && one.kind == DocumentKind::CreditNote),
            drafts: count(|one| one.is_draft),
        }
    }
}

/// Bills every boundary of each account up to its day, and says what was made of each, or why it cannot be billed, of which
/// nothing is written then. The accounts' rows are the caller's, and so is whether anything stays.
pub(crate) async fn bill_until(
    tx: &mut impl OfTenants,
    due: &[Due<'_>],
    finality: Finality,
) -> Result<Vec<(TenantId, Result<Made, Error>)>, Error> {
    let mut books = books::read(tx, due).await?;
    let (mut rated, mut made) = (Vec::new(), Vec::new());
    for &due in due {
        let tenant_id = due.ctx.tenant_id();
        let books = books.remove(&tenant_id).ok_or(Error::Stored("subscription"));
        match books.and_then(|books| books.rate(due)) {
            Ok(account) => rated.push(account),
            Err(error) if is_of_account(&error) => made.push((tenant_id, Err(error))),
            Err(error) => return Err(error),
        }
    }
    // Whom a document is from and for is asked only where there is one.
    let (with, without): (Vec<_>, Vec<_>) = rated.into_iter().partition(books::Rated::owes);
    let drafted = document::draft_all(tx, with).await?;
    let (drafted, untaxable): (Vec<_>, Vec<_>) = drafted.into_iter().partition(|(_, drafts)| drafts.is_ok());
    made.extend(untaxable.into_iter().filter_map(|(id, drafts)| Some((id, Err(drafts.err()?)))));
    let drafted: Vec<_> = drafted.into_iter().filter_map(|(_, drafts)| drafts.ok()).collect();
    books::write(tx, without.iter().chain(drafted.iter().map(|account| &account.rated))).await?;
    let mut written = document::write_all(tx, &drafted, finality).await?;
    made.extend(without.into_iter().chain(drafted.into_iter().map(|account| account.rated)).map(|rated| {
        let tenant_id = rated.due.ctx.tenant_id();
        let documents = written.remove(&tenant_id).unwrap_or_default();
        let (next_boundary, waits) = (rated.next_boundary, rated.waits);
        (tenant_id, Ok(Made { documents, next_boundary, waits }))
    }));
    Ok(made)
}
