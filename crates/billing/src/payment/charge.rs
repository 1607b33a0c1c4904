//! Charging an invoice by its issuer's provider. The payment, with its idempotency key, is written and committed before
//! the provider is asked; what it answers is written afterwards. Whatever happens in between is found out by
//! [`super::reconcile()`] or told by the provider's events.

use kernel::{InvoiceId, Money, PaymentId, ResellerId};
use stripe::{Account, Charge, Outcome};
use tenancy::{Action, Caller, Ctx, TenantTx};

use super::autopay::Attempt;
use super::provider::{NOT_CHARGEABLE, Provider};
use super::reconcile::PATIENCE;
use super::status::{PaymentStatus, Seen};
use super::{DRAFT, Payment, arrived, read, store};
use crate::payment_provider::{self, Secrets};
use crate::receivable::Receivables;
use crate::{Error, invoice, payment_method, reader};

/// Charges what is due of an invoice by the tenant's payment method, now. The answer tells what is known: a payment that
/// has failed is no error. Those above a deleted tenant may: it owes what it owed.
///
/// # Errors
/// [`Error::NotFound`] for an invoice out of scope; [`Error::Conflict`] `nothing_due`, `no_payment_method`,
/// `no_payment_provider`, `tenant_transferred` for a former issuer, and `payment_under_way` while another may still arrive.
pub async fn pay(caller: &Caller, provider: &dyn Provider, id: InvoiceId) -> Result<Payment, Error> {
    let found = invoice::store::place_of(&mut read(caller.db()).await?, id).await?;
    let place = found.ok_or(Error::NotFound)?;
    let ctx = reader::enter(caller, place, Action::PaymentMake).await?;
    charge(&ctx, provider, place.1, id, None).await
}

/// Charges what is due of an invoice, because somebody asked or by itself.
pub(super) async fn charge(
    ctx: &Ctx,
    provider: &dyn Provider,
    issuer: ResellerId,
    id: InvoiceId,
    by_itself: Option<Attempt>,
) -> Result<Payment, Error> {
    let secrets = payment_provider::secrets(ctx.db(), issuer).await?;
    // Somebody who asks may have seen to the key; by itself it is tried now and then.
    let takes =
        |found: Secrets| found.is_enabled && (by_itself.is_none() || !found.is_resting(ctx.env().now()));
    let (payment, charge) = begin(ctx, id, secrets.is_some_and(takes), by_itself).await?;
    // From here on the money may move: whoever stops, the payment is found.
    let Some(secrets) = payment_provider::kept_secrets(ctx.db(), issuer).await? else {
        let (code, message) = ("no_payment_provider", "the issuer has just given its provider up");
        let outcome = Outcome::Refused { code: code.into(), message: message.into() };
        return ended(ctx, payment, 1, outcome).await;
    };
    let account = Account { secret_key: secrets.secret_key.clone() };
    let outcome = provider.charge(&account, &key(payment), &charge).await;
    let refused = match &outcome {
        Outcome::KeyRefused { code, .. } => Some(code.clone()),
        _ => None,
    };
    let is_answered = !matches!(outcome, Outcome::Busy | Outcome::Unknown(_)) && !is_not_chargeable(&outcome);
    let payment = ended(ctx, payment, 1, outcome).await?;
    if is_answered
        && let Err(error) =
            payment_provider::note_key(ctx.caller(), issuer, &secrets, refused.as_deref()).await
    {
        // What became of the payment is written, and is the answer.
        tracing::warn!(reseller.id = %issuer, error.cause = %kernel::error::chain(&error), "it could not be noted whether a provider takes its key");
    }
    Ok(payment)
}

/// The idempotency key of a payment's charge: one for ever, so that asking again is the same request.
pub(super) fn key(id: PaymentId) -> String {
    format!("{id}-charge")
}

