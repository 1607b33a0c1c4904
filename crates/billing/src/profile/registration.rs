//! Whether a register has a customer's number: asked when the profile is put, and again until there is an answer.
//!
//! VIES passes questions on to the member states, any of which may be slow or closed for the night. So nobody who puts a profile
//! waits for long, and none is refused: a number without an answer is unchecked. It counts as a number for the taxes of
//! documents meanwhile, since its form and check digits are right and most are good; one that turns out void does not, from
//! then on. Each document keeps the answer that there was, with its time and consultation number: the issuer's evidence
//! for not having charged tax.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemRead};
use kernel::TenantId;
use tenancy::{Caller, Ctx, tenant};
use vies::Outcome;

use super::{CustomerProfile, IssuerProfile, Versioned, store, tell};
use crate::Error;
use crate::vat_id::{RegisterAnswer, Registration, VatRegister};

/// How long a register is waited for while a profile is put.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The same where nobody waits.
const LONG_PATIENCE: Duration = Duration::from_secs(30);
/// After how long a register that has not answered is asked again, at first; from then on after twice as long each time,
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(5);
/// and never after longer.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(24);
/// How many tenants are looked up at a time.
const PAGE: i64 = 100;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Numbers about which there is an answer now.
    pub answered: u64,
    /// Those about which there is none, to be asked about later.
    pub unanswered: u64,
    /// Tenants whose profile could not be read or written.
    pub failed: u64,
}

/// What a register says of a profile's number, asked on behalf of an issuer; `None` for a profile without one.
pub(super) async fn ask(
    register: &dyn VatRegister,
    customer: &CustomerProfile,
    issuer: Option<&IssuerProfile>,
    now: DateTime<Utc>,
    patience: Duration,
) -> Option<RegisterAnswer> {
    let id = customer.vat_id.as_ref()?;
    let number = id.in_vies(customer.address.country).filter(|_| register.is_there());
    let Some(number) = number else { return Some(RegisterAnswer::NONE) };
    let asker = issuer.and_then(|issuer| issuer.vat_id.as_ref()?.in_vies(issuer.address.country));
    let outcome = tokio::time::timeout(patience, register.look_up(number, asker)).await;
    let outcome = outcome.unwrap_or_else(|_| Outcome::Unknown("no answer in time".to_owned()));
    Some(match outcome {
        Outcome::Answered { is_valid, consultation } => RegisterAnswer {
            registration: if is_valid { Registration::Valid } else { Registration::Void },
            checked_at: Some(now),
            consultation,
        },
        Outcome::Unknown(why) => {
            tracing::info!(error.cause = why, "a register did not say whether it has a number");
            RegisterAnswer::NONE
        }
    })
}

/// The profile of who issues the tenant's documents.
pub(super) async fn issuer_of(ctx: &Ctx) -> Result<Option<IssuerProfile>, Error> {
    let mut tx = ctx.read().await?;
    Ok(store::issuer(tx.conn(), ctx.reseller_id()).await?.map(|versioned| versioned.profile))
}

/// When a register is to be asked about a profile that is put now; also where there is none yet, for the day on which there is.
pub(super) fn first_ask_at(ctx: &Ctx, customer: &CustomerProfile) -> Option<DateTime<Utc>> {
    is_open(customer).then(|| ctx.env().now() + FIRST_PAUSE)
}

/// Whether a register may know the number and has not said.
fn is_open(customer: &CustomerProfile) -> bool {
    let is_known = customer.vat_id.as_ref().is_some_and(|id| id.in_vies(customer.address.country).is_some());
    is_known && customer.is_unchecked()
}

/// How long after it has been asked again so often.
fn pause(asked: i32) -> TimeDelta {
    let doublings = u32::try_from(asked).unwrap_or(0).min(10);
    (FIRST_PAUSE * 2_i32.pow(doublings)).min(LONGEST_PAUSE)
}

/// Asks a register about numbers that it has not said anything of. Any number of workers may.
///
/// # Errors
/// When the tenants cannot be looked up; one that fails by itself is logged and counted.
pub async fn ask_again(db: &Db, register: &dyn VatRegister) -> Result<Asked, Error> {
    let mut done = Asked::default();
    if !register.is_there() {
        return Ok(done);
    }
    let server = Caller::server(db.clone());
    let due = store::to_ask(&mut read(db).await?, db.env().now(), PAGE).await?;
    for id in due {
        match one(&server, register, id).await {
            Ok(Some(true)) => done.answered += 1,
            Ok(Some(false)) => done.unanswered += 1,
            // Another was faster, or it was deleted since.
            Ok(None) | Err(Error::Tenancy(tenancy::Error::NotFound)) => {}
            Err(error) => {
                done.failed += 1;
                tracing::warn!(tenant.id = %id, error.cause = %kernel::error::chain(&error), "a tenant's number could not be looked up");
            }
        }
    }
    Ok(done)
}

/// Whether there was an answer; `None`: there was nothing to ask, another asks already, or the profile was put anew meanwhile.
async fn one(server: &Caller, register: &dyn VatRegister, id: TenantId) -> Result<Option<bool>, Error> {
    let ctx = server.enter(id).await?;
    let now = ctx.env().now();
    // Claimed before it is asked: nobody else asks meanwhile, and one that is cut off is asked again in its time.
    let mut tx = ctx.begin().await?;
    tenant::lock(&mut tx).await?;
    let (before, asked) = (store::customer(&mut tx).await?, store::times_asked(&mut tx, now).await?);
    let (Some(before), Some(asked)) = (before, asked) else { return Ok(None) };
    let is_open = is_open(&before.profile);
    store::ask_later(&mut tx, is_open.then(|| now + pause(asked + 1))).await?;
    tx.commit().await?;
    if !is_open {
        return Ok(None);
    }
    let issuer = issuer_of(&ctx).await?;
    let answer = ask(register, &before.profile, issuer.as_ref(), now, LONG_PATIENCE).await;
    let said = answer.filter(|answer| answer.registration != Registration::Unchecked);
    let Some(said) = said else { return Ok(Some(false)) };
    let mut tx = ctx.begin().await?;
    tenant::lock(&mut tx).await?;
    let found = store::customer(&mut tx).await?.filter(|found| found.version == before.version);
    let Some(Versioned { profile, version }) = found else { return Ok(None) };
    let profile = CustomerProfile { vat_register: Some(said), ..profile };
    let new = Versioned { profile, version: version + 1 };
    store::put_customer(&mut tx, &new, None).await?;
    tell(&mut tx, &ctx, &new).await?;
    tx.commit().await?;
    Ok(Some(true))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server asks about numbers whichever tenant's they are, and then enters each tenant"
)]
async fn read(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_day() {
        let minutes: Vec<i64> = (0..12).map(|asked| pause(asked).num_minutes()).collect();
        assert_eq!(minutes, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]);
        assert_eq!(pause(i32::MAX), LONGEST_PAUSE);
    }
}
