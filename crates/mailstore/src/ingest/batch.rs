//! One batch: look who has no room, seal the others' bodies into a pack, upload it, commit.

mod named;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{BlobId, Env, FolderId, MailboxId, TenantId};
use pack::{About, Sealed, Writer};
use tenancy::quota::{self, Charge, Intake, Mailboxes, Wanted};
use tenancy::webhook_endpoint::{self, MessageDelivered};
use tenancy::{Ctx, IngestTx, OfTenants as _};

use super::door::{self, Spare};
use super::store::Writing;
use super::{Delivery, ImportKey, Message, Outcome, Part, Within, store};
use crate::body::{self, INTAKE, Kind, LONG_BYTES, Place, RESERVATION, TOLD, Uploaded, pack_key};
use crate::folder::{self, Folders};
use crate::message::Flag;
use crate::{Error, MailStore};

/// How much of its pack's reservation an upload and its commit have at least.
const UPLOAD: TimeDelta = TimeDelta::hours(1);

/// How parts go in together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Those of whoever shares packs; each for itself.
    Shared,
    /// One tenant's that shares none, to what else is theirs; each for itself.
    Dedicated,
    /// One tenant's, to what else is theirs; each for itself.
    Own,
    /// One tenant's, to what else is theirs; all or none.
    Whole,
}

impl Way {
    fn is_own(self) -> bool {
        self != Self::Shared
    }

    /// The pack that they go into, where the first is this tenant's.
    fn kind(self, tenant: TenantId) -> Kind {
        match self {
            Self::Shared => Kind::Shared,
            Self::Dedicated => Kind::Unsorted(tenant),
            Self::Own | Self::Whole => Kind::Own(tenant),
        }
    }

    /// The pack that is reserved for those who come next.
    fn next_kind(self, tenant: TenantId) -> Kind {
        match self {
            Self::Dedicated => Kind::Unsorted(tenant),
            Self::Shared | Self::Own | Self::Whole => Kind::Shared,
        }
    }

    /// Begins a transaction. Of parts that do not wait for the turn of those who share packs many may wait for a mailbox, without keeping the batches of
    /// these from a connection.
    async fn begin(self, mail: &MailStore, batch: &[&mut Pending]) -> Result<IngestTx, db::Error> {
        match self {
            Self::Shared => IngestTx::begin_batch(&mail.db, entered(batch)).await,
            Self::Dedicated | Self::Own | Self::Whole => IngestTx::begin(&mail.db, entered(batch)).await,
        }
    }
}

/// Takes the parts in and answers each.
pub(super) async fn run(mail: &MailStore, parts: Vec<Part>, way: Way) {
    // Whoever waits for all of them has gone.
    if way == Way::Whole && parts.iter().any(|part| part.reply.is_closed()) {
        return;
    }
    // Nobody waits any more for those whose session has ended.
    let mut batch: Vec<Pending> = parts
        .into_iter()
        .filter(|part| !part.reply.is_closed())
        .map(|part| Pending::new(mail, part))
        .collect();
    let done = take_in(mail, &mut batch, way).await;
    let failed = done.err().unwrap_or(Error::ShuttingDown);
    for pending in batch {
        if pending.goes_again {
            let Pending { mut part, .. } = pending;
            // Whether it may lie beside others is looked at with the room.
            part.deliveries.iter_mut().for_each(|delivery| delivery.room_bytes = None);
            door::enter(mail, part);
            continue;
        }
        let results = pending.results.into_iter().map(|result| result.unwrap_or(Err(failed.clone())));
        // Nobody may wait any more.
        let _ = pending.part.reply.send(results.collect());
    }
}

/// A part and what has been decided of it.
struct Pending {
    part: Part,
    blob: BlobId,
    /// One for each delivery.
    results: Vec<Option<Result<Outcome, Error>>>,
    place: Option<Place>,
    /// It waits anew: whether it may lie beside others is not as it was when it came.
    goes_again: bool,
}

impl Pending {
    fn new(mail: &MailStore, part: Part) -> Self {
        let results = part.deliveries.iter().map(|_| None).collect();
        Self { blob: mail.db.env().new_id(), results, place: None, goes_again: false, part }
    }

