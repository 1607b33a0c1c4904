//! Room for many messages at once: decided one after the other under the locks of all that they touch, written together.

use std::collections::BTreeMap;

use kernel::{MailboxId, TenantId};

use super::pool::Held;
use super::{Bounds, Charge, signed, store, warnings};
use crate::{Ctx, IngestTx, event};

/// What a mailbox is to get, if all of it is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How many bytes.
    pub bytes: u64,
    /// In how many messages.
    pub messages: u32,
}

/// Mailboxes that are locked until the transaction ends. Their folders are locked next, and then the pools above them.
#[derive(Debug)]
pub struct Mailboxes(BTreeMap<MailboxId, Mailbox>);

#[derive(Debug)]
struct Mailbox {
    tenant_id: TenantId,
    bounds: Bounds,
    /// Before all of this.
    used_bytes: i64,
    /// Before all of this.
    modseq: i64,
    taken: Counted,
    /// What its row counts already.
    written: Counted,
}

/// What messages add to a mailbox's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    bytes: i64,
    modseq: i64,
}

impl From<Wanted> for Counted {
    fn from(wanted: Wanted) -> Self {
        Self { bytes: signed(wanted.bytes), modseq: wanted.messages.into() }
    }
}

impl Mailboxes {
    /// Locks them in the order of their ids; those that are not there, or take no messages, are left out. What each is to get is counted at once where all
    /// of it fits, which it does but for few; [`Intake::write`] counts what was taken in fact.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn lock(
        tx: &mut IngestTx,
        wanted: &BTreeMap<(TenantId, MailboxId), Wanted>,
    ) -> Result<Self, db::Error> {
        let added: Vec<_> = wanted.iter().map(|(&at, &wanted)| added(at, wanted.into())).collect();
        let mailbox = |locked: store::Locked| {
            let (tenant_id, id) = (TenantId::from_uuid(locked.tenant_id), MailboxId::from_uuid(locked.id));
            let written = wanted.get(&(tenant_id, id)).filter(|_| locked.is_counted);
            let mailbox = Mailbox {
                tenant_id,
                bounds: locked.bounds(),
                used_bytes: locked.used_bytes,
                modseq: locked.modseq,
                taken: Counted::default(),
                written: written.map(|&wanted| wanted.into()).unwrap_or_default(),
            };
            (id, mailbox)
        };
        Ok(Self(store::lock_many(tx, &added).await?.into_iter().map(mailbox).collect()))
    }

    /// Those that are there and take messages.
    pub fn ids(&self) -> impl Iterator<Item = (TenantId, MailboxId)> {
        self.0.iter().map(|(id, mailbox)| (mailbox.tenant_id, *id))
    }

    /// Goes on to the pools above the transaction's tenants. Folders are locked before.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn with_pools<'a>(self, tx: &mut IngestTx) -> Result<Intake<'a>, db::Error> {
        Ok(Intake { mailboxes: self.0, pools: Held::lock(tx).await?, crossed: Vec::new() })
    }
}

/// What messages take of their mailboxes and of the pools above, all of which are locked.
#[derive(Debug)]
pub struct Intake<'a> {
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    pools: Held,
    crossed: Vec<event::Happened<'a>>,
}

impl<'a> Intake<'a> {
    /// Whether a webhook asks to be told of mail of the transaction's tenants.
    pub fn is_told(&self) -> bool {
        self.pools.is_told
    }

    /// Whether a mailbox is there and takes messages.
    pub fn has(&self, mailbox_id: MailboxId) -> bool {
        self.mailboxes.contains_key(&mailbox_id)
    }

    /// Counts `bytes` in a mailbox and in the pools above it, if all have room, for whoever brings them.
    pub fn charge(&mut self, ctx: &'a Ctx, mailbox_id: MailboxId, bytes: u64) -> Charge {
        let Some(mailbox) = self.mailboxes.get(&mailbox_id) else { return Charge::Gone };
        let used_bytes = mailbox.used_bytes + mailbox.taken.bytes;
        let fits = mailbox.bounds.quota_bytes.is_none_or(|quota| used_bytes <= quota - signed(bytes));
        if !fits || !self.pools.has_room(mailbox.tenant_id, signed(bytes)) {
            return Charge::OverQuota;
        }
        self.charge_in_any_case(ctx, mailbox_id, bytes)
    }

    /// As [`Self::charge`], whether or not there is room: for what was accepted long before.
    pub fn charge_in_any_case(&mut self, ctx: &'a Ctx, mailbox_id: MailboxId, bytes: u64) -> Charge {
        let bytes = signed(bytes);
        let Some(mailbox) = self.mailboxes.get_mut(&mailbox_id) else { return Charge::Gone };
        let used_bytes = mailbox.used_bytes + mailbox.taken.bytes;
        self.pools.add(mailbox.tenant_id, bytes);
        mailbox.taken.bytes += bytes;
        mailbox.taken.modseq += 1;
        let warnings = warnings((&mailbox.bounds, used_bytes), (&mailbox.bounds, used_bytes + bytes));
        self.crossed.extend(warnings.into_iter().map(|data| event::Happened {
            ctx,
            kind: event::Kind::MailboxQuotaWarning,
            subject: mailbox_id.to_string(),
            data,
        }));
        Charge::Taken { modseq: mailbox.modseq + mailbox.taken.modseq }
    }

    /// Writes what was counted, and notes each threshold that a mailbox crossed, as done by whoever made it.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn write(self, tx: &mut IngestTx) -> Result<(), db::Error> {
        let off = self.mailboxes.iter().filter(|(_, mailbox)| mailbox.taken != mailbox.written);
        let off = off.map(|(id, Mailbox { tenant_id, taken, written, .. })| {
            let (bytes, modseq) = (taken.bytes - written.bytes, taken.modseq - written.modseq);
            added((*tenant_id, *id), Counted { bytes, modseq })
        });
        store::add_many(tx, &off.collect::<Vec<_>>()).await?;
        self.pools.write(tx).await?;
        if self.crossed.is_empty() { Ok(()) } else { event::record_all(tx, self.crossed).await }
    }
}

fn added((tenant_id, id): (TenantId, MailboxId), Counted { bytes, modseq }: Counted) -> store::Added {
    store::Added { tenant_id, id, bytes, modseq }
}
