//! Caps: how much of something there may be below each level, counted in the transaction that makes or removes it at
//! every level above.

mod store;

use db::SystemTx;
use kernel::ResellerId;

use crate::{Ctx, Error, TenantTx};

/// What is capped and counted one by one. Bytes are [`crate::quota`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Users who hold a seat.
    Seats,
    /// Domains of tenants.
    Domains,
    /// Tenants of resellers.
    Tenants,
    /// Mailboxes of tenants that are nobody's own, archives not among them.
    SharedMailboxes,
}

impl Counted {
    /// As an error says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seats => "seats",
            Self::Domains => "domains",
            Self::Tenants => "tenants",
            Self::SharedMailboxes => "shared mailboxes",
        }
    }

    /// The code of the error when all are taken.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Seats => "seats_exhausted",
            Self::Domains => "domains_exhausted",
            Self::Tenants => "tenants_exhausted",
            Self::SharedMailboxes => "shared_mailboxes_exhausted",
        }
    }
}

/// How many more (or fewer) of each there are to be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delta {
    pub(crate) seats: i32,
    pub(crate) domains: i32,
    pub(crate) shared_mailboxes: i32,
    /// Counts at resellers alone.
    pub(crate) tenants: i32,
}

impl Delta {
    fn negative(self) -> Self {
        Self {
            seats: -self.seats,
            domains: -self.domains,
            shared_mailboxes: -self.shared_mailboxes,
            tenants: -self.tenants,
        }
    }

    /// The refusal of the first cap of a level that this would pass.
    fn passes(self, level: &'static str, at: &store::Level, is_hidden: bool) -> Option<Error> {
        let counts = [
            (Counted::Tenants, self.tenants, at.tenants_limit, at.tenants_used),
            (Counted::Domains, self.domains, at.domains_limit, at.domains_used),
            (Counted::Seats, self.seats, at.seats_limit, at.seats_used),
            (
                Counted::SharedMailboxes,
                self.shared_mailboxes,
                at.shared_mailboxes_limit,
                at.shared_mailboxes_used,
            ),
        ];
        counts.into_iter().find_map(|(counted, more, limit, used)| {
            let limit = limit?;
            let left = limit.saturating_sub(used).max(0);
            (more > left).then_some(Error::Exhausted { counted, level, limit, left, is_hidden })
        })
    }

    /// Refuses where least is left, of a level that was found to be full and of the resellers above it, of which the caller sees some.
    fn above(self, found: Option<Error>, levels: &[store::Level], seen: &[ResellerId]) -> Result<(), Error> {
        let left = |error: &Error| if let Error::Exhausted { left, .. } = error { *left } else { 0 };
        let is_seen = |level: &store::Level| seen.iter().any(|id| id.uuid() == level.id);
        let above = levels.iter().filter_map(|level| self.passes("reseller", level, !is_seen(level)));
        found.into_iter().chain(above).min_by_key(left).map_or(Ok(()), Err)
    }
}

/// Counts at the tenant and at every reseller above it, or refuses at the level that has least left of a cap that would be passed.
/// Locks the tenant, then the resellers by id; fewer are never refused.
pub(crate) async fn count(tx: &mut TenantTx, ctx: &Ctx, delta: Delta) -> Result<(), Error> {
    let seen = ctx.seen_resellers();
    let path = loop {
        if let Some(path) = store::add_to_tenant(tx, delta).await? {
            break path;
        }
        let (level, path) = store::tenant(tx).await?.ok_or(Error::NotFound)?;
        // Unless somebody has made room since: then once more.
        if let Some(full) = delta.passes("tenant", &level, false) {
            return delta.above(Some(full), &store::lock_resellers(tx.conn(), &path).await?, &seen);
        }
    };
    delta.above(None, &store::lock_resellers(tx.conn(), &path).await?, &seen)?;
    store::add_to_resellers(tx.conn(), &path, delta).await?;
    Ok(())
}

/// As [`count`], at resellers alone, of which the caller sees some.
pub(crate) async fn count_above(
    tx: &mut SystemTx,
    path: &[ResellerId],
    seen: &[ResellerId],
    delta: Delta,
) -> Result<(), Error> {
    let path: Vec<_> = path.iter().map(|id| id.uuid()).collect();
    delta.above(None, &store::lock_resellers(tx.conn(), &path).await?, seen)?;
    store::add_to_resellers(tx.conn(), &path, delta).await?;
    Ok(())
}

/// Counts at some resellers what was counted at others, if their caps allow. Locks all of them by id.
pub(crate) async fn shift(
    tx: &mut SystemTx,
    from: &[ResellerId],
    to: &[ResellerId],
    seen: &[ResellerId],
    delta: Delta,
) -> Result<(), Error> {
    let both: Vec<_> = from.iter().chain(to).map(|id| id.uuid()).collect();
    store::lock_resellers(tx.conn(), &both).await?;
    count_above(tx, from, seen, delta.negative()).await?;
    count_above(tx, to, seen, delta).await
}