    fn tenant_id(&self) -> TenantId {
        self.part.key.tenant()
    }

    fn message(&self) -> &Message {
        &self.part.message
    }

    fn is_open(&self) -> bool {
        !self.goes_again && self.results.iter().any(Option::is_none)
    }

    /// The deliveries without a result, each with its number.
    fn open(&self) -> impl Iterator<Item = (usize, &Delivery)> {
        let open = self.part.deliveries.iter().enumerate();
        open.filter(|(at, _)| self.results[*at].is_none())
    }

    fn refuse(&mut self, error: &Error) {
        self.results.iter_mut().filter(|result| result.is_none()).for_each(|result| {
            *result = Some(Err(error.clone()));
        });
    }
}

/// Whoever has entered the tenants of the parts; each may come several times.
fn entered<'a>(batch: &'a [&mut Pending]) -> impl Iterator<Item = &'a Ctx> + Clone {
    batch.iter().flat_map(|pending| pending.part.deliveries.iter().map(|delivery| &delivery.ctx))
}

/// Where all or none go in, an error of one is that of all.
fn agree(batch: &mut [&mut Pending], way: Way) {
    let refused =
        |pending: &&mut Pending| pending.results.iter().flatten().find_map(|result| result.clone().err());
    if way == Way::Whole
        && let Some(error) = batch.iter().find_map(refused)
    {
        batch.iter_mut().for_each(|pending| pending.refuse(&error));
    }
}

/// An error is the result of every delivery that has none of its own.
async fn take_in(mail: &MailStore, batch: &mut [Pending], way: Way) -> Result<(), Error> {
    let mut open: Vec<&mut Pending> = batch.iter_mut().collect();
    let Some(writer) = look(mail, &mut open, way).await? else { return Ok(()) };
    open.retain(|pending| pending.is_open());
    let Some(owner) = open.first().map(|pending| pending.tenant_id()) else { return Ok(()) };
    let sealed = seal(writer, &mut open, way).await?;
    let key = pack_key(owner, way.is_own(), sealed.id());
    let places = open.iter().filter_map(|pending| pending.place);
    let entry_bytes = places.map(|place| u64::from(place.address.length())).sum();
    let pack = Uploaded { id: sealed.id(), entry_bytes };
    if let Err(error) = mail.blobs.put(&key, sealed.bytes().clone()).await {
        // It may have landed, or land yet.
        body::forget(mail, &key).await;
        return Err(error.into());
    }
    for place in open.iter().filter_map(|pending| pending.place) {
        // The index reads it next, and whoever it is for.
        mail.parts.keep(&key, place.address.range(), sealed.bytes()).await;
    }
    // Who has gone meanwhile was told nothing, and will send it again: it is not to be there twice.
    let all = open.len();
    open.retain(|pending| !pending.part.reply.is_closed());
    if way == Way::Whole && open.len() < all {
        open.clear();
    }
    let committed = match commit(mail, &pack, &mut open, way).await {
        // One that cannot be stored fails alone.
        Err(Error::Db(cause)) if way != Way::Whole && open.len() > 1 && cause.is_of_the_statement() => {
            one_by_one(mail, &pack, &mut open, way).await
        }
        committed => committed,
    };
    if matches!(committed, Ok(Upload::NotShared)) {
        open.iter_mut().for_each(|pending| pending.goes_again = true);
    }
    if is_in_vain(&committed) {
        body::forget(mail, &key).await;
    }
    committed.map(|_| ())
}

/// Whether it is sure that no message refers to the pack.
fn is_in_vain(committed: &Result<Upload, Error>) -> bool {
    match committed {
        Ok(upload) => *upload != Upload::Kept,
        Err(error) => body::is_undone(error),
    }
}

