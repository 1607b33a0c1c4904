//! Restores of mail to a moment: what there was is read from the journal, and the mail store puts it back ([`mailstore::restore`]).

mod store;

use std::sync::Arc;

use blob::{BlobStore, KeyPrefix};
use chrono::{DateTime, Utc};
use db::{Db, SystemRead};
use futures::{StreamExt as _, TryStreamExt as _};
use kernel::{ErrorKind, MailboxId, SegmentId};
use mailstore::MailStore;
use mailstore::restore::{self, Past, Pasts, Restore, Wanted};
use pack::segment::{Record, Segment};
use tenancy::operation::Operation;
use tenancy::{Caller, Ctx};

use crate::Error;
use crate::recover::bucket::{self, Listing, Numbered};
use crate::recover::chain::Chain;

/// About how many messages' pasts are in memory at a time.
const AT_A_TIME: u64 = 500_000;
/// How many numbers are fetched ahead of the one that is read.
const AHEAD: usize = 8;

/// Begins a restore: the operation by which to follow it. A worker does it.
///
/// # Errors
/// As [`mailstore::restore::request`].
pub async fn request(ctx: &Ctx, wanted: Wanted) -> Result<Operation, mailstore::Error> {
    let earliest = store::earliest(&mut look(ctx.db()).await?).await?;
    restore::request(ctx, wanted, earliest).await
}

/// Does a restore that nobody has in hand, whole or up to what stops it; whether there was one. Several processes may do so at once.
///
/// # Errors
/// When the queue does not answer. What stops a restore is noted in its operation, if it will not pass.
pub async fn run_next(db: &Db, mail: &MailStore) -> Result<bool, Error> {
    let Some(restore) = restore::claim(db).await? else { return Ok(false) };
    // Of a tenant that was deleted meanwhile: it rests until that is restored, or goes with it.
    let Ok(ctx) = Caller::server(db.clone()).enter(restore.tenant_id).await else { return Ok(true) };
    match work(&ctx, mail, &restore).await {
        Ok(()) => restore::finish(&ctx, &restore).await?,
        Err(error) => {
            tracing::warn!(operation.id = %restore.id, error.cause = %kernel::error::chain(&error), "a restore was stopped");
            let (code, may_pass) = match &error {
                Error::Mail(cause) => (cause.code(), cause.kind() == ErrorKind::Unavailable),
                Error::Behind => ("unavailable", true),
                Error::Db(cause) => ("unavailable", cause.kind() == ErrorKind::Unavailable),
                Error::Blob(cause) => ("unavailable", cause.kind() == ErrorKind::Unavailable),
                _ => ("journal_unreadable", false),
            };
            restore::stop(&ctx, &restore, code, may_pass).await?;
        }
    }
    Ok(true)
}

async fn work(ctx: &Ctx, mail: &MailStore, restore: &Restore) -> Result<(), Error> {
    // What was committed by then is in the bucket once something later is at the head of what is not.
    if store::oldest(&mut look(ctx.db()).await?).await?.is_some_and(|oldest| oldest <= restore.at) {
        return Err(Error::Behind);
    }
    let mut mailboxes = restore::mailboxes(ctx, restore).await?.into_iter().peekable();
    while mailboxes.peek().is_some() {
        let (mut group, mut messages) = (Vec::new(), 0);
        while let Some((id, count)) =
            mailboxes.next_if(|(_, count)| messages == 0 || messages + count <= AT_A_TIME)
        {
            group.push(id);
            messages += count.max(1);
        }
        for (mailbox_id, past) in read(ctx, mail, restore.at, group).await? {
            restore::put_back(mail, ctx, restore, mailbox_id, &past).await?;
        }
    }
    Ok(())
}

/// What there was in mailboxes at a moment.
async fn read(
    ctx: &Ctx,
    mail: &MailStore,
    at: DateTime<Utc>,
    mailboxes: Vec<MailboxId>,
) -> Result<Vec<(MailboxId, Past)>, Error> {
    let blobs = &**mail.blobs();
    let base = store::base_before(&mut look(ctx.db()).await?, at).await?.ok_or(Error::NoBase)?;
    let listing = Listing::read(blobs, KeyPrefix::Journal).await?;
    let mut reading = Reading { ctx, mail, at, pasts: Pasts::of(mailboxes) };
    let (parts, _) = listing.bases().find(|(found, _)| found.number == base).ok_or(Error::NoBase)?;
    for part in parts.parts {
        reading.take(&bucket::fetch(blobs, part).await?).await?;
    }
    let after: Vec<_> = listing.after(base).collect();
    let mut numbers =
        futures::stream::iter(after).map(|next| fetch(mail.blobs().clone(), next)).buffered(AHEAD);
    let mut chain = Chain::new(base);
    let mut is_later = false;
    while !is_later && let Some((is_base, fetched)) = numbers.try_next().await? {
        let settled = if is_base { chain.pass(fetched.number) } else { chain.follow(fetched)? };
        for part in settled.map_or_else(Vec::new, |settled| settled.parts) {
            is_later |= reading.take(&part).await?;
        }
    }
    drop(numbers);
    if !is_later && let Some(last) = chain.end() {
        for part in &last.parts {
            reading.take(part).await?;
        }
    }
    Ok(reading.pasts.into_each().collect())
}

/// A number's segments, and whether it is a base's, of which none are wanted.
async fn fetch(
    blobs: Arc<dyn BlobStore>,
    (is_base, number): (bool, Numbered<SegmentId>),
) -> Result<(bool, Numbered<Segment>), Error> {
    if is_base {
        return Ok((is_base, Numbered { number: number.number, parts: Vec::new() }));
    }
    Ok((is_base, bucket::fetch_all(&*blobs, &number).await?))
}

/// What is being read of the journal.
struct Reading<'a> {
    ctx: &'a Ctx,
    mail: &'a MailStore,
    at: DateTime<Utc>,
    pasts: Pasts,
}

impl Reading<'_> {
    /// Takes in what a segment has of the tenant, up to the moment; whether it is of a later state.
    async fn take(&mut self, segment: &Segment) -> Result<bool, Error> {
        let mut records: Vec<Record> = Vec::new();
        let mine: Vec<_> = segment.sections().filter(|(tenant, _)| *tenant == self.ctx.tenant_id()).collect();
        for (_, generation) in mine {
            let key = self.mail.keys().opening(self.ctx, generation).await?;
            let section = segment.records(&key).map_err(|cause| bucket::unreadable(segment.id(), cause))?;
            records.extend(section.into_iter().filter(|record| Pasts::wants(&record.relation)));
        }
        // Stable: in a base, where nothing comes before anything, sections stay whole.
        records.sort_by_key(|record| record.seq);
        for record in records.iter().filter(|record| record.at <= self.at) {
            self.pasts.put(&record.relation, record.is_deleted, &record.image)?;
        }
        Ok(segment.head().read_at > self.at)
    }
}

#[expect(clippy::disallowed_methods, reason = "the journal is of all tenants' rows")]
async fn look(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}
