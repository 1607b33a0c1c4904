//! Finding out what became of payments and refunds whose end is not known: a time-out, a crash between the provider's
//! answer and our record, a card that takes days. The provider is asked first; only what it does not have is asked for
//! again, under the same idempotency key and while the provider remembers that.

use chrono::{DateTime, TimeDelta, Utc};
use db::Db;
use kernel::{PaymentId, RefundId, ResellerId, TenantId};
use stripe::{Account, Intent, IntentStatus, Outcome, RefundOutcome};
use tenancy::{Caller, Ctx};

use super::provider::Provider;
use super::refund::{self, Asked};
use super::status::Seen;
use super::{charge, read, store};
use crate::{Error, payment_provider};

/// How long one is left to whoever asks for it.
pub(super) const PATIENCE: TimeDelta = TimeDelta::minutes(3);
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

/// How long until one is asked about again, by its age: most is known soon, and what takes days is not asked about each
/// minute.
fn pause(age: TimeDelta) -> TimeDelta {
    // Below so many minutes of age, so many minutes.
    let steps = [(15, 3), (120, 15), (1_440, 60)];
    let step = steps.iter().find(|(below, _)| age < TimeDelta::minutes(*below));
    TimeDelta::minutes(step.map_or(360, |(_, pause)| *pause))
}

/// Asks about every payment and refund that is open and whose time it is. Any number of workers may.
///
/// # Errors
/// When what is open cannot be read; one that fails by itself is logged and counted.
pub async fn reconcile(db: &Db, provider: &dyn Provider) -> Result<Reconciled, Error> {
    let now = db.env().now();
    let (payments, refunds) = {
        let mut read = read(db).await?;
        (store::open(&mut read, now).await?, store::open_refunds(&mut read, now).await?)
    };
    let mut done = Reconciled::default();
    for (tenant_id, id) in payments {
        done.asked += 1;
        if let Err(error) = payment(db, provider, tenant_id, id).await {
            done.failed += 1;
            tracing::warn!(payment.id = %id, error.cause = %error, "it cannot be found out what became of a payment");
        }
    }
    for (tenant_id, id) in refunds {
        done.asked += 1;
        if let Err(error) = one_refund(db, provider, tenant_id, id).await {
            done.failed += 1;
            tracing::warn!(refund.id = %id, error.cause = %error, "it cannot be found out what became of a refund");
        }
    }
    Ok(done)
}

/// Why it was not found out. For logs, which show no more of a provider's words than its code: the words may quote a key.
#[derive(Debug, thiserror::Error)]
enum Hidden {
    /// Something failed here.
    #[error("{0:?}")]
    Here(Error),
    /// The provider does not tell.
    #[error("the provider says {0}")]
    There(String),
}

impl<E: Into<Error>> From<E> for Hidden {
    fn from(error: E) -> Self {
        Self::Here(error.into())
    }
}

/// The key to ask with. An issuer without a provider is as one whose key is refused.
async fn account(db: &Db, issuer: ResellerId) -> Result<Account, Hidden> {
    let secrets = payment_provider::secrets(db, issuer).await?;
    let secrets = secrets.ok_or_else(|| Hidden::There("no_payment_provider".into()))?;
    Ok(Account { secret_key: secrets.secret_key })
}

async fn enter(db: &Db, tenant_id: TenantId) -> Result<Ctx, Error> {
    Ok(Caller::server(db.clone()).enter_deleted_too(tenant_id).await?)
}

async fn payment(db: &Db, provider: &dyn Provider, tenant_id: TenantId, id: PaymentId) -> Result<(), Hidden> {
    let ctx = enter(db, tenant_id).await?;
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    let Some(asked) = store::asked(&mut tx, id, now).await? else { return Ok(()) };
    let ordinal = asked.attempts + 1;
    store::begin_attempt(&mut tx, id, ordinal, &charge::key(id), now).await?;
    store::ask_again_at(&mut tx, id, now + pause(now - asked.created_at)).await?;
    tx.commit().await?;
    let found = ask(db, provider, id, &asked, now).await;
    // Ended in any case: one without an end is one that was cut off.
    let (outcome, hidden) = match found {
        Ok(outcome) => (outcome, None),
        Err(hidden) => (Outcome::Busy, Some(hidden)),
    };
    charge::ended(&ctx, id, ordinal, outcome).await?;
    hidden.map_or(Ok(()), Err)
}