async fn one_by_one(
    mail: &MailStore,
    pack: &Uploaded,
    open: &mut [&mut Pending],
    way: Way,
) -> Result<Upload, Error> {
    let mut upload = Upload::InVain;
    let mut is_away = None;
    for pending in open {
        if pending.part.reply.is_closed() {
            continue;
        }
        if let Some(error) = &is_away {
            pending.refuse(error);
            continue;
        }
        match commit(mail, pack, std::slice::from_mut(pending), way).await {
            Ok(Upload::InVain) => {}
            Ok(Upload::NotShared) => pending.goes_again = true,
            Ok(Upload::Kept) => upload = Upload::Kept,
            Err(error) => {
                pending.refuse(&error);
                if let Error::Db(cause) = &error
                    && !cause.is_of_the_statement()
                {
                    // It may have been committed.
                    upload = Upload::Kept;
                    is_away = Some(error);
                }
            }
        }
    }
    Ok(upload)
}

/// What a finished [`commit`] made of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// A message refers to it, or may.
    Kept,
    /// No delivery came to need it.
    InVain,
    /// Many would share it, and one of them may not any more: nothing was written.
    NotShared,
}

/// Settles what is bound to come to nothing: it saves the upload. The quota's decision falls in [`commit`]. Who may not lie beside the others
/// any more, though it was so when they came, is left for another batch. An empty pack, reserved, for the rest; `None` if there is none.
async fn look(mail: &MailStore, batch: &mut [&mut Pending], way: Way) -> Result<Option<Writer>, Error> {
    let mut rooms = look_for_room(mail, batch).await?.into_iter();
    let mut named = named::look_for_named(mail, batch, way).await?;
    for pending in batch.iter_mut() {
        let key = pending.part.message.import_key;
        let mut is_dedicated = false;
        for (result, delivery) in pending.results.iter_mut().zip(&mut pending.part.deliveries) {
            let room = match delivery.has_room_for(pending.part.message.size_bytes) {
                // Where it may lie is as it was then.
                true => Some(quota::Room { fits: true, storage_dedicated: pending.part.is_dedicated }),
                false => rooms.next().flatten(),
            };
            is_dedicated |= room.is_some_and(|room| room.storage_dedicated);
            let is_there = |folder: FolderId| named.folders.contains(&folder);
            *result = match room {
                None => Some(Err(Error::MailboxGone)),
                Some(_) if !delivery.folder.named().is_none_or(is_there) => Some(Err(Error::FolderNotFound)),
                // What is there already needs no room.
                Some(_) if key.is_some_and(|key| named.imported.contains(&(delivery.mailbox_id, key))) => {
                    Some(Ok(Outcome::AlreadyImported))
                }
                Some(quota::Room { fits: false, .. }) => Some(Err(Error::OverQuota)),
                Some(quota::Room { fits: true, .. }) => None,
            };
            // What the pack says of it is to be so: of several in a batch, the first has the name. Of another batch's that comes between this look and the
            // commit a pack may have the same: `store::name` decides then, and again when a recovery takes both packs in (`crate::found`).
            if result.is_none()
                && let Some(uidl) = &delivery.was.uidl
                && !named.uidls.insert((delivery.mailbox_id, uidl.as_str().to_owned()))
            {
                delivery.was.uidl = None;
            }
        }
        if is_dedicated && way == Way::Shared {
            pending.part.is_dedicated = true;
            pending.goes_again = true;
        }
    }
    agree(batch, way);
    let Some(tenant) = batch.iter().find(|pending| pending.is_open()).map(|pending| pending.tenant_id())
    else {
        return Ok(None);
    };
    Ok(Some(reserved(mail, batch, tenant, way).await?))
}

/// Whether there is room for each delivery that is not known to have it, in their order.
async fn look_for_room(mail: &MailStore, batch: &[&mut Pending]) -> Result<Vec<Option<quota::Room>>, Error> {
    let wanted = batch.iter().flat_map(|pending| {
        let size_bytes = pending.message().size_bytes;
        let unknown = pending.open().filter(move |(_, delivery)| !delivery.has_room_for(size_bytes));
        unknown.map(move |(_, delivery)| (&delivery.ctx, delivery.mailbox_id, size_bytes))
    });
    let wanted: Vec<_> = wanted.collect();
    if wanted.is_empty() { Ok(Vec::new()) } else { Ok(quota::have_room(&mail.db, &wanted).await?) }
}

