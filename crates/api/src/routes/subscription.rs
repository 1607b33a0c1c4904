//! A tenant's subscription.

use axum::Json as Answer;
use billing::subscription::{self, PutSubscription};
use chrono::NaiveDate;
use kernel::{PriceBookId, SubscriptionId};
use serde::{Deserialize, Serialize};
use tenancy::Ctx;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::TenantPath;
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// What a tenant has agreed to pay for.
#[derive(Debug, Serialize, ToSchema)]
struct Subscription {
    #[schema(value_type = schema::SubscriptionId)]
    id: SubscriptionId,
    /// The published prices it buys by.
    #[schema(value_type = schema::PriceBookId)]
    price_book_id: PriceBookId,
    /// Their version.
    #[schema(example = 1)]
    price_book_version: i32,
    /// For how long its prices are: `month` or `year`.
    #[schema(value_type = schema::Interval)]
    interval: &'static str,
    /// `at_once`: a cycle is an interval. `monthly`: a cycle is a month, which pays one of the twelve instalments of a year.
    #[schema(value_type = schema::PaymentSchedule)]
    payment_schedule: &'static str,
    /// For how long it is agreed.
    #[schema(example = 12)]
    term_months: i32,
    /// From which day on price book and term hold. A day to come: until then, what was agreed before.
    #[schema(value_type = schema::Day)]
    terms_start_on: NaiveDate,
    /// What holds on the tenant's present day, which is the same unless `terms_start_on` is to come. `null` in a trial and after an end.
    #[schema(required)]
    in_force: Option<TermsInForce>,
    /// The least number of seats that is charged.
    #[schema(example = 5)]
    seats_committed: i32,
    /// Where cycles are counted from.
    #[schema(value_type = schema::Day)]
    anchor_date: NaiveDate,
    /// The day on which it was subscribed to; the first that is charged, if there is no trial.
    #[schema(value_type = schema::Day)]
    starts_on: NaiveDate,
    /// The first day that is charged, after a trial.
    #[schema(value_type = Option<schema::Day>, required)]
    trial_ends_on: Option<NaiveDate>,
    /// The first day on which nothing is used any more, past or to come: it was cancelled.
    #[schema(value_type = Option<schema::Day>, required)]
    ends_on: Option<NaiveDate>,
    /// On the tenant's present day: `trialing` (nothing is charged yet), `active` or `ended`.
    #[schema(value_type = schema::SubscriptionStatus)]
    status: &'static str,
    /// The day of the next document, as far as is known, or the next boundary, on which a billing run has something to look at. It may be past until
    /// a run bills it. `null` when nothing is left to be billed.
    #[schema(value_type = Option<schema::Day>, required)]
    next_invoice_on: Option<NaiveDate>,
    /// Why a billing run could not bill it. A run that names the tenant tries again, as does every run after a `PUT`.
    #[schema(required, example = "the price book has no price for the interval")]
    parked_reason: Option<String>,
}

/// What a tenant pays by on its present day.
#[derive(Debug, Serialize, ToSchema)]
struct TermsInForce {
    /// The published prices it buys by.
    #[schema(value_type = schema::PriceBookId)]
    price_book_id: PriceBookId,
    /// Their version.
    #[schema(example = 1)]
    price_book_version: i32,
    /// For how long its prices are: `month` or `year`.
    #[schema(value_type = schema::Interval)]
    interval: &'static str,
    /// How a year is paid.
    #[schema(value_type = schema::PaymentSchedule)]
    payment_schedule: &'static str,
    /// For how long it is agreed.
    #[schema(example = 12)]
    term_months: i32,
    /// The first day after the present term: what waits for its end begins on it.
    #[schema(value_type = schema::Day)]
    term_ends_on: NaiveDate,
}

impl Subscription {
    fn of(ctx: &Ctx, of: subscription::Subscription) -> Result<Tagged<Answer<Self>>, Problem> {
        let in_force = of.in_force(ctx)?.map(|(terms, term_ends_on)| TermsInForce {
            price_book_id: terms.price_book_id,
            price_book_version: terms.price_book_version,
            interval: terms.interval.as_str(),
            payment_schedule: terms.payment_schedule.as_str(),
            term_months: terms.term_months,
            term_ends_on,
        });
        let (starts_on, trial_ends_on, ends_on) = (of.starts_on(), of.trial_ends_on(), of.ends_on());
        let shown = Self {
            id: of.id,
            price_book_id: of.terms.price_book_id,
            price_book_version: of.terms.price_book_version,
            interval: of.terms.interval.as_str(),
            payment_schedule: of.terms.payment_schedule.as_str(),
            term_months: of.terms.term_months,
            terms_start_on: of.terms.starts_on,
            in_force,
            seats_committed: of.seats_committed,
            anchor_date: of.terms.anchor_date,
            starts_on,
            trial_ends_on,
            ends_on,
            status: of.status(ctx).as_str(),
            next_invoice_on: of.next_invoice_on,
            parked_reason: of.parked_reason,
        };
        Ok(Tagged(of.version, Answer(shown)))
    }
}

