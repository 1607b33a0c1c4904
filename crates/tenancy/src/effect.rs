//! What a change would come to: it is made, every check and every cap, in a transaction that is taken back. It holds for the
//! moment.

mod store;

use crate::{Ctx, Error, TenantTx};

/// What a tenant has taken up at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Seats taken.
    pub seats_used: i32,
    /// How many there may be; `None` is unlimited.
    pub seats_limit: Option<i32>,
    /// How many mailboxes are shared, rooms' or equipment's.
    pub shared_mailboxes: i64,
    /// How many mailboxes are archives.
    pub archives: i64,
    /// What the quotas of the mailboxes add up to; `None` when one of them is unlimited.
    pub quota_bytes: Option<i64>,
    /// What the mailboxes may hold together; `None` is unlimited.
    pub storage_limit_bytes: Option<i64>,
}

/// What a change would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// As it is.
    pub before: Totals,
    /// As it would be.
    pub after: Totals,
}

/// A change that is tried.
pub(crate) struct Tried {
    /// What it is made in.
    pub(crate) tx: TenantTx,
    before: Totals,
}

impl Tried {
    /// Begins one.
    pub(crate) async fn begin(ctx: &Ctx) -> Result<Self, Error> {
        let mut tx = ctx.begin().await?;
        let before = store::totals(&mut tx).await?;
        Ok(Self { tx, before })
    }

    /// What it came to. Without a commit, it is taken back.
    pub(crate) async fn effect(mut self) -> Result<Effect, Error> {
        Ok(Effect { before: self.before, after: store::totals(&mut self.tx).await? })
    }
}