/// An empty pack: the one that a batch before has reserved for such as these, or else one that is reserved now.
async fn reserved(
    mail: &MailStore,
    batch: &[&mut Pending],
    tenant: TenantId,
    way: Way,
) -> Result<Writer, Error> {
    let (now, kind) = (mail.db.env().now(), way.kind(tenant));
    if let Some(spare) = mail.door.take_spare(kind)
        && spare.until - now >= UPLOAD
    {
        return Ok(spare.writer);
    }
    let writer = Writer::new(mail.db.env());
    let mut tx = way.begin(mail, batch).await?;
    body::store::reserve(tx.conn(), writer.id(), kind, now, now + RESERVATION).await?;
    tx.commit().await?;
    Ok(writer)
}

fn import_keys(batch: &[&mut Pending]) -> Vec<(TenantId, MailboxId, ImportKey)> {
    let keys = batch.iter().flat_map(|pending| {
        let key = pending.message().import_key;
        pending
            .open()
            .filter_map(move |(_, delivery)| Some((delivery.ctx.tenant_id(), delivery.mailbox_id, key?)))
    });
    keys.collect()
}

/// Each part has its place afterwards. What a pack has no room for, which no batch comes near, is told so.
async fn seal(mut writer: Writer, batch: &mut [&mut Pending], way: Way) -> Result<Sealed, Error> {
    let entry = |pending: &&mut Pending| {
        let message = pending.part.message.clone();
        let delivery = |(_, delivery): (usize, &Delivery)| pack::Delivery {
            message: delivery.id,
            uidl: delivery.uidl(),
            mailbox: delivery.mailbox_id,
            // Recovery puts what is junk into the Inbox: which folder that will be is not known before the commit.
            folder: delivery.folder.named(),
        };
        let about = About::new(message.sha256, message.internal_date, pending.open().map(delivery).collect());
        (pending.part.key.clone(), message, about)
    };
    let entries: Vec<_> = batch.iter().map(entry).collect();
    let is_long =
        batch.iter().map(|pending| pending.message().body.stored_bytes()).sum::<usize>() >= LONG_BYTES;
    let work = move || {
        let addresses: Vec<_> = entries
            .into_iter()
            .map(|(key, message, about)| writer.add(&key, &message.body, about?).ok())
            .collect();
        (writer.seal(), addresses)
    };
    // Encrypting some MiB would hold up every other session of an async thread.
    let (sealed, addresses) = match is_long {
        true => tokio::task::spawn_blocking(work).await.map_err(|_| Error::ShuttingDown)?,
        false => work(),
    };
    for (pending, address) in batch.iter_mut().zip(addresses) {
        let size_bytes = pending.message().size_bytes;
        match address {
            Some(address) => pending.place = Some(Place { address, is_own: way.is_own() }),
            None => pending.refuse(&Error::TooLarge { size_bytes, limit_bytes: pack::MAX_PACK_BYTES }),
        }
    }
    agree(batch, way);
    Ok(sealed)
}

/// A delivery that has been charged for.
struct Charged {
    /// The part's and its own number.
    at: (usize, usize),
    modseq: i64,
}

/// A delivery that has been charged for, and has its UID.
struct Placed {
    /// The part's and its own number.
    at: (usize, usize),
    row: store::NewMessage,
}

/// A delivery, by its part's and its own number, that came to something else.
type Settled = ((usize, usize), Result<Outcome, Error>);

