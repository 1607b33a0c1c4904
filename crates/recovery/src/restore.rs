//! Restores of mail to a moment: what there was is read from the journal, and the mail store puts it back ([`mailstore::restore`]).

mod store;

use std::sync::Arc;

use blob::BlobStore;
use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemRead};
use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};
use kernel::{ErrorKind, MailboxId, SegmentId};
use mailstore::MailStore;
use mailstore::restore::{self, Past, Pasts, Restore, Wanted};
use pack::bundle::MAX_SPAN;
use pack::segment::{Record, Segment};
use tenancy::operation::Operation;
use tenancy::{Caller, Ctx};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::recover::bucket::{self, Item, Listing, Numbered};
use crate::recover::chain::Chain;
use crate::turn::last_of;

/// About how many messages' pasts are in memory at a time.
const AT_A_TIME: u64 = 500_000;
/// How many numbers are fetched ahead of the one that is read.
const AHEAD: usize = 8;
/// How often it is said that a restore is in hand while its past is read.
const KEEP_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Begins a restore: the operation by which to follow it. A worker does it.
///
/// # Errors
/// As [`mailstore::restore::request`].
pub async fn request(ctx: &Ctx, wanted: Wanted) -> Result<Operation, mailstore::Error> {
    let earliest = store::earliest(&mut look(ctx.db()).await?, ctx.env().now()).await?;
    restore::request(ctx, wanted, earliest).await
}

/// Does a restore that nobody has in hand, whole or up to what stops it; whether there was one. Several processes may do so at once. At the word to stop
/// it is broken off, and another process goes on with it at once.
///
/// # Errors
/// When the queue does not answer. What stops a restore is noted in its operation, if it will not pass.
pub async fn run_next(db: &Db, mail: &MailStore, stop: &CancellationToken) -> Result<bool, Error> {
    let Some(restore) = restore::claim(db).await? else { return Ok(false) };
    let ctx = match Caller::server(db.clone()).enter(restore.tenant_id).await {
        Ok(ctx) => ctx,
        // The tenant was deleted meanwhile: it waits until that is restored, or goes with it.
        Err(_) => {
            restore::put_off(db, &restore).await?;
            return Ok(true);
        }
    };
    if restore.is_given_up() {
        restore::stop(&ctx, &restore, "internal", false).await?;
        return Ok(true);
    }
    match stop.run_until_cancelled(work(&ctx, mail, &restore)).await {
        None => restore::hand_over(db, &restore).await?,
        Some(Ok(())) => restore::finish(&ctx, &restore).await?,
        Some(Err(error)) => {
            tracing::warn!(operation.id = %restore.id, error.cause = %kernel::error::chain(&error), "a restore was stopped");
            let (code, may_pass) = outcome(&error);
            restore::stop(&ctx, &restore, code, may_pass).await?;
        }
    }
    Ok(true)
}

/// What an error is told as, and whether it may pass.
fn outcome(error: &Error) -> (&'static str, bool) {
    // A commit of which it is not known whether it was made has noted how far it is, or has not.
    let passes = |error: &db::Error| matches!(error, db::Error::Unresolved(_) | db::Error::Unavailable(_));
    match error {
        Error::Mail(mailstore::Error::Db(cause)) => (cause_code(passes(cause)), passes(cause)),
        Error::Mail(cause) => (cause.code(), cause.kind() == ErrorKind::Unavailable),
        Error::Behind => ("unavailable", true),
        Error::Db(cause) => (cause_code(passes(cause)), passes(cause)),
        Error::Blob(cause) if cause.kind() == ErrorKind::Unavailable => ("unavailable", true),
        _ => ("journal_unreadable", false),
    }
}

fn cause_code(passes: bool) -> &'static str {
    if passes { "unavailable" } else { "internal" }
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
        for (mailbox_id, past) in read(ctx, mail, restore, group).await? {
            let Err(error) = restore::put_back(mail, ctx, restore, mailbox_id, &past).await else { continue };
            let error = Error::from(error);
            match outcome(&error) {
                (_, true) => return Err(error),
                // The others are not to suffer for it.
                (code, false) => restore::give_up_mailbox(ctx, restore, mailbox_id, code).await?,
            }
        }
    }
    Ok(())
}

