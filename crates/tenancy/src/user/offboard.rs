//! A user's leaving, in one step: nobody gets in any more, and mailbox and seat go where they are to go.

use kernel::UserId;
use serde_json::json;

use super::{User, lifecycle, require_not_deleted, store};
use crate::mailbox::{Kind, count};
use crate::operation::{self, Operation, Step};
use crate::policy::Capability;
use crate::{
    Action, Ctx, Error, TenantTx, app_password, auth, event, hold, purge, require_version, seats, tenant,
};

/// What becomes of the mailbox of somebody who leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays theirs.
    Keep,
    /// It becomes a shared one: mail for it keeps arriving, and delegates use it.
    Shared,
    /// It becomes an archive: delegates use it, and nothing arrives any more.
    Archive,
}

impl Fate {
    /// What became of a mailbox that has met it, as events and operations tell.
    fn outcome(self) -> &'static str {
        match self {
            Self::Keep => "kept",
            Self::Shared => Kind::Shared.as_str(),
            Self::Archive => Kind::Archive.as_str(),
        }
    }
}

/// How a user leaves.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// What becomes of their mailbox.
    pub mailbox: Fate,
    /// Whether their seat is free for somebody else.
    pub release_seat: bool,
    /// Why their mailbox is put on hold, whatever becomes of it.
    pub hold: Option<String>,
}

/// Offboards a user: ends their sessions, revokes their app passwords, and takes every way in. With their mailbox kept
/// they stay suspended, or, when the seat is released, are deleted and can be restored for 30 days. A mailbox that becomes
/// shared or an archive keeps its id, mail and addresses, and its user is gone for good. Where it is put on hold, the last step has
/// the hold's id. The operation's result is what became of the mailbox, with its id, whether the seat is free, how many app passwords were
/// revoked, and the hold's id.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Conflict`] `user_deleted`; [`Error::Invalid`] for a seat that is to be kept without a mailbox of its
/// own; [`Error::Exhausted`] when the tenant or a reseller above it has as many shared mailboxes as it may; [`Error::Forbidden`] when
/// the user's role is beyond the caller's; as of [`hold::place`].
pub async fn offboard(
    ctx: &Ctx,
    id: UserId,
    if_version: Option<i64>,
    leaving: Leaving,
) -> Result<Operation, Error> {
    ctx.require(Action::UserWrite)?;
    check(ctx, &leaving)?;
    let mut tx = ctx.begin().await?;
    let user = require_not_deleted(&mut tx, ctx, id).await?;
    require_version(if_version, user.version)?;
    let (mut steps, revoked) = leave(&mut tx, ctx, &user, &leaving).await?;
    let mut hold_id = None;
    if let Some(reason) = leaving.hold {
        // Last, since it locks the tenant; with the leaving it is there at one moment all the same.
        let hold = hold::place_in(&mut tx, ctx, Some(user.mailbox_id), reason).await?;
        steps.push(step("hold", hold.id.to_string()));
        hold_id = Some(hold.id);
    }
    let result = json!({"mailbox": leaving.mailbox.outcome(), "mailbox_id": user.mailbox_id,
        "seat_released": leaving.release_seat, "app_passwords_revoked": revoked, "hold_id": hold_id});
    let operation = operation::succeeded(&mut tx, ctx, "user.offboard", id, steps, result).await?;
    tx.commit().await?;
    Ok(operation)
}

/// What can be said of a leaving without looking at who leaves.
fn check(ctx: &Ctx, leaving: &Leaving) -> Result<(), Error> {
    if leaving.mailbox != Fate::Keep {
        ctx.require(Action::MailboxWrite)?;
        if !leaving.release_seat {
            let detail = "a user whose mailbox becomes shared or an archive holds no seat";
            return Err(Error::invalid("/release_seat", detail));
        }
    }
    leaving.hold.as_ref().map_or(Ok(()), |reason| hold::check(ctx, reason, "/hold/reason"))
}

fn step(name: &str, outcome: String) -> Step {
    Step { name: name.into(), outcome }
}

/// Takes every way in from a locked user, and has mailbox and seat go where they are to go; how many app passwords were
/// revoked is told besides the steps.
async fn leave(
    tx: &mut TenantTx,
    ctx: &Ctx,
    user: &User,
    leaving: &Leaving,
) -> Result<(Vec<Step>, u64), Error> {
    let id = user.id;
    auth::end_sessions(tx, id, ctx.env().now()).await?;
    let revoked = app_password::store::delete_all(tx, id).await?;
    let mut steps =
        vec![step("sessions", "ended".into()), step("app_passwords", format!("{revoked} revoked"))];
    // Before the changes that follow, whose events tell the rest.
    let fate = leaving.mailbox.outcome();
    let data = json!({"address": user.address, "mailbox_id": user.mailbox_id, "mailbox": fate,
        "seat_released": leaving.release_seat});
    event::record(tx, ctx, event::Kind::UserOffboarded, id, data).await?;
    match leaving.mailbox {
        Fate::Keep if leaving.release_seat => lifecycle::remove(tx, ctx, user).await?,
        Fate::Keep => suspend_but_receive(tx, ctx, user).await?,
        Fate::Shared => hand_over(tx, ctx, user, Kind::Shared).await?,
        Fate::Archive => hand_over(tx, ctx, user, Kind::Archive).await?,
    }
    steps.push(step("mailbox", fate.into()));
    steps.push(step("seat", if leaving.release_seat { "released" } else { "kept" }.into()));
    Ok((steps, revoked))
}

async fn suspend_but_receive(tx: &mut TenantTx, ctx: &Ctx, user: &User) -> Result<(), Error> {
    let ways_in: Vec<_> =
        Capability::ALL.iter().copied().filter(|capability| *capability != Capability::Receive).collect();
    let suspended = Capability::taken(&user.suspended_capabilities, &ways_in);
    lifecycle::put_suspended(tx, ctx, user.id, event::Kind::UserSuspended, &suspended).await
}

/// Makes a user's mailbox nobody's own, and removes the user.
async fn hand_over(tx: &mut TenantTx, ctx: &Ctx, user: &User, kind: Kind) -> Result<(), Error> {
    store::release_mailbox(tx, user, kind).await?;
    purge::remove_user(tx, user.id).await?;
    let ctx = &tenant::keep(tx, ctx).await?;
    seats::free(tx, ctx, user.id).await?;
    count::add(tx, ctx, user.mailbox_id, kind).await
}
