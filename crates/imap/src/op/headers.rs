//! What SORT and THREAD put messages in order by, as they were read when they came.

use mailstore::change::UidSet;
use mailstore::parsed::Address;
use mailstore::view::{self, Headers};

use crate::order::collate;
use crate::session::{Session, Trouble};

/// How many messages are looked up at a time.
const AT_ONCE: usize = 1_000;

/// Takes what each of some messages says of itself, in the order of their UIDs.
pub(super) async fn each(
    session: &Session,
    uids: &[u64],
    mut take: impl FnMut(Headers) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let (login, selected) = (session.login()?, session.selected()?);
    for uids in uids.chunks(AT_ONCE) {
        let wanted: UidSet = uids.iter().copied().collect();
        let (mailbox_id, folder) = (selected.mailbox_id, selected.folder);
        let found = view::headers(&login.ctx, mailbox_id, folder, wanted.ranges()).await?;
        found.into_iter().try_for_each(&mut take)?;
    }
    Ok(())
}

/// When a message was sent, in seconds since 1970; if it does not say, when it came (RFC 5256 §2.2).
pub(super) fn sent_at(found: &Headers) -> i64 {
    found.parsed.date.unwrap_or(found.internal_date).timestamp()
}

/// What the first address of a list is sorted by: what is before its `@`.
pub(super) fn mailbox_key(list: &[Address]) -> String {
    let address = list.first().and_then(|first| first.address.as_deref()).unwrap_or_default();
    collate::key(address.rsplit_once('@').map_or(address, |(mailbox, _)| mailbox))
}

/// What it is sorted by as it is shown (RFC 5957 §3): its name, or else itself.
pub(super) fn display_key(list: &[Address]) -> String {
    let shown = list.first().and_then(|first| first.name.as_deref().or(first.address.as_deref()));
    collate::key(shown.unwrap_or_default())
}
