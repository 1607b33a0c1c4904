//! Mail that lies in packs and that no row names, in a database that was made anew without the last it had: it was accepted, and is
//! put where its footers say.
//!
//! What is taken in keeps its id, its UIDL and its date, and goes into a pack anew; it gets the next UID of its folder, which is beyond every
//! number that was given out and lost.
//!
//! A message whose id is older than that of mail on its way can be is passed over: nobody was told that it was accepted, its server was killed or refused it
//! before. What submission's queue delivers late may have an old id as well, and is in the queue still. Where the id is a day old, the message was
//! destroyed: a pack that bodies were being moved into names such ones.
//!
//! A message that an import has taken since, to the byte, is passed over too: the import was killed, which acknowledges nothing before its own commit, and was
//! run again.
//!
//! Two imports at once may have written one UIDL of a mailbox into the footers of two packs: which of them got it was decided by a commit that is lost. It goes
//! to the message that has it in a row, or else to that of the first pack, in the order of the bucket's listing; the other is named after its id.

mod store;

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use blob::BlobKey;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{MessageId, PackId, TenantId};
use pack::{Delivery, Ending, Generation, Located, OpenError, Tail};
use tenancy::{Caller, Ctx};

use crate::message::Flags;
use crate::{Error, MailStore, body, folder, ingest, key, message};

/// How many UIDs or modification sequences a folder or mailbox is given in a second at most: some twenty times what a server takes in. Of the UIDs
/// there are (RFC 9051 §2.3.1.1: 32 bits) a minute of them is one in seven hundred.
const IN_A_SECOND: u32 = 100_000;

/// How many folders of a mailbox can have been lost, each with a UID validity higher than all before: as many as one may have.
const FOLDERS: i64 = folder::MAX_FOLDERS as i64;

/// By how much a server's clock may be behind the database's.
const CLOCKS: TimeDelta = TimeDelta::minutes(1);

/// How long an id is that of a message which may have come to nothing; an older one was there before.
const MAY_BE_NEW: TimeDelta = TimeDelta::days(1);

/// How many packs are looked up at a time.
const BATCH: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Packs that no row named, or only as reserved.
    pub packs: u64,
    /// Messages that were put where they belong.
    pub messages: u64,
    /// Messages that were passed over because nobody was told that they were accepted. Their packs stay.
    pub passed_over: u64,
    /// What could not be put anywhere, a line each. It stays in its pack.
    pub left: Vec<String>,
}

/// Takes in what lies in the packs of a bucket and was accepted after the moment that the rows are of. First numbers go on, beyond all that can have
/// been given out in the seconds that were lost at most, and every message counts as changed: what else was done after that moment nobody knows, nor
/// which clients were told of it. Shared packs in which only destroyed tenants had something, whose rows nobody reads any more, begin to drain.
///
/// # Errors
/// When the database or the bucket do not answer.
pub async fn take_in(
    store: &MailStore,
    packs: &[(Option<TenantId>, PackId)],
    read_at: DateTime<Utc>,
    lost_seconds: NonZeroU32,
) -> Result<Found, Error> {
    let mut tx = system(&store.db).await?;
    let lost_seconds = i64::from(lost_seconds.get());
    let lost_at = read_at + TimeDelta::seconds(lost_seconds);
    store::raise(&mut tx, i64::from(IN_A_SECOND) * lost_seconds, lost_at).await?;
    tx.commit().await?;
    let_go_of_deserted(store).await?;
    let mut found = Found::default();
    for packs in packs.chunks(BATCH) {
        let mut tx = system(&store.db).await?;
        let known = store::known(&mut tx, packs, read_at).await?;
        drop(tx);
        let may_be_late = |pack: &PackId| !known.contains(pack) && body::may_be_used(*pack, read_at);
        for &(owner, pack) in packs.iter().filter(|(_, pack)| may_be_late(pack)) {
            found.packs += 1;
            let key = BlobKey::Pack { owner, pack };
            let kept = (found.left.len(), found.passed_over);
            if let Err(error) = take_pack(store, &key, read_at, &mut found).await {
                store.ping().await?;
                store.db.ping().await?;
                found.left.push(format!("{key}: {}", kernel::error::chain(&error)));
            }
            if (found.left.len(), found.passed_over) == kept {
                // All of it is elsewhere now, has been all along, or was destroyed.
                store.blobs.delete(&key).await?;
            } else {
                // The sweeper takes what was reserved and came to nothing.
                let mut tx = system(&store.db).await?;
                store::disown(&mut tx, pack).await?;
                tx.commit().await?;
            }
        }
    }
    Ok(found)
}

