//! Room for many messages at once: decided one after the other under the locks of all that they touch, written together.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{MailboxId, TenantId};

use super::pool::Held;
use super::{Bounds, Charge, signed, store, warnings};
use crate::{Ctx, IngestTx, event};

/// Mailboxes that are locked until the transaction ends. Their folders are locked next, and then the pools above them.
#[derive(Debug)]
pub struct Mailboxes(BTreeMap<MailboxId, Mailbox>);

#[derive(Debug)]
struct Mailbox {
    tenant_id: TenantId,
    bounds: Bounds,
    used_bytes: i64,
    modseq: i64,
    added_bytes: i64,
    added_modseq: i64,
}

impl Mailboxes {
    /// Locks them in the order of their ids; those that are not there, or take no messages, are left out.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn lock(
        tx: &mut IngestTx,
        mailboxes: &BTreeSet<(TenantId, MailboxId)>,
    ) -> Result<Self, db::Error> {
        let locked = store::lock_many(tx, mailboxes).await?;
        let mailbox = |locked: store::Locked| {
            let mailbox = Mailbox {
                tenant_id: TenantId::from_uuid(locked.tenant_id),
                bounds: locked.bounds(),
                used_bytes: locked.used_bytes,
                modseq: locked.modseq,
                added_bytes: 0,
                added_modseq: 0,
            };
            (MailboxId::from_uuid(locked.id), mailbox)
        };
        Ok(Self(locked.into_iter().map(mailbox).collect()))
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
    /// Whether a mailbox is there and takes messages.
    pub fn has(&self, mailbox_id: MailboxId) -> bool {
        self.mailboxes.contains_key(&mailbox_id)
    }

    /// Counts `bytes` in a mailbox and in the pools above it, if all have room, for whoever brings them.
    pub fn charge(&mut self, ctx: &'a Ctx, mailbox_id: MailboxId, bytes: u64) -> Charge {
        let bytes = signed(bytes);
        let Some(mailbox) = self.mailboxes.get_mut(&mailbox_id) else { return Charge::Gone };
        let used_bytes = mailbox.used_bytes + mailbox.added_bytes;
        let fits = mailbox.bounds.quota_bytes.is_none_or(|quota| used_bytes <= quota - bytes);
        if !fits || !self.pools.has_room(mailbox.tenant_id, bytes) {
            return Charge::OverQuota;
        }
        self.pools.add(mailbox.tenant_id, bytes);
        mailbox.added_bytes += bytes;
        mailbox.added_modseq += 1;
        let warnings = warnings((&mailbox.bounds, used_bytes), (&mailbox.bounds, used_bytes + bytes));
        self.crossed.extend(warnings.into_iter().map(|data| event::Happened {
            ctx,
            kind: event::Kind::MailboxQuotaWarning,
            subject: mailbox_id.to_string(),
            data,
        }));
        Charge::Taken { modseq: mailbox.modseq + mailbox.added_modseq }
    }

    /// Writes what was counted, and notes each threshold that a mailbox crossed, as done by whoever made it.
    ///
    /// # Errors
    /// [`db::Error`] when the database fails.
    pub async fn write(self, tx: &mut IngestTx) -> Result<(), db::Error> {
        let changed = self.mailboxes.iter().filter(|(_, mailbox)| mailbox.added_modseq > 0);
        let rows = changed.map(|(id, mailbox)| store::Added {
            tenant_id: mailbox.tenant_id,
            id: *id,
            bytes: mailbox.added_bytes,
            modseq: mailbox.added_modseq,
        });
        store::add_many(tx, rows).await?;
        self.pools.write(tx).await?;
        if self.crossed.is_empty() { Ok(()) } else { event::record_all(tx, self.crossed).await }
    }
}