/// What there was in mailboxes at the moment.
async fn read(
    ctx: &Ctx,
    mail: &MailStore,
    restore: &Restore,
    mailboxes: Vec<MailboxId>,
) -> Result<Vec<(MailboxId, Past)>, Error> {
    let base = store::base_before(&mut look(ctx.db()).await?, restore.at).await?.ok_or(Error::NoBase)?;
    let mut reading = Reading { ctx, mail, restore, pasts: Pasts::of(mailboxes), kept_at: ctx.env().now() };
    let Some(Item::Base(ids)) = bucket::find(&**mail.blobs(), base).await? else { return Err(Error::NoBase) };
    reading.take_base(ids.parts).await?;
    let mut chain = Chain::new(base);
    // A bundle can begin before what it has of what follows.
    let mut from = Some(last_of(base.saturating_sub(MAX_SPAN)).to_string());
    while let Some(place) = from {
        let (items, next) = Listing::page(&**mail.blobs(), &place).await?;
        from = next;
        let items = items.into_iter().filter(|item| item.last() > base);
        let fetched: Vec<_> = items.map(|item| fetch(mail.blobs().clone(), item)).collect();
        let mut fetched = stream::iter(fetched).buffered(AHEAD);
        while let Some((item, changes)) = fetched.try_next().await? {
            if let Item::Base(passed) = item {
                chain.pass(passed.number);
            }
            for numbered in changes {
                let settled = chain.follow(numbered)?;
                if reading.take_all(settled).await? {
                    return Ok(reading.pasts.into_each().collect());
                }
            }
        }
    }
    reading.take_all(chain.end()).await?;
    Ok(reading.pasts.into_each().collect())
}

/// An item, and the changes that it has.
async fn fetch(blobs: Arc<dyn BlobStore>, item: Item) -> Result<(Item, Vec<Numbered<Segment>>), Error> {
    let changes = bucket::fetch_all(&*blobs, &item).await?;
    Ok((item, changes))
}

async fn fetch_part(blobs: Arc<dyn BlobStore>, id: SegmentId) -> Result<Segment, Error> {
    bucket::fetch(&*blobs, id).await
}

/// What is being read of the journal.
struct Reading<'a> {
    ctx: &'a Ctx,
    mail: &'a MailStore,
    restore: &'a Restore,
    pasts: Pasts,
    /// When it was said last that somebody has the restore in hand.
    kept_at: DateTime<Utc>,
}

impl Reading<'_> {
    async fn take_base(&mut self, parts: Vec<SegmentId>) -> Result<(), Error> {
        let blobs = self.mail.blobs();
        let parts: Vec<_> = parts.into_iter().map(|id| fetch_part(blobs.clone(), id)).collect();
        let mut parts = stream::iter(parts).buffered(AHEAD);
        while let Some(part) = parts.try_next().await? {
            self.take(&part).await?;
        }
        Ok(())
    }

    /// Takes in what counts of a number, if anything does; whether it is of a later state.
    async fn take_all(&mut self, settled: Option<Numbered<Segment>>) -> Result<bool, Error> {
        let mut is_later = false;
        for part in settled.map_or_else(Vec::new, |settled| settled.parts) {
            is_later |= self.take(&part).await?;
        }
        Ok(is_later)
    }

    /// Takes in what a segment has of the tenant, up to the moment; whether it is of a later state.
    async fn take(&mut self, segment: &Segment) -> Result<bool, Error> {
        let now = self.ctx.env().now();
        if now - self.kept_at > KEEP_EVERY {
            restore::keep(self.ctx, self.restore).await?;
            self.kept_at = now;
        }
        let mut records: Vec<Record> = Vec::new();
        let mine: Vec<_> = segment.sections().filter(|(tenant, _)| *tenant == self.ctx.tenant_id()).collect();
        for (_, generation) in mine {
            let key = self.mail.keys().opening(self.ctx, generation).await?;
            let section = segment.records(&key).map_err(|cause| bucket::unreadable(segment.id(), cause))?;
            records.extend(section.into_iter().filter(|record| Pasts::wants(&record.relation)));
        }
        // Stable: in a base, where nothing comes before anything, sections stay whole.
        records.sort_by_key(|record| record.seq);
        for record in records.iter().filter(|record| record.at <= self.restore.at) {
            self.pasts.put(&record.relation, record.is_deleted, &record.image)?;
        }
        Ok(segment.head().read_at > self.restore.at)
    }
}

#[expect(clippy::disallowed_methods, reason = "the journal is of all tenants' rows")]
async fn look(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}