/// Quota, UIDs, rows and the pack's state, in one transaction. Results count once it has ended: until then an error is everybody's.
async fn commit(
    mail: &MailStore,
    pack: &Uploaded,
    batch: &mut [&mut Pending],
    way: Way,
) -> Result<Upload, Error> {
    let Some(tenant) = batch.first().map(|pending| pending.tenant_id()) else { return Ok(Upload::InVain) };
    let env = mail.db.env();
    let mut tx = way.begin(mail, batch).await?;
    let (mut wanted, mut places) = (BTreeMap::<_, Wanted>::new(), BTreeSet::new());
    for pending in &*batch {
        for (_, delivery) in pending.open() {
            let wanted = wanted.entry((delivery.ctx.tenant_id(), delivery.mailbox_id)).or_default();
            wanted.bytes += pending.message().size_bytes;
            wanted.messages += 1;
            places.insert((delivery.mailbox_id, delivery.folder));
        }
    }
    let mailboxes = Mailboxes::lock(&mut tx, &wanted).await?;
    let mut folders = folder::lock_for_intake(&mut tx, env, mailboxes.ids(), &places).await?;
    let imported = store::imported(&mut tx, &import_keys(batch)).await?;
    let mut intake = mailboxes.with_pools(&mut tx).await?;

    // Nothing is waited for any more.
    let (mut charged, settled) = charge(batch, &folders, &mut intake, imported, env.now());
    if way == Way::Whole && !settled.is_empty() {
        charged.clear();
    }
    let upload = if charged.is_empty() { Upload::InVain } else { Upload::Kept };
    let mut placed = Vec::new();
    if charged.is_empty() {
        // Without a commit the reservation is left to the sweeper.
        drop((intake, tx));
    } else {
        placed = place(&mut tx, env, batch, &mut folders, &charged).await?;
        let next = way.next_kind(tenant);
        let next = (!mail.door.has_spare(next)).then(|| Spare::new(env, next));
        let rows: Vec<_> = placed.iter().map(|placed| (&placed.row, batch[placed.at.0].message())).collect();
        let bodies = bodies(batch, &placed);
        let arrived = folders.grown();
        let written =
            store::Written { pack, bodies: &bodies, rows: &rows, arrived: &arrived, next: next.as_ref() };
        match store::write(&mut tx, &written, env.now()).await? {
            Writing::Done => {}
            Writing::ReservationLost => return Err(Error::ReservationLost),
            Writing::NotShared => return Ok(Upload::NotShared),
        }
        store::insert_import_keys(&mut tx, &rows).await?;
        if intake.is_told() {
            webhook_endpoint::queue_messages(&mut tx, env, &delivered(batch, &placed)).await?;
        }
        intake.write(&mut tx).await?;
        let committed = tx.commit().await;
        // Also where it is not known whether it was made.
        mail.hub.changed(placed.iter().map(|placed| placed.row.mailbox_id));
        committed?;
        next.into_iter().for_each(|spare| mail.door.put_spare(spare));
    }
    let told = told(batch, &placed, env.now());
    for ((part, at), result) in settled.into_iter().chain(told) {
        batch[part].results[at] = Some(result);
    }
    agree(batch, way);
    Ok(upload)
}

/// Decides delivery after delivery, in their order, which are taken.
fn charge<'a>(
    batch: &'a [&mut Pending],
    folders: &Folders,
    intake: &mut Intake<'a>,
    mut imported: BTreeSet<(MailboxId, ImportKey)>,
    now: DateTime<Utc>,
) -> (Vec<Charged>, Vec<Settled>) {
    let (mut charged, mut settled) = (Vec::new(), Vec::new());
    for (part, pending) in batch.iter().enumerate() {
        let message = pending.message();
        for (number, delivery) in pending.open() {
            let (at, mailbox_id) = ((part, number), delivery.mailbox_id);
            let key = message.import_key.map(|key| (mailbox_id, key));
            if key.is_some_and(|key| imported.contains(&key)) {
                settled.push((at, Ok(Outcome::AlreadyImported)));
                continue;
            }
            if delivery.is_late(now, INTAKE) {
                settled.push((at, Err(Error::ReservationLost)));
                continue;
            }
            if !intake.has(mailbox_id) {
                settled.push((at, Err(Error::MailboxGone)));
                continue;
            }
            if !folders.has(mailbox_id, delivery.folder) {
                settled.push((at, Err(Error::FolderNotFound)));
                continue;
            }
            let charge = if delivery.is_accepted { Intake::charge_in_any_case } else { Intake::charge };
            match charge(intake, &delivery.ctx, mailbox_id, message.size_bytes) {
                Charge::Taken { modseq } => {
                    imported.extend(key);
                    charged.push(Charged { at, modseq });
                }
                Charge::OverQuota => settled.push((at, Err(Error::OverQuota))),
                Charge::Gone => settled.push((at, Err(Error::MailboxGone))),
            }
        }
    }
    (charged, settled)
}

