//! `?dry_run=true`: what a change of users or mailboxes would come to, without making it.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::response::{IntoResponse as _, Response};
use billing::forecast;
use billing::price_book::Item;
use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize};
use tenancy::{Ctx, effect};
use utoipa::{IntoParams, ToSchema};

use super::invoice::Money;
use crate::problem::Problem;

/// Whether the change is to be made.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DryRun {
    /// Do everything but make the change: the answer is 200 with what it would come to, or the refusal that it would meet.
    #[serde(default, deserialize_with = "flag")]
    #[param(default = false, example = false)]
    pub(super) dry_run: bool,
}

/// A query's values are texts.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("must be true or false"))
}

/// A count before and after.
#[derive(Debug, Serialize, ToSchema)]
struct SeatsEffect {
    /// Taken now.
    #[schema(example = 3)]
    before: i32,
    /// Taken afterwards.
    #[schema(example = 4)]
    after: i32,
    /// How many the tenant may have; null is unlimited.
    #[schema(required, example = 5)]
    limit: Option<i32>,
}

/// What the mailboxes' quotas add up to, before and after; null when one of them is unlimited.
#[derive(Debug, Serialize, ToSchema)]
struct QuotaEffect {
    /// Now.
    #[schema(required, example = 3_221_225_472_i64)]
    before_bytes: Option<i64>,
    /// Afterwards.
    #[schema(required, example = 4_294_967_296_i64)]
    after_bytes: Option<i64>,
    /// What the tenant's mailboxes may hold together; null is unlimited.
    #[schema(required, example = 10_737_418_240_i64)]
    storage_limit_bytes: Option<i64>,
}

/// What the change makes of the next invoice.
#[derive(Debug, Serialize, ToSchema)]
struct PriceDifference {
    /// When that invoice is made.
    #[schema(example = "2026-04-01")]
    next_invoice_on: NaiveDate,
    /// What it comes to more; negative is less.
    amount: Money,
}

/// What a change would come to. Nothing was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Effect {
    seats: SeatsEffect,
    quota: QuotaEffect,
    /// Null without a subscription that can be rated, or for a caller who may not see subscriptions.
    #[schema(required)]
    price_difference: Option<PriceDifference>,
}

/// What a change was found to come to, with its price.
pub(super) async fn priced(ctx: &Ctx, effect: effect::Effect) -> Result<Effect, Problem> {
    let effect::Effect { before, after } = effect;
    let more = BTreeMap::from([
        (Item::Mailbox, i64::from(after.seats_used) - i64::from(before.seats_used)),
        (Item::SharedMailbox, after.shared_mailboxes - before.shared_mailboxes),
        (Item::Archive, after.archives - before.archives),
    ]);
    let difference = forecast::of(ctx, &more).await?;
    Ok(Effect {
        seats: SeatsEffect { before: before.seats_used, after: after.seats_used, limit: after.seats_limit },
        quota: QuotaEffect {
            before_bytes: before.quota_bytes,
            after_bytes: after.quota_bytes,
            storage_limit_bytes: after.storage_limit_bytes,
        },
        price_difference: difference.map(|difference| PriceDifference {
            next_invoice_on: difference.next_invoice_on,
            amount: difference.amount.into(),
        }),
    })
}

/// As [`priced`], as an answer.
pub(super) async fn answer(ctx: &Ctx, effect: effect::Effect) -> Result<Response, Problem> {
    Ok(Answer(priced(ctx, effect).await?).into_response())
}
