//! What is there already of what a batch names.

use std::collections::BTreeSet;

use kernel::{FolderId, MailboxId};

use super::{Pending, Way, import_keys, store};
use crate::ingest::ImportKey;
use crate::{Error, MailStore};

/// What is there of what deliveries name.
#[derive(Default)]
pub(super) struct Named {
    pub(super) imported: BTreeSet<(MailboxId, ImportKey)>,
    pub(super) folders: BTreeSet<FolderId>,
    /// Names by POP3 of other messages.
    pub(super) uidls: BTreeSet<(MailboxId, String)>,
}

/// Which of the imports' keys are there already, which of the folders that are named, and which of the names by POP3 that messages bring along. What a
/// server delivers has none of them.
pub(super) async fn look_for_named(
    mail: &MailStore,
    batch: &[&mut Pending],
    way: Way,
) -> Result<Named, Error> {
    let keys = import_keys(batch);
    let uidls: Vec<_> = batch
        .iter()
        .flat_map(|pending| pending.open())
        .filter_map(|(_, delivery)| {
            Some((delivery.ctx.tenant_id(), delivery.mailbox_id, delivery.was.uidl.clone()?))
        })
        .collect();
    let folders: BTreeSet<_> = batch
        .iter()
        .flat_map(|pending| pending.open())
        .filter_map(|(_, delivery)| {
            Some((delivery.ctx.tenant_id(), delivery.mailbox_id, delivery.folder.named()?))
        })
        .collect();
    if keys.is_empty() && folders.is_empty() && uidls.is_empty() {
        return Ok(Named::default());
    }
    let mut tx = way.begin(mail, batch).await?;
    Ok(Named {
        imported: store::imported(&mut tx, &keys).await?,
        folders: store::existing(&mut tx, &folders).await?,
        uidls: store::named(&mut tx, &uidls).await?,
    })
}
