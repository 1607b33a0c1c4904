//! To mailboxes of this installation, by the mail store's door: each has the message once, however often it is tried.

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use kernel::{EmailAddress, MailboxId, MessageId, OutgoingId};
use mailstore::ingest::{self, Incoming};
use mailstore::message::Flags;
use relay::Reply;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::OUR_FAULT;
use crate::Submission;
use crate::queue::{Claim, Claimed, Outcome};

impl Submission {
    pub(super) async fn to_mailboxes(&self, claim: &Claim, body: &Bytes) -> Vec<Outcome> {
        let return_path = format!("Return-Path: <{}>\r\n", claim.message.sender);
        let mut bytes = BytesMut::with_capacity(return_path.len() + body.len());
        bytes.extend_from_slice(return_path.as_bytes());
        bytes.extend_from_slice(body);
        let bytes = bytes.freeze();
        join_all(claim.recipients.iter().map(|one| self.to_mailbox(claim, one, &bytes))).await
    }

    async fn to_mailbox(&self, claim: &Claim, one: &Claimed, bytes: &Bytes) -> Outcome {
        let fail = |code, status, text| Outcome::Failed(Reply::ours(code, status, text));
        let unknown = || fail(550, (5, 1, 1), "no such mailbox");
        let Ok(address) = one.address.parse::<EmailAddress>() else { return unknown() };
        let request_id = self.db.env().new_id();
        let found = match self.recipients.resolve(&address, request_id).await {
            Ok(Some(found)) => found,
            Ok(None) => return unknown(),
            Err(error) => return untried(claim, &error),
        };
        let incoming = Incoming {
            bytes: bytes.clone(),
            internal_date: self.db.env().now(),
            flags: Flags::default(),
            import_key: None,
        };
        let deliveries: Vec<_> = found.mailbox_ids.iter().map(|&id| (message_id(claim.id, id), id)).collect();
        let results = match ingest::ingest_once(&self.store, &found.ctx, incoming, &deliveries).await {
            Ok(results) => results,
            Err(error) => return untried(claim, &error),
        };
        // Of a group's mailboxes, the one that it went worst for decides: what passes before what stays. Those who have it do not get it again.
        let failures: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        let lasting = |error: &&&mailstore::Error| {
            matches!(
                error,
                mailstore::Error::OverQuota
                    | mailstore::Error::TooLarge { .. }
                    | mailstore::Error::MailboxGone
            )
        };
        if let Some(error) = failures.iter().find(|error| !lasting(error)) {
            return untried(claim, *error);
        }
        let gone = |error: &&&mailstore::Error| matches!(error, mailstore::Error::MailboxGone);
        match failures.iter().find(|error| !gone(error)) {
            Some(mailstore::Error::OverQuota) => fail(552, (5, 2, 2), "mailbox full"),
            Some(_) => fail(552, (5, 3, 4), "message too large"),
            // A member that was deleted meanwhile is none any more.
            None if failures.len() == results.len() => unknown(),
            None => Outcome::Delivered { reply: Reply::ours(250, (2, 0, 0), "stored"), is_told_of: false },
        }
    }
}

/// It is a fault of ours, or something is away.
fn untried(claim: &Claim, error: &(impl std::error::Error + 'static)) -> Outcome {
    tracing::warn!(outgoing.id = %claim.id, error.cause = %kernel::error::chain(error), "mail for a mailbox of ours has to wait");
    Outcome::Untried { wait: OUR_FAULT }
}

/// The id that a message gets in a mailbox, the same at each attempt: of the time at which it was accepted, as ids are listed by it.
fn message_id(outgoing: OutgoingId, mailbox: MailboxId) -> MessageId {
    let of = outgoing.uuid();
    let digest = Sha256::new().chain_update(of).chain_update(mailbox.uuid()).finalize();
    let mut bytes: [u8; 16] = std::array::from_fn(|at| digest[at]);
    bytes[..6].copy_from_slice(&of.as_bytes()[..6]);
    // RFC 9562 §5.7: version 7, variant 10.
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    MessageId::from_uuid(Uuid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_id_in_each_mailbox() {
        let out = |n| OutgoingId::from_uuid(Uuid::from_u128(n));
        let mailbox = |n| MailboxId::from_uuid(Uuid::from_u128(n));
        let first = 0x0197_0000_0000_7000_8000_0000_0000_0001;
        let id = message_id(out(first), mailbox(1)).uuid();
        assert_eq!(id, message_id(out(first), mailbox(1)).uuid());
        assert_ne!(id, message_id(out(first), mailbox(2)).uuid());
        assert_ne!(id, message_id(out(first + 1), mailbox(1)).uuid());
        assert_eq!((id.get_version_num(), &id.as_bytes()[..6]), (7, &first.to_be_bytes()[..6]));
    }
}
