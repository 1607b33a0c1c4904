//! A proven caller in a proven tenant.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use db::Db;
use kernel::{AppPasswordId, Env, MailboxId, RequestId, ResellerId, TenantId, UserId};

use crate::caller::{Caller, Principal};
use crate::delegate::Right;
use crate::policy::{self, Action};
use crate::tenant::Place;
use crate::{Calendar, Error, Role, TenantRead, TenantTx, support_access};

/// Who calls, and the tenant they were found to be allowed to see. Made only by this crate: of a bearer token, a
/// mail login or a recipient lookup.
#[derive(Debug, Clone)]
pub struct Ctx {
    caller: Caller,
    tenant_id: TenantId,
    place: Place,
}

impl Ctx {
    pub(crate) fn new(caller: Caller, tenant_id: TenantId, place: Place) -> Self {
        Self { caller, tenant_id, place }
    }

    /// The tenant.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// Whether the tenant is deleted.
    pub(crate) fn is_deleted(&self) -> bool {
        self.place.is_deleted
    }

    /// The reseller that the tenant belongs to.
    pub fn reseller_id(&self) -> ResellerId {
        self.place.reseller_id
    }

    /// Those of the resellers above the tenant whose caps the caller may know.
    pub(crate) fn seen_resellers(&self) -> Vec<ResellerId> {
        self.caller.seen_of(&self.place.reseller_path)
    }

    /// The tenant's time: its test clock if it has one, else the present.
    pub fn now(&self) -> DateTime<Utc> {
        self.place.test_clock.unwrap_or_else(|| self.env().now())
    }

    /// By the test clock of the tenant's row, which the caller has locked: it may have been moved since the tenant was entered.
    pub(crate) fn by_clock(&self, test_clock: Option<DateTime<Utc>>) -> Self {
        let mut ctx = self.clone();
        ctx.place.test_clock = test_clock;
        ctx
    }

    /// The tenant's present time zone.
    pub fn time_zone(&self) -> Tz {
        self.place.calendar.zone()
    }

    /// In which zones the tenant's days are counted over time.
    pub fn calendar(&self) -> &Calendar {
        &self.place.calendar
    }

    /// The tenant's present day.
    pub fn today(&self) -> NaiveDate {
        self.place.calendar.today(self.now())
    }

    /// Whether bodies of the tenant's mail share no object with another's, as it was when it was entered.
    pub fn is_storage_dedicated(&self) -> bool {
        self.place.storage_dedicated
    }

    /// The machine's clock and randomness: for ids, leases and logs. What a tenant's history says is [`Ctx::now`].
    pub fn env(&self) -> &Env {
        self.caller.db().env()
    }

