//! A tenant's move to another reseller: everything in it stays as it is, by the same ids. Only what the former reseller keeps
//! for it, as the domains that know of it say, stays behind.

use kernel::ResellerId;
use serde_json::{Value, json};

use super::{Tenant, store};
use crate::caps;
use crate::effect::{self, Level};
use crate::{Action, Ctx, Error, Scope, TenantTx, event, placement, quota, require_version, reseller};

/// A tenant that is about to leave its reseller, in the transaction in which it does.
#[derive(Debug)]
pub struct Leaving<'a> {
    ctx: &'a Ctx,
    tx: TenantTx,
}

/// What does not go along, as it is told: on the tenant's trail and on that of the reseller that it leaves, which sees the
/// tenant's no longer.
#[derive(Debug, Clone)]
pub struct Left {
    /// What became of it.
    pub kind: event::Kind,
    /// Its id.
    pub subject: String,
    /// What is told of it.
    pub data: Value,
}

/// Begins a tenant's move.
///
/// # Errors
/// [`Error::Forbidden`] for a tenant's own caller.
pub async fn leave(ctx: &Ctx) -> Result<Leaving<'_>, Error> {
    ctx.require(Action::TenantWrite)?;
    let mut tx = ctx.begin().await?;
    // Mailboxes are locked before the levels above them; those that are made meanwhile are counted by `move_to`.
    quota::count_tenant(&mut tx).await?;
    // At once as strongly as the move needs it: who has written a row of the tenant's, and waits for the tenant then, would be waited for.
    store::find_locked(&mut tx).await?.ok_or(Error::NotFound)?;
    Ok(Leaving { ctx, tx })
}

impl Leaving<'_> {
    /// The transaction, for who lets something stay behind.
    pub fn tx(&mut self) -> &mut TenantTx {
        &mut self.tx
    }

    /// Moves it below another reseller that the caller sees, if the caps and pools there allow. Its subscription goes
    /// on by the prices it has.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a reseller out of scope; [`Error::Exhausted`], [`Error::OverQuota`] when the tenant does not fit
    /// there; [`Error::Conflict`] `same_reseller`; [`Error::VersionMismatch`].
    pub async fn move_to(
        self,
        if_version: Option<i64>,
        to: ResellerId,
        left_behind: Vec<Left>,
    ) -> Result<Tenant, Error> {
        let Self { ctx, tx } = self;
        let to = ctx.caller().enter_reseller(to).await?;
        let id = ctx.tenant_id();
        let mut tx = tx.into_system(ctx).await?;
        let moving = store::lock_for_transfer(&mut tx, id).await?.ok_or(Error::NotFound)?;
        require_version(if_version, moving.version)?;
        if moving.path.last() == Some(&to.reseller_id()) {
            return Err(Error::conflict("same_reseller", "the tenant belongs to this reseller already"));
        }
        let left: Vec<_> = moving.path.iter().filter(|id| !to.path().contains(id)).copied().collect();
        let entered: Vec<_> = to.path().iter().filter(|id| !moving.path.contains(id)).copied().collect();
        // First, since it locks every level that is left or entered.
        caps::shift(&mut tx, &left, &entered, &ctx.caller().seen_of(to.path()), moving.counts).await?;
        reseller::require_there(&mut tx, to.reseller_id()).await?;
        let bytes = quota::count_moving(&mut tx, id).await?;
        if !quota::shift(&mut tx, &left, &entered, bytes).await? {
            return Err(Error::OverQuota);
        }
        store::set_reseller(&mut tx, id, to.reseller_id(), to.path()).await?;
        placement::record(&mut tx, id, Some(to.reseller_id()), ctx.db().env().now()).await?;
        let from = moving.path.last().map(|&from| Scope::Reseller(from));
        for trail in from.into_iter().chain([Scope::Tenant(id)]) {
            for Left { kind, subject, data } in &left_behind {
                event::record_on(&mut tx, ctx.caller(), trail, *kind, subject, data.clone()).await?;
            }
        }
        let data = json!({"from": moving.path.last(), "to": to.reseller_id()});
        for trail in from.into_iter().chain([Scope::Reseller(to.reseller_id()), Scope::Tenant(id)]) {
            let kind = event::Kind::TenantTransferred;
            event::record_on(&mut tx, ctx.caller(), trail, kind, id, data.clone()).await?;
        }
        effect::note(&mut tx, ctx.caller(), Level::Tenant(id)).await?;
        tx.commit().await?;
        let mut tx = ctx.begin().await?;
        store::find(&mut tx).await?.ok_or(Error::NotFound)
    }
}