/// A subscription to make, or what to make of the present one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSubscription {
    /// A price book of the tenant's reseller, in the tenant's currency.
    #[schema(value_type = schema::PriceBookId)]
    price_book_id: PriceBookId,
    /// `month` or `year`; the book has a mailbox price for it.
    #[schema(value_type = schema::Interval)]
    interval: String,
    /// Of a year: `at_once`, or `monthly`, in twelve instalments. What seats, shared mailboxes and archives are held for stays a year. When
    /// absent: as the same interval is paid now, and at once for another one.
    #[serde(default)]
    #[schema(value_type = Option<schema::PaymentSchedule>)]
    payment_schedule: Option<String>,
    /// A multiple of the interval, at most 120; one interval when absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 120, example = 12)]
    term_months: Option<i64>,
    /// The least number of seats to charge; 0 when absent.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000, example = 5)]
    seats_committed: Option<i64>,
    /// Where cycles are counted from. When absent: the end of the trial or the tenant's present day for a new subscription, and no
    /// change of one.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    anchor_date: Option<String>,
    /// The first day that is charged, at most 366 days after the first of the subscription. When absent: no trial for a new
    /// subscription, and no change of one.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    trial_ends_on: Option<String>,
}

impl From<NewSubscription> for PutSubscription {
    fn from(body: NewSubscription) -> Self {
        Self {
            price_book_id: body.price_book_id,
            interval: body.interval,
            payment_schedule: body.payment_schedule,
            term_months: body.term_months,
            seats_committed: body.seats_committed,
            anchor_date: body.anchor_date,
            trial_ends_on: body.trial_ends_on,
        }
    }
}

/// Get a tenant's subscription
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/subscription", tag = "Subscriptions", operation_id = "get_subscription",
    params(TenantPath),
    responses((status = 200, description = "The subscription.", body = Subscription)),
    extensions(("x-required-action" = json!("subscriptions:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
) -> Result<Tagged<Answer<Subscription>>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Subscription::of(&ctx, subscription::get(&ctx).await?)
}

/// Subscribe a tenant, or change its subscription
///
/// A new one starts on the tenant's present day. Until something was billed everything may change, and what is agreed last
/// holds from the first day. Afterwards the committed seats may change, from now on; and price book, interval and term: at once when
/// seats, shared mailboxes and archives come to no less, neither interval nor term is shorter, no lock is lifted and the same interval is paid by the same schedule,
/// else from the end of the present term on. A change of the interval begins new cycles on the present day or, when that was billed, on the next. The same again changes nothing;
/// what holds now, put again, takes back a change that was to come, and what is put before an end takes the cancellation back.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/subscription", tag = "Subscriptions", operation_id = "put_subscription",
    params(TenantPath),
    responses((status = 200, description = "The subscription as it is now.", body = Subscription),
        (status = 409, description = "It was billed, and its anchor and trial are fixed: `subscription_terms_fixed`.")),
    extensions(("x-required-action" = json!("subscriptions:write"))))]
async fn put(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewSubscription>,
) -> Result<Tagged<Answer<Subscription>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let put = subscription::put(&ctx, body.into(), version).await?;
    Subscription::of(&ctx, put)
}

/// When to end a subscription.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Cancellation {
    /// The first day on which nothing is used any more, after the tenant's present day. When absent: the end of the term, or of the trial.
    #[serde(default)]
    #[schema(value_type = Option<schema::Day>)]
    ends_on: Option<String>,
}

/// Cancel a tenant's subscription
///
/// For how long its seats are charged beyond the end is for the price's removal policy to say: not at all, to the end of the cycle,
/// or of the term. Another call moves an end that has not come; a `PUT` takes it back.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/subscription/cancel", tag = "Subscriptions",
    operation_id = "cancel_subscription", params(TenantPath),
    responses((status = 200, description = "The subscription as it is now.", body = Subscription),
        (status = 409, description = "It has ended: `subscription_ended`.")),
    extensions(("x-required-action" = json!("subscriptions:write"))))]
async fn cancel(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<Cancellation>,
) -> Result<Tagged<Answer<Subscription>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let cancelled = subscription::cancel(&ctx, body.ends_on.as_deref(), version).await?;
    Subscription::of(&ctx, cancelled)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get, put)).routes(routes!(cancel))
}