/// Writes the payment down, and that it is about to be asked for.
async fn begin(
    ctx: &Ctx,
    id: InvoiceId,
    has_provider: bool,
    by_itself: Option<Attempt>,
) -> Result<(PaymentId, Charge), Error> {
    let conflict = |code, detail| Error::Conflict { code, detail };
    let mut tx = ctx.begin().await?;
    let receivables = Receivables::read(&mut tx).await?;
    let Some(owed) = receivables.get(id).filter(|owed| owed.due_minor > 0) else {
        let detail = if store::is_draft(&mut tx, id).await? { DRAFT } else { "nothing of it is left to pay" };
        return Err(conflict("nothing_due", detail));
    };
    let without = || conflict("no_payment_method", "it is not said by what the tenant pays the issuer");
    let method = payment_method::find(&mut tx, owed.issuer).await?.ok_or_else(without)?;
    if !has_provider {
        return Err(conflict("no_payment_provider", "the issuer takes no charges"));
    }
    let now = ctx.env().now();
    let amount = Money::new(owed.due_minor, owed.currency);
    let payment = Payment {
        id: ctx.env().new_id(),
        issuer_id: owed.issuer,
        invoice_id: Some(id),
        provider: payment_provider::STRIPE.into(),
        status: PaymentStatus::Pending,
        amount,
        refunded: Money::new(0, owed.currency),
        refunds: Vec::new(),
        disputes: Vec::new(),
        reference: owed.number.clone(),
        failure: None,
        received_on: None,
        created_at: now,
    };
    let charge = Charge {
        amount,
        customer: method.customer,
        payment_method: method.method,
        payment: payment.id.to_string(),
        description: owed.number.clone(),
    };
    let under_way =
        || conflict("payment_under_way", "another payment of it is under way or has just arrived");
    // Waits for another that is just being written or settled.
    if let Err(error) = store::insert_charge(&mut tx, &payment, &charge, by_itself, now + PATIENCE).await {
        let is_second = matches!(error.constraint(), Some("payments_live_once" | "payments_autopay_once"));
        return Err(if is_second { under_way() } else { error.into() });
    }
    // What has arrived until now is seen by this statement: so no amount due is charged twice.
    if Receivables::read(&mut tx).await?.due_minor(id) != owed.due_minor {
        return Err(under_way());
    }
    store::begin_attempt(&mut tx, payment.id, 1, &key(payment.id), now).await?;
    tx.commit().await?;
    Ok((payment.id, charge))
}

/// Notes how an attempt ended and what it told.
pub(super) async fn ended(
    ctx: &Ctx,
    id: PaymentId,
    ordinal: i32,
    outcome: Outcome,
) -> Result<Payment, Error> {
    let name = match &outcome {
        Outcome::Found(_) => "found",
        Outcome::Declined { .. } => "declined",
        Outcome::Refused { .. } | Outcome::KeyRefused { .. } => "refused",
        Outcome::Busy => "busy",
        Outcome::Unknown(_) => "unknown",
    };
    let mut tx = ctx.begin().await?;
    store::end_attempt(&mut tx, id, ordinal, name, ctx.env().now()).await?;
    // Nobody was asked for money.
    if matches!(outcome, Outcome::KeyRefused { .. }) || is_not_chargeable(&outcome) {
        store::uncount_attempt(&mut tx, id).await?;
    }
    let payment = settle(ctx, &mut tx, id, Seen::of(outcome)).await?;
    tx.commit().await?;
    Ok(payment)
}

/// Whether it is an amount that the provider never takes, and was not asked for.
fn is_not_chargeable(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { code, .. } if code == NOT_CHARGEABLE)
}

/// Moves a payment forward by what was seen of it. Posts it when it has arrived, which it does once.
pub(super) async fn settle(
    ctx: &Ctx,
    tx: &mut TenantTx,
    id: PaymentId,
    seen: Option<Seen>,
) -> Result<Payment, Error> {
    let payment = store::find_locked(tx, id).await?.ok_or(Error::NotFound)?;
    let Some(seen) = seen.filter(|seen| payment.status.moves_to(seen.status)) else { return Ok(payment) };
    let received = seen
        .received
        .filter(|received| received.amount_minor > 0 && received.currency == payment.amount.currency);
    if seen.status == PaymentStatus::Succeeded && received.is_none() {
        tracing::error!(payment.id = %id, "a provider says that a payment succeeded, and of no money that makes sense");
        return Ok(payment);
    }
    let (now, today) = (ctx.env().now(), ctx.today());
    store::settle(tx, id, &seen, received, today, now).await?;
    let payment = store::find(tx, id).await?.ok_or(Error::NotFound)?;
    match payment.status {
        PaymentStatus::Succeeded => arrived(tx, ctx, &payment, today, now).await?,
        PaymentStatus::Failed => super::failed(tx, ctx, &payment).await?,
        _ => {}
    }
    Ok(payment)
}