    /// The database, for what is told apart from the tenant's own tables.
    pub fn db(&self) -> &Db {
        self.caller.db()
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The request, connection or job.
    pub fn request_id(&self) -> RequestId {
        self.caller.request_id()
    }

    /// # Errors
    /// [`Error::Forbidden`] when the caller's role or key does not allow the action.
    pub fn require(&self, action: Action) -> Result<(), Error> {
        self.caller.require(action)
    }

    /// As [`Ctx::require`], for an action on one mailbox. A person may do with their own what any person may, whatever
    /// their role, and with those that they are a delegate of what their right says; one without a role above that sees no other.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another's mailbox, [`Error::Forbidden`] as `require`.
    pub fn require_mailbox(&self, action: Action, mailbox_id: MailboxId) -> Result<(), Error> {
        let is_own = matches!(self.caller.principal(), Principal::User(_, own) if own == mailbox_id);
        if is_own && policy::allows(Role::User, action) {
            return Ok(());
        }
        if self.delegated(mailbox_id).is_some_and(|right| policy::right_allows(right, action)) {
            return Ok(());
        }
        if self.only_mailboxes().is_some_and(|only| !only.contains(&mailbox_id)) {
            return Err(Error::NotFound);
        }
        if self.sees_own_alone() && !is_own {
            return Err(Error::Forbidden("that in a mailbox that is another's"));
        }
        self.require(action)
    }

    /// As [`Ctx::require_mailbox`], for looking into the mail that is there: callers from above the tenant need a support
    /// access in force besides, and each look is noted on the tenant's trail.
    ///
    /// # Errors
    /// As `require_mailbox`; [`Error::SupportAccessRequired`].
    pub async fn require_mail(&self, action: Action, mailbox_id: MailboxId) -> Result<(), Error> {
        self.require_mailbox(action, mailbox_id)?;
        support_access::require(self, action, mailbox_id).await
    }

    /// What the caller may do with the mail of a mailbox as its delegate: the right to read it, or the one to do all with it.
    fn delegated(&self, mailbox_id: MailboxId) -> Option<Right> {
        self.place.delegated.get(&mailbox_id).copied()
    }

    /// The mailboxes that the caller may read as their delegate.
    pub(crate) fn readable(&self) -> Vec<MailboxId> {
        self.place.delegated.keys().copied().collect()
    }

    /// Whether the caller is a person without a role above that.
    fn sees_own_alone(&self) -> bool {
        matches!(self.caller.principal(), Principal::User(..)) && self.caller.role() == Role::User
    }

    /// The mailboxes that the caller sees, if it is a person without a role above that: their own and those they may read.
    fn only_mailboxes(&self) -> Option<Vec<MailboxId>> {
        match self.caller.principal() {
            Principal::User(_, own) if self.sees_own_alone() => Some(self.own_and_delegated(own)),
            _ => None,
        }
    }

    /// Which mailboxes a list is to have; `None`: all. A person whose role sees none has what one without a role has.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for other callers whose role or key does not allow it.
    pub(crate) fn listed_mailboxes(&self) -> Result<Option<Vec<MailboxId>>, Error> {
        match self.caller.principal() {
            Principal::User(_, own) if !policy::allows(self.caller.role(), Action::MailboxRead) => {
                Ok(Some(self.own_and_delegated(own)))
            }
            _ => {
                self.require(Action::MailboxRead)?;
                Ok(self.only_mailboxes())
            }
        }
    }

    fn own_and_delegated(&self, own: MailboxId) -> Vec<MailboxId> {
        self.place.delegated.keys().copied().chain([own]).collect()
    }

    /// The mailbox that is the caller's own, if it is a person without a role above that.
    pub fn own_mailbox(&self) -> Option<MailboxId> {
        match self.caller.principal() {
            Principal::User(_, own) if self.sees_own_alone() => Some(own),
            _ => None,
        }
    }

    /// Whether the caller is this person.
    pub(crate) fn is_user(&self, user_id: UserId) -> bool {
        matches!(self.caller.principal(), Principal::User(own, _) if own == user_id)
    }

    /// # Errors
    /// [`Error::Forbidden`] unless the action is the caller's by role, or a person's own affair: `user_id` is theirs and
    /// any person may do it.
    pub(crate) fn require_of_user(&self, action: Action, user_id: UserId) -> Result<(), Error> {
        match self.caller.principal() {
            Principal::User(own, _) if own == user_id && policy::allows(Role::User, action) => Ok(()),
            Principal::User(..) if self.caller.role() == Role::User => Err(Error::NotFound),
            _ => self.require(action),
        }
    }

    /// Begins a transaction that sees this tenant and no other.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn begin(&self) -> Result<TenantTx, db::Error> {
        TenantTx::begin(self).await
    }

    /// As [`Self::begin`], for what only reads, and is not to be looked at as of one moment.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn read(&self) -> Result<TenantRead, db::Error> {
        TenantRead::open(self).await
    }
}

/// A person signed in by a mail protocol.
#[derive(Debug, Clone)]
pub struct MailLogin {
    /// The context of their calls.
    pub ctx: Ctx,
    /// Who they are.
    pub user_id: UserId,
    /// The mailbox that is theirs.
    pub mailbox_id: MailboxId,
    /// What their sessions are counted by: another number, and this one is over.
    pub session_epoch: i32,
    /// The app password that they have signed in with, if it was one.
    pub app_password: Option<AppPasswordId>,
    /// Until when it is good, if it was by a token.
    pub good_until: Option<DateTime<Utc>>,
}

impl MailLogin {
    /// What they may do with the mail of a mailbox by a mail protocol, as of when the context was made: everything with their own; with another's what
    /// their right as a delegate says, `read` or `full_access`, and no more whatever their role.
    pub fn right_to(&self, mailbox_id: MailboxId) -> Option<Right> {
        if mailbox_id == self.mailbox_id { Some(Right::FullAccess) } else { self.ctx.delegated(mailbox_id) }
    }
}