/// What the provider says of a charge, which may be there already: that a question or request of ours is refused says
/// nothing of it, and only the provider's having it or its refusal of the charge itself ends it.
async fn ask(
    db: &Db,
    provider: &dyn Provider,
    id: PaymentId,
    asked: &store::Asked,
    now: DateTime<Utc>,
) -> Result<Outcome, Hidden> {
    let account = account(db, asked.issuer).await?;
    let age = now - asked.created_at;
    let since = asked.created_at - SKEW;
    match provider.look(&account, &asked.charge, asked.reference.as_deref(), since).await {
        Ok(Some(Outcome::Found(Intent { id: reference, status: IntentStatus::RequiresAction, .. })))
            if age > CUSTOMER_HAS =>
        {
            // Refused: the customer was faster, which is seen when it is looked at next.
            let outcome = provider.cancel(&account, &format!("{id}-cancel"), &reference).await;
            Ok(if is_end(&outcome) { outcome } else { Outcome::Busy })
        }
        Ok(Some(outcome)) => Ok(outcome),
        Ok(None) if age < KEY_HOLDS => {
            match provider.charge(&account, &charge::key(id), &asked.charge).await {
                Outcome::Refused { code, .. } | Outcome::KeyRefused { code, .. } => Err(Hidden::There(code)),
                outcome => Ok(outcome),
            }
        }
        Ok(None) => Ok(Outcome::Declined {
            intent: None,
            code: "never_arrived".into(),
            message: "the provider was asked and never had it".into(),
        }),
        Err(Outcome::Refused { code, .. } | Outcome::KeyRefused { code, .. }) => Err(Hidden::There(code)),
        Err(Outcome::Unknown(why)) => Err(Hidden::There(why.into())),
        Err(_) => Err(Hidden::There("busy".into())),
    }
}

fn is_end(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Found(_) | Outcome::Declined { .. })
}

async fn one_refund(
    db: &Db,
    provider: &dyn Provider,
    tenant_id: TenantId,
    id: RefundId,
) -> Result<(), Hidden> {
    let ctx = enter(db, tenant_id).await?;
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    let Some(asked) = store::asked_refund(&mut tx, id, now).await? else { return Ok(()) };
    store::ask_refund_again_at(&mut tx, id, now + pause(now - asked.created_at)).await?;
    tx.commit().await?;
    let outcome = ask_refund(db, provider, id, &asked, now).await?;
    refund::ended(&ctx, id, outcome).await?;
    Ok(())
}

/// As [`ask`], of a refund.
async fn ask_refund(
    db: &Db,
    provider: &dyn Provider,
    id: RefundId,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<RefundOutcome, Hidden> {
    let Asked { issuer, payment, reference, amount, created_at } = asked;
    let account = account(db, *issuer).await?;
    let ours = id.to_string();
    match provider.look_refund(&account, payment, reference.as_deref(), &ours).await {
        Ok(Some(outcome)) => Ok(outcome),
        Ok(None) if now - *created_at < KEY_HOLDS => {
            match provider.refund(&account, &refund::key(id), payment, *amount, &ours).await {
                RefundOutcome::Refused { code, .. } => Err(Hidden::There(code)),
                outcome => Ok(outcome),
            }
        }
        Ok(None) => Ok(RefundOutcome::Refused {
            code: "never_arrived".into(),
            message: "the provider was asked and never had it".into(),
        }),
        Err(RefundOutcome::Refused { code, .. }) => Err(Hidden::There(code)),
        Err(RefundOutcome::Unknown(why)) => Err(Hidden::There(why.into())),
        Err(_) => Err(Hidden::There("busy".into())),
    }
}

/// Moves a payment forward by what an event says of it.
pub(super) async fn told(db: &Db, tenant_id: TenantId, id: PaymentId, seen: Seen) -> Result<(), Error> {
    let ctx = enter(db, tenant_id).await?;
    let mut tx = ctx.begin().await?;
    charge::settle(&ctx, &mut tx, id, Some(seen)).await?;
    tx.commit().await?;
    Ok(())
}
