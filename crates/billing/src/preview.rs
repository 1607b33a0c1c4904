//! What a run would make of a tenant's account, before there is one: it is run, and what it made is taken back.

use chrono::{Days, NaiveDate};
use kernel::{FieldError, InvoiceId};
use tenancy::{Action, Ctx};

use crate::error::{NOT_A_DATE, date};
use crate::invoice::{self, Invoice};
use crate::one_off_item;
use crate::run::{Due, Finality, bill_until, is_settled};
use crate::subscription::{self, PutSubscription};
use crate::{Error, forecast};

/// How far ahead of an account's present day one can look.
const AHEAD: Days = Days::new(731);

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct NewPreview {
    /// Up to which day, such as 2026-02-01; if not given, that of the next document, and at least the present one.
    pub as_of: Option<String>,
    /// As if this had been put first.
    pub subscription: Option<PutSubscription>,
}

/// What a run would make.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Up to which day it would run; `None` when nothing is left to be billed and no day was given.
    pub as_of: Option<NaiveDate>,
    /// The documents, by boundary, as they would become final but for id and number, which a run gives: here they are drafts.
    pub documents: Vec<Invoice>,
    /// The day of the document after these, as far as is known.
    pub next_invoice_on: Option<NaiveDate>,
    /// Why a run could not bill the account but would park it.
    pub parked_reason: Option<String>,
}

/// The documents that a run up to a day would make, if everything stayed as it is now.
///
/// # Errors
/// [`Error::NotFound`] without a subscription; [`Error::Invalid`] for what is no day, or one further ahead than two years; as
/// [`subscription::put`] for the subscription given; [`Error::Tenancy`] without the right to see documents and, with a
/// subscription, to put one.
pub async fn preview(ctx: &Ctx, asked: NewPreview) -> Result<Preview, Error> {
    ctx.require(Action::InvoiceRead)?;
    let today = ctx.today();
    let as_of = asked.as_of.as_deref().map(|text| day(today, AHEAD, text)).transpose()?;
    // Dropped in the end: nothing of this stays.
    let mut tx = ctx.begin().await?;
    let subscription = match asked.subscription {
        Some(new) => subscription::put_in(ctx, &mut tx, new, None).await.map_err(within)?,
        None => subscription::store::find_locked(&mut tx).await?.ok_or(Error::NotFound)?,
    };
    let last_billed = subscription::store::last_boundary(&mut tx).await?;
    let next_invoice_on = forecast::next_document_on(ctx, &mut tx, &subscription).await?;
    let Some(until) = as_of.or(next_invoice_on.map(|next| next.max(today))) else {
        return Ok(Preview { as_of: None, documents: Vec::new(), next_invoice_on, parked_reason: None });
    };
    let none = Preview { as_of: Some(until), documents: Vec::new(), next_invoice_on, parked_reason: None };
    let settles = is_settled(&mut tx, ctx, until).await?;
    if settles {
        one_off_item::settle_in(ctx, &mut tx).await?;
    }
    let due = Due { ctx, until: if settles { NaiveDate::MAX } else { until }, settles };
    let made = bill_until(&mut tx, &[due], Finality::Never).await;
    match made.and_then(|mut made| made.pop().ok_or(Error::Stored("subscription"))?.1) {
        Ok(made) => {
            let ids: Vec<InvoiceId> = made.documents.iter().map(|document| document.id).collect();
            let documents = invoice::store::of_ids(&mut tx, &ids).await?;
            // The last boundary has been billed again, unless it waits.
            let mut billed = subscription;
            billed.bills_again &= made.next_boundary == last_billed;
            let next_invoice_on = match settles {
                true => made.next_boundary,
                false => forecast::next_document_on(ctx, &mut tx, &billed).await?,
            };
            Ok(Preview { documents, next_invoice_on, ..none })
        }
        Err(error @ (Error::Rating(_) | Error::Untaxable(_) | Error::Stored(_))) => {
            Ok(Preview { parked_reason: Some(error.to_string()), ..none })
        }
        Err(error) => Err(error),
    }
}

/// The mistakes of the subscription, which is a part of what is asked.
fn within(error: Error) -> Error {
    let Error::Invalid(errors) = error else { return error };
    let moved = errors
        .into_iter()
        .map(|error| FieldError { pointer: format!("/subscription{}", error.pointer), ..error });
    Error::Invalid(moved.collect())
}

/// The day that is asked for, as an account whose present day it is may that far ahead.
pub(crate) fn day(today: NaiveDate, ahead: Days, text: &str) -> Result<NaiveDate, Error> {
    let day = date(text).ok_or_else(|| Error::invalid("/as_of", NOT_A_DATE))?;
    let last = today.checked_add_days(ahead).ok_or(Error::Stored("clock"))?;
    if day <= last {
        return Ok(day);
    }
    Err(Error::invalid("/as_of", format_args!("must not be after {last}")))
}
