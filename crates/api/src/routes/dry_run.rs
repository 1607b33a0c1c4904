//! `?dry_run=true`: what a change would come to, without making it.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::response::{IntoResponse, Response};
use billing::forecast;
use billing::price_book::Item;
use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize};
use tenancy::{Caller, effect};
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

impl DryRun {
    /// Carries a change out, or tries it and answers with what it would come to.
    pub(super) async fn carry_out<T, Done>(
        self,
        caller: Caller,
        change: impl FnOnce(Caller) -> Done + Send,
    ) -> Result<Response, Problem>
    where
        T: IntoResponse,
        Done: Future<Output = Result<T, Problem>> + Send,
    {
        self.carry(caller, change, true).await
    }

    /// As [`DryRun::carry_out`], of what is done to a tenant as a whole or above one: what that makes of invoices is not
    /// reckoned.
    pub(super) async fn carry_out_unpriced<T, Done>(
        self,
        caller: Caller,
        change: impl FnOnce(Caller) -> Done + Send,
    ) -> Result<Response, Problem>
    where
        T: IntoResponse,
        Done: Future<Output = Result<T, Problem>> + Send,
    {
        self.carry(caller, change, false).await
    }

    async fn carry<T, Done>(
        self,
        caller: Caller,
        change: impl FnOnce(Caller) -> Done + Send,
        is_priced: bool,
    ) -> Result<Response, Problem>
    where
        T: IntoResponse,
        Done: Future<Output = Result<T, Problem>> + Send,
    {
        if !self.dry_run {
            return Ok(change(caller).await?.into_response());
        }
        let effect = effect::of(&caller, change).await?;
        Ok(Answer(answer(&caller, effect, is_priced).await?).into_response())
    }
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

/// What a change would come to, in its tenant or, of a reseller, in all its tenants. Nothing was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Effect {
    seats: SeatsEffect,
    quota: QuotaEffect,
    /// Null without a subscription that can be rated, for a caller who may not see subscriptions, and for what is done to a tenant
    /// as a whole or to a reseller.
    #[schema(required)]
    price_difference: Option<PriceDifference>,
}

/// What the change made, or with `dry_run` what it would come to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is what the document says of an answer that is one or the other")]
pub(super) enum OrEffect<T> {
    /// What was changed, as it is now.
    Changed(T),
    /// With `dry_run`.
    Effect(Effect),
}

async fn answer(caller: &Caller, effect: effect::Effect, is_priced: bool) -> Result<Effect, Problem> {
    let effect::Effect { tenant_id, before, after } = effect;
    let difference = match tenant_id.filter(|_| is_priced) {
        Some(tenant_id) => {
            let more = BTreeMap::from([
                (Item::Mailbox, i64::from(after.seats_used) - i64::from(before.seats_used)),
                (Item::SharedMailbox, after.shared_mailboxes - before.shared_mailboxes),
                (Item::Archive, after.archives - before.archives),
            ]);
            forecast::of(&caller.enter(tenant_id).await?, &more).await?
        }
        None => None,
    };
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