/// Has shared packs drain that no row says who has something in, if they say so themselves, and none of those is there any more. Of others rows may have
/// been lost: they stay.
async fn let_go_of_deserted(store: &MailStore) -> Result<(), Error> {
    let deserted = store::deserted(&mut system(&store.db).await?).await?;
    for pack in deserted {
        let Ok(tenants) = sharers(store, &BlobKey::Pack { owner: None, pack }).await else {
            store.ping().await?;
            continue;
        };
        if key::kept_of(&store.db, &tenants).await?.is_empty() {
            let mut tx = system(&store.db).await?;
            store::drain(&mut tx, pack, store.db.env().now()).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Who has something in a pack, by what it says.
async fn sharers(store: &MailStore, key: &BlobKey) -> Result<BTreeSet<TenantId>, Error> {
    let bytes = store.blobs.get(key).await?;
    match Tail::parse(bytes.len() as u64, &bytes).map_err(|cause| Error::Unreadable(cause.into()))? {
        Ending::Whole(tail) => Ok(tail.sections().map(|(tenant, _)| tenant).collect()),
        Ending::From(_) => Err(Error::Unreadable(OpenError::Refused)),
    }
}

/// A pack that was fetched.
struct Fetched<'a> {
    key: &'a BlobKey,
    bytes: Bytes,
    tail: Tail,
}

async fn take_pack(
    store: &MailStore,
    key: &BlobKey,
    read_at: DateTime<Utc>,
    found: &mut Found,
) -> Result<(), Error> {
    let bytes = store.blobs.get(key).await?;
    let Ending::Whole(tail) =
        Tail::parse(bytes.len() as u64, &bytes).map_err(|cause| Error::Unreadable(cause.into()))?
    else {
        return Ok(());
    };
    let operator = Caller::local_operator(store.db.clone(), store.db.env().new_id());
    let pack = Fetched { key, bytes, tail };
    for (tenant, generation) in pack.tail.sections() {
        let taken = async {
            let ctx = operator.enter_deleted_too(tenant).await?;
            take_section(store, &ctx, &pack, generation, read_at, found).await
        };
        if let Err(error) = taken.await {
            found.left.push(format!("{key}, {tenant}: {}", kernel::error::chain(&error)));
        }
    }
    Ok(())
}

async fn take_section(
    store: &MailStore,
    ctx: &Ctx,
    pack: &Fetched<'_>,
    generation: Generation,
    read_at: DateTime<Utc>,
    found: &mut Found,
) -> Result<(), Error> {
    let key = store.keys.opening(ctx, generation).await?;
    for Located { address, about } in pack.tail.entries(&key)? {
        let ids: Vec<_> =
            about.deliveries().iter().map(|delivery| (delivery.message, delivery.mailbox)).collect();
        let mut tx = ctx.read().await?;
        let mut known = message::store::existing(&mut tx, &ids).await?;
        known.extend(store::imported_again(&mut tx, &ids, about.sha256()).await?);
        drop(tx);
        let is_after = |id: MessageId, moment| body::may_be_from_after(id.uuid(), moment);
        let missing = about.deliveries().iter().filter(|delivery| {
            !known.contains(&delivery.message) && is_after(delivery.message, read_at - MAY_BE_NEW)
        });
        let told_since = read_at - body::TOLD - CLOCKS;
        let (missing, untold): (Vec<_>, Vec<_>) =
            missing.cloned().partition(|delivery| is_after(delivery.message, told_since));
        found.passed_over += untold.len() as u64;
        if missing.is_empty() {
            continue;
        }
        let range = address.range();
        let body = pack::open(&key, &address, &pack.bytes[range.start as usize..range.end as usize])?;
        for (delivery, result) in put(store, ctx, &missing, body.into(), about.internal_date()).await? {
            match result {
                Ok(_) => found.messages += 1,
                Err(error) => {
                    let (at, why) = (pack.key, kernel::error::chain(&error));
                    let Delivery { message, mailbox, .. } = delivery;
                    found.left.push(format!("{at}, {message} of {mailbox}: {why}"));
                }
            }
        }
    }
    Ok(())
}

/// Where the folder is not there, it was made after the moment that the rows are of: then it goes into the Inbox.
async fn put(
    store: &MailStore,
    ctx: &Ctx,
    deliveries: &[Delivery],
    body: Bytes,
    internal_date: DateTime<Utc>,
) -> Result<Vec<(Delivery, Result<ingest::Outcome, Error>)>, Error> {
    let again = async |deliveries: &[Delivery]| {
        let incoming = ingest::Incoming {
            bytes: body.clone(),
            internal_date,
            flags: Flags::default(),
            import_key: None,
        };
        ingest::again(store, ctx, incoming, deliveries).await
    };
    let mut results = Vec::new();
    for (delivery, result) in deliveries.iter().zip(again(deliveries).await?) {
        let result = match (result, delivery.folder) {
            (Err(Error::FolderNotFound), Some(_)) => {
                let in_inbox = Delivery { folder: None, ..delivery.clone() };
                again(&[in_inbox]).await?.pop().unwrap_or(Err(Error::ShuttingDown))
            }
            (result, _) => result,
        };
        results.push((delivery.clone(), result));
    }
    Ok(results)
}

#[expect(clippy::disallowed_methods, reason = "what lies in packs is looked for across tenants")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}
