//! To mailboxes of this installation, by the mail store's door: each has the message once, however often it is tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use kernel::{EmailAddress, MailboxId, MessageId, OutgoingId, TenantId};
use mailstore::ingest::{self, Incoming, Outcome};
use mailstore::message::Flags;
use relay::Reply;
use sha2::{Digest as _, Sha256};
use tenancy::Ctx;
use tenancy::recipient::Recipient;
use uuid::Uuid;

use super::OUR_FAULT;
use crate::Submission;
use crate::queue::{self, Claim, Claimed};

/// Mailboxes of one tenant that are to have it.
struct Ours {
    ctx: Ctx,
    mailboxes: BTreeSet<MailboxId>,
}

/// What each has come to.
type Results = BTreeMap<(TenantId, MailboxId), Result<Outcome, Arc<mailstore::Error>>>;

impl Submission {
    /// Whoever is named twice, by two addresses or in two groups, has it once.
    pub(super) async fn to_mailboxes(&self, claim: &Claim, body: &Bytes) -> Vec<queue::Outcome> {
        let found = join_all(claim.recipients.iter().map(|one| self.find(claim, one))).await;
        let mut tenants: BTreeMap<TenantId, Ours> = BTreeMap::new();
        for recipient in found.iter().flatten() {
            let ours = tenants
                .entry(recipient.ctx.tenant_id())
                .or_insert_with(|| Ours { ctx: recipient.ctx.clone(), mailboxes: BTreeSet::new() });
            ours.mailboxes.extend(&recipient.mailbox_ids);
        }
        let return_path = format!("Return-Path: <{}>\r\n", claim.message.sender);
        let bytes: Bytes = [return_path.as_bytes(), body].concat().into();
        let bytes = &bytes;
        let deliveries = join_all(tenants.iter().map(|(&tenant_id, ours)| async move {
            (tenant_id, &ours.mailboxes, self.deliver(claim, ours, bytes).await)
        }));
        let mut results = Results::new();
        for (tenant_id, mailboxes, of_tenant) in deliveries.await {
            results.extend(mailboxes.iter().map(|&id| (tenant_id, id)).zip(of_tenant));
        }
        found
            .into_iter()
            .map(|found| found.map_or_else(|outcome| outcome, |to| outcome(claim, &to, &results)))
            .collect()
    }

    async fn find(&self, claim: &Claim, one: &Claimed) -> Result<Recipient, queue::Outcome> {
        let Ok(address) = one.address.parse::<EmailAddress>() else { return Err(unknown()) };
        match self.recipients.resolve(&address, self.db.env().new_id()).await {
            Ok(found) => found.ok_or_else(unknown),
            Err(error) => Err(untried(claim, &error)),
        }
    }

    /// A result for each of the tenant's mailboxes, in their order.
    async fn deliver(
        &self,
        claim: &Claim,
        ours: &Ours,
        bytes: &Bytes,
    ) -> Vec<Result<Outcome, Arc<mailstore::Error>>> {
        let incoming = Incoming {
            bytes: bytes.clone(),
            internal_date: self.db.env().now(),
            flags: Flags::default(),
            import_key: None,
        };
        let deliveries: Vec<_> = ours.mailboxes.iter().map(|&id| (message_id(claim.id, id), id)).collect();
        match ingest::ingest_once(&self.store, &ours.ctx, incoming, &deliveries).await {
            Ok(results) => results.into_iter().map(|result| result.map_err(Arc::new)).collect(),
            Err(error) => {
                let error = Arc::new(error);
                deliveries.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }
}

/// What a recipient comes to. Of a group's mailboxes, the one that it went worst for decides: what passes before what stays. Those who have it do
/// not get it again.
fn outcome(claim: &Claim, to: &Recipient, results: &Results) -> queue::Outcome {
    let result = |&id: &MailboxId| results.get(&(to.ctx.tenant_id(), id));
    let failures: Vec<&mailstore::Error> =
        to.mailbox_ids.iter().filter_map(|id| result(id)?.as_ref().err().map(|error| &**error)).collect();
    let is_lasting = |error: &mailstore::Error| {
        matches!(
            error,
            mailstore::Error::OverQuota | mailstore::Error::TooLarge { .. } | mailstore::Error::MailboxGone
        )
    };
    if let Some(error) = failures.iter().find(|error| !is_lasting(error)) {
        return untried(claim, *error);
    }
    let is_gone = |error: &mailstore::Error| matches!(error, mailstore::Error::MailboxGone);
    match failures.iter().find(|error| !is_gone(error)) {
        Some(mailstore::Error::OverQuota) => fail(552, (5, 2, 2), "mailbox full"),
        Some(_) => fail(552, (5, 3, 4), "message too large"),
        // A member that was deleted meanwhile is none any more.
        None if failures.len() == to.mailbox_ids.len() => unknown(),
        None => queue::Outcome::Delivered { reply: Reply::ours(250, (2, 0, 0), "stored"), is_told_of: false },
    }
}

fn fail(code: u16, status: (u8, u16, u16), text: &str) -> queue::Outcome {
    queue::Outcome::Failed(Reply::ours(code, status, text))
}

fn unknown() -> queue::Outcome {
    fail(550, (5, 1, 1), "no such mailbox")
}

/// It is a fault of ours, or something is away.
fn untried(claim: &Claim, error: &(impl std::error::Error + 'static)) -> queue::Outcome {
    tracing::warn!(outgoing.id = %claim.id, error.cause = %kernel::error::chain(error), "mail for a mailbox of ours has to wait");
    queue::Outcome::Untried { wait: OUR_FAULT }
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
