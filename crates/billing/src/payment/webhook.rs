//! What a provider tells of its own accord. Anybody may call; only what is signed by the reseller's secret is read, and
//! only of the reseller's own payments.

use db::Db;
use kernel::{PaymentId, RefundId, ResellerId, TenantId};
use secrecy::SecretString;
use stripe::Happened;

use super::status::Seen;
use super::{dispute, read, reconcile, refund, store, tell_again};
use crate::{Error, payment_provider};

/// Takes an event: its signature header and its body as they came. What it tells of a payment, refund or dispute of ours is
/// noted; all else is passed over. The same event again does nothing, since what it tells is no news then.
///
/// # Errors
/// [`tenancy::Error::Unauthenticated`] unless the reseller's secret signed it within five minutes, the same when there is
/// no such reseller or no provider; [`Error::Invalid`] for what is signed and no event;
/// [`Error::Conflict`] `payment_under_way` for what may be of a payment that is being found out; others as of any statement: then
/// the provider sends it again.
pub async fn receive(db: &Db, reseller_id: ResellerId, signature: &str, body: &[u8]) -> Result<(), Error> {
    let secrets = payment_provider::secrets(db, reseller_id).await?;
    // Nobody is told by the answer which resellers have a provider.
    let secret = secrets.map_or_else(|| SecretString::from(""), |secrets| secrets.webhook_secret);
    stripe::verify(&secret, signature, body, db.env().now())
        .map_err(|_| Error::Tenancy(tenancy::Error::Unauthenticated))?;
    let happened = Happened::parse(body).map_err(|error| Error::invalid("", error))?;
    match happened {
        Happened::Payment(intent) => {
            let id = intent.payment.as_deref().and_then(|id| id.parse::<PaymentId>().ok());
            let Some(id) = id else { return Ok(()) };
            let found = store::of_provider(&mut read(db).await?, reseller_id, id).await?;
            if let Some(tenant_id) = found {
                reconcile::told(db, tenant_id, id, Seen::of_intent(intent)).await?;
            }
        }
        Happened::Refunds(refunds) => {
            for told in refunds {
                let Some(id) = told.refund.as_deref().and_then(|id| id.parse::<RefundId>().ok()) else {
                    if let Some((tenant_id, payment)) = place(db, reseller_id, told.intent.as_deref()).await?
                    {
                        refund::noted(db, tenant_id, payment, told).await?;
                    }
                    continue;
                };
                let found = store::refund_of_provider(&mut read(db).await?, reseller_id, id).await?;
                if let Some(tenant_id) = found {
                    refund::told(db, tenant_id, id, told).await?;
                }
            }
        }
        Happened::Dispute(told) => {
            if let Some((tenant_id, payment)) = place(db, reseller_id, Some(&told.intent)).await? {
                dispute::told(db, tenant_id, payment, told).await?;
            }
        }
        Happened::Other => {}
    }
    Ok(())
}

/// The tenant and our id of a payment by the provider's id of it; `None` for others' payments.
async fn place(
    db: &Db,
    issuer: ResellerId,
    intent: Option<&str>,
) -> Result<Option<(TenantId, PaymentId)>, Error> {
    let Some(intent) = intent else { return Ok(None) };
    let mut read = read(db).await?;
    let found = store::by_reference(&mut read, issuer, intent).await?;
    if found.is_none() && store::has_unnamed(&mut read, issuer).await? {
        return Err(tell_again());
    }
    Ok(found)
}
