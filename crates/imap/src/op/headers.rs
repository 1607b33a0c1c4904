//! What SORT and THREAD put messages in order by: what they say of themselves.

use mailstore::change::UidSet;
use mailstore::parsed::Address;
use mailstore::view::{self, Headers, Said};

use crate::order::collate;
use crate::order::subject::{self, Base};
use crate::session::{Session, Trouble};

/// How many messages are looked up at a time.
const AT_ONCE: usize = 1_000;
/// How many characters of a subject are looked at: a stranger chooses how long it is.
const MAX_SUBJECT_CHARS: usize = 250;

/// Takes what each of some messages says of itself, in the order of their UIDs, as far as it is wanted.
pub(super) async fn each(
    session: &mut Session,
    uids: &[u64],
    said: &[Said],
    mut take: impl FnMut(&Session, Headers) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    for mut uids in uids.chunks(AT_ONCE) {
        while !uids.is_empty() {
            // Where nothing is kept bodies are read, and that takes long.
            session.check_login().await?;
            let (login, selected) = (session.login()?, session.selected()?);
            let wanted: UidSet = uids.iter().copied().collect();
            let (mailbox_id, folder) = (selected.mailbox_id, selected.folder);
            let found =
                view::headers(&session.store(), &login.ctx, mailbox_id, folder, wanted.ranges(), said)
                    .await?;
            // What comes after the last of them is left for the next time. If there is none, all are gone.
            let last = found.last().map_or(u64::MAX, |found| found.uid);
            uids = uids.get(uids.partition_point(|uid| *uid <= last)..).unwrap_or_default();
            found.into_iter().try_for_each(|found| take(session, found))?;
        }
    }
    Ok(())
}

/// When a message was sent, in seconds since 1970; if it does not say, when it came (RFC 5256 §2.2).
pub(super) fn sent_at(found: &Headers) -> i64 {
    found.parsed.date.unwrap_or(found.internal_date).timestamp()
}

/// What a message is about (RFC 5256 §2.1), by the beginning of its subject.
pub(super) fn base_subject(found: &Headers) -> Base {
    let subject = found.parsed.subject.as_deref().unwrap_or_default();
    subject::base_subject(&subject.chars().take(MAX_SUBJECT_CHARS).collect::<String>())
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