/// Gives what is taken its UIDs, in the order in which it was charged for. Only what is taken has a Junk folder made for it.
async fn place(
    tx: &mut IngestTx,
    env: &Env,
    batch: &[&mut Pending],
    folders: &mut Folders,
    charged: &[Charged],
) -> Result<Vec<Placed>, Error> {
    let delivery = |at: (usize, usize)| &batch[at.0].part.deliveries[at.1];
    let to_junk = charged.iter().map(|charged| delivery(charged.at));
    let to_junk = to_junk.filter(|delivery| delivery.folder == Within::Junk);
    let to_junk = to_junk.map(|delivery| (delivery.ctx.tenant_id(), delivery.mailbox_id)).collect();
    folders.make_junk(tx, env, to_junk).await?;
    let place = |&Charged { at, modseq }: &Charged| {
        let (pending, delivery) = (&batch[at.0], delivery(at));
        let message = pending.message();
        // It is locked, or was made just now.
        let folder = folders.find(delivery.mailbox_id, delivery.folder).ok_or(Error::FolderNotFound)?;
        let is_seen = message.flags.flags.contains(&Flag::Seen);
        let uid = folder.take_uid(delivery.was.listed, message.size_bytes, is_seen, modseq);
        let uidl = delivery.uidl();
        Ok(Placed { at, row: store::NewMessage::new(delivery, folder.id(), uid, uidl, modseq, pending.blob) })
    };
    let mut placed = charged.iter().map(place).collect::<Result<Vec<Placed>, Error>>()?;
    let is_known = |at: (usize, usize)| delivery(at).was.uidl.is_some();
    let mut named: Vec<_> =
        placed.iter_mut().filter(|placed| is_known(placed.at)).map(|placed| &mut placed.row).collect();
    store::name(tx, &mut named).await?;
    Ok(placed)
}

/// What whoever sent it is told of what is there. So late that a recovery would pass it over, it counts for nothing that is known to be there.
fn told(batch: &[&mut Pending], placed: &[Placed], now: DateTime<Utc>) -> Vec<Settled> {
    let result = |Placed { at, row }: &Placed| match batch[at.0].part.deliveries[at.1].is_late(now, TOLD) {
        true => (*at, Err(Error::ReservationLost)),
        false => (*at, Ok(Outcome::Stored(row.id))),
    };
    placed.iter().map(result).collect()
}

/// What webhooks are told of.
fn delivered(batch: &[&mut Pending], placed: &[Placed]) -> Vec<MessageDelivered> {
    let is_told = |placed: &&Placed| batch[placed.at.0].part.deliveries[placed.at.1].is_told;
    let told = placed.iter().filter(is_told).map(|Placed { at, row }| {
        let message = batch[at.0].message();
        MessageDelivered {
            tenant_id: row.tenant_id,
            mailbox_id: row.mailbox_id,
            folder_id: row.folder,
            message_id: row.id,
            received_at: message.internal_date,
            size_bytes: message.size_bytes,
        }
    });
    told.collect()
}

/// The bodies that messages were placed for.
fn bodies<'a>(batch: &'a [&mut Pending], placed: &[Placed]) -> Vec<store::NewBody<'a>> {
    let mut counts: BTreeMap<usize, i32> = BTreeMap::new();
    for placed in placed {
        *counts.entry(placed.at.0).or_default() += 1;
    }
    let body = |(part, message_count): (usize, i32)| {
        let pending = &batch[part];
        let (tenant_id, message) = (pending.tenant_id(), pending.message());
        let place = pending.place?.columns();
        Some(store::NewBody { tenant_id, id: pending.blob, message, message_count, place })
    };
    counts.into_iter().filter_map(body).collect()
}
