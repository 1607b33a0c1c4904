//! Finding out what became of payments and refunds whose end is not known: a time-out, a crash between the provider's
//! answer and our record, a card that takes days. The provider is asked first; only what it does not have is asked for
//! again, under the same idempotency key and while the provider remembers that.

use chrono::TimeDelta;
use db::{Db, SystemTx};
use kernel::{PaymentId, RefundId, TenantId};
use stripe::{Account, Intent, IntentStatus, Outcome};
use tenancy::{Caller, Ctx};

use super::provider::Provider;
use super::refund::{self, Asked};
use super::status::Seen;
use super::{charge, store};
use crate::{Error, payment_provider};

/// How long one is left to whoever asks for it, or did last.
const PATIENCE: TimeDelta = TimeDelta::minutes(3);
/// For how long the same key is the same request. Providers keep keys for a day.
const KEY_HOLDS: TimeDelta = TimeDelta::hours(23);
/// How long a customer has to do what the payment waits for.
const CUSTOMER_HAS: TimeDelta = TimeDelta::hours(24);
/// By how much the provider's clock may be behind ours.
const SKEW: TimeDelta = TimeDelta::minutes(10);

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Payments and refunds that were asked about.
    pub asked: u64,
    /// Those that could not be.
    pub failed: u64,
}

/// Asks about every payment and refund that is open and has not been asked about for a while. Any number of workers may.
///
/// # Errors
/// When what is open cannot be read; one that fails by itself is logged and counted.
pub async fn reconcile(db: &Db, provider: &dyn Provider) -> Result<Reconciled, Error> {
    let before = db.env().now() - PATIENCE;
    let (payments, refunds) = {
        let mut tx = system(db).await?;
        (store::open(&mut tx, before).await?, store::open_refunds(&mut tx, before).await?)
    };
    let mut done = Reconciled::default();
    for (tenant_id, id) in payments {
        note(&mut done, payment(db, provider, tenant_id, id).await, id);
    }
    for (tenant_id, id) in refunds {
        note(&mut done, one_refund(db, provider, tenant_id, id).await, id);
    }
    Ok(done)
}

fn note(done: &mut Reconciled, outcome: Result<(), Error>, id: impl std::fmt::Display) {
    done.asked += 1;
    if let Err(error) = outcome {
        done.failed += 1;
        tracing::warn!(payment.id = %id, error.cause = ?error, "it cannot be found out what became of a payment");
    }
}

async fn enter(db: &Db, tenant_id: TenantId) -> Result<Ctx, Error> {
    Ok(Caller::server(db.clone()).enter_deleted_too(tenant_id).await?)
}

async fn payment(db: &Db, provider: &dyn Provider, tenant_id: TenantId, id: PaymentId) -> Result<(), Error> {
    let ctx = enter(db, tenant_id).await?;
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    let Some(asked) = store::asked(&mut tx, id, now - PATIENCE).await? else { return Ok(()) };
    store::begin_attempt(&mut tx, id, asked.attempts + 1, &charge::key(id), now).await?;
    tx.commit().await?;
    let secrets = payment_provider::secrets(db, asked.issuer).await?.ok_or(Error::NotFound)?;
    let account = Account { secret_key: secrets.secret_key };
    let age = now - asked.created_at;
    let found =
        provider.look(&account, &asked.charge, asked.reference.as_deref(), asked.created_at - SKEW).await;
    let outcome = match found {
        Ok(Some(Outcome::Found(Intent { id: reference, status: IntentStatus::RequiresAction, .. })))
            if age > CUSTOMER_HAS =>
        {
            provider.cancel(&account, &format!("{id}-cancel"), &reference).await
        }
        Ok(Some(outcome)) => outcome,
        Ok(None) if age < KEY_HOLDS => provider.charge(&account, &charge::key(id), &asked.charge).await,
        Ok(None) => Outcome::Declined {
            intent: None,
            code: "never_arrived".into(),
            message: "the provider was asked and never had it".into(),
        },
        // The question failed, which says nothing of the payment.
        Err(_) => Outcome::Busy,
    };
    charge::ended(&ctx, id, asked.attempts + 1, outcome).await?;
    Ok(())
}

async fn one_refund(
    db: &Db,
    provider: &dyn Provider,
    tenant_id: TenantId,
    id: RefundId,
) -> Result<(), Error> {
    let ctx = enter(db, tenant_id).await?;
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    let Some(asked) = store::asked_refund(&mut tx, id, now - PATIENCE).await? else { return Ok(()) };
    store::ask_refund_again(&mut tx, id, now).await?;
    tx.commit().await?;
    let Asked { issuer, payment, reference, amount, created_at } = asked;
    let secrets = payment_provider::secrets(db, issuer).await?.ok_or(Error::NotFound)?;
    let account = Account { secret_key: secrets.secret_key };
    let outcome = match provider.look_refund(&account, &payment, reference.as_deref(), &id.to_string()).await
    {
        Ok(Some(outcome)) => outcome,
        Ok(None) if now - created_at < KEY_HOLDS => {
            provider.refund(&account, &refund::key(id), &payment, amount, &id.to_string()).await
        }
        Ok(None) => stripe::RefundOutcome::Refused {
            code: "never_arrived".into(),
            message: "the provider was asked and never had it".into(),
        },
        Err(_) => stripe::RefundOutcome::Busy,
    };
    refund::ended(&ctx, id, outcome).await?;
    Ok(())
}

/// Moves a payment forward by what an event says of it.
pub(super) async fn told(db: &Db, tenant_id: TenantId, id: PaymentId, seen: Seen) -> Result<(), Error> {
    let ctx = enter(db, tenant_id).await?;
    let mut tx = ctx.begin().await?;
    charge::settle(&ctx, &mut tx, id, Some(seen)).await?;
    tx.commit().await?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is open is looked for across tenants; each is then entered"
)]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
