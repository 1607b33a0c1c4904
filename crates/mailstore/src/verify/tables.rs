//! Packs, shares and bodies as the tables have them, and where packs end in the blob store.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use super::Run;
use super::finding::{Fault, Subject};
use super::read::{self, End};
use super::store::{self, PackRow, ShareRow};
use crate::Error;
use crate::sweep::store::lock_packs;

/// How many packs are looked up at a time.
const PACKS: i64 = 200;
/// How many packs' ends are being read at a time.
const ENDS: usize = 16;
/// How many rows of other kinds are looked up at a time.
const ROWS: i64 = 2_000;

/// Compares live packs with their objects, and what lies in them with its shares.
pub(super) async fn packs(run: &mut Run<'_>) -> Result<(), Error> {
    let mut after = None;
    loop {
        let packs = store::packs(&mut run.look().await?, after, PACKS).await?;
        let Some(last) = packs.last() else { break };
        after = Some(last.id);
        run.verified.packs += packs.len() as u64;
        for pack in &packs {
            sums(run, pack).await?;
        }
        let ids: Vec<Uuid> = packs.iter().map(|pack| pack.id.uuid()).collect();
        places(run, &ids).await?;
        let store = run.store;
        let mut ends = stream::iter(packs)
            .map(|pack| async move { Ok::<_, Error>((pack, read::end(store.blobs.as_ref(), &pack).await?)) })
            .buffered(ENDS)
            .boxed();
        while let Some((pack, end)) = ends.try_next().await? {
            whole(run, &pack, end).await?;
        }
    }
    shares(run).await
}

/// What a pack's row says about the shares in it.
async fn sums(run: &mut Run<'_>, pack: &PackRow) -> Result<(), Error> {
    let subject = Subject::Pack(pack.id);
    if pack.shares == 0 {
        // Not for us to let it drain: what lies in it may be in rows that were lost.
        run.report(subject, Fault::Empty, false);
    } else if pack.live_bytes > pack.entry_bytes {
        run.report(subject, Fault::Overfull, false);
    } else if pack.live_bytes < pack.entry_bytes && !pack.is_noted {
        let is_repaired = run.options.is_repairing && {
            let mut tx = run.change().await?;
            let is_noted = store::note_dead(&mut tx, pack.id, run.db.env().now()).await?;
            tx.commit().await?;
            is_noted
        };
        run.report(subject, Fault::Unnoted, is_repaired);
    }
    Ok(())
}

async fn places(run: &mut Run<'_>, packs: &[Uuid]) -> Result<(), Error> {
    for body in store::displaced(&mut run.look().await?, packs).await? {
        for (is_so, fault) in [
            (body.is_outside, Fault::Outside),
            (body.is_overlapping, Fault::Overlapping),
            (body.is_misplaced, Fault::Misplaced),
            (body.is_keyless, Fault::Keyless),
        ] {
            if is_so {
                run.report(Subject::Body(body.tenant, body.id), fault, false);
            }
        }
    }
    Ok(())
}

/// Whether a pack's object is there and ends where it has to; and, if that is wanted, whether all that lies in it is what was stored.
async fn whole(run: &mut Run<'_>, pack: &PackRow, end: End) -> Result<(), Error> {
    let fault = match end {
        End::Whole(tail) if run.options.read_bytes_per_second.is_some() => {
            return read::pack(run, pack, &tail).await;
        }
        End::Whole(_) => return Ok(()),
        End::Missing => Fault::Missing,
        End::Short => Fault::Short,
        End::Other => Fault::End,
        End::Failing(cause) => Fault::Failing(cause),
    };
    // An object is deleted only after its row has been live no more.
    if store::is_live(&mut run.look().await?, pack).await? {
        run.report(Subject::Object(read::object(pack)), fault, false);
    }
    Ok(())
}

async fn shares(run: &mut Run<'_>) -> Result<(), Error> {
    let mut after = None;
    loop {
        let rows = store::shares(&mut run.look().await?, after, ROWS).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some((last.tenant, last.pack));
        for row in rows {
            let subject = Subject::Share(row.tenant, row.pack);
            if !row.is_live {
                let is_repaired = run.options.is_repairing && revive(run, &row).await?;
                run.report(subject.clone(), Fault::Astray, is_repaired);
            }
            if row.noted != row.counted {
                let is_repaired = run.options.is_repairing && recount_share(run, &row).await?;
                let (noted, counted) = (row.noted, row.counted);
                run.report(subject, Fault::LiveBytes { noted, counted }, is_repaired);
            }
        }
    }
}

/// Has a pack that drains be live again, since the sweeper would delete it with what lies in it. One that is gone may be half deleted.
async fn revive(run: &Run<'_>, row: &ShareRow) -> Result<bool, Error> {
    let mut tx = run.change().await?;
    lock_packs(&mut tx, &[row.pack.uuid()]).await?;
    let is_done = store::revive(&mut tx, row.pack).await?;
    tx.commit().await?;
    Ok(is_done)
}

/// Under the lock of the pack, which all who change a share take before: what they have not counted yet they add or take away after us.
async fn recount_share(run: &Run<'_>, row: &ShareRow) -> Result<bool, Error> {
    let mut tx = run.change().await?;
    lock_packs(&mut tx, &[row.pack.uuid()]).await?;
    let is_done = store::recount_share(&mut tx, row.tenant, row.pack).await?;
    tx.commit().await?;
    Ok(is_done)
}

/// Compares bodies' counts of messages with the messages.
pub(super) async fn bodies(run: &mut Run<'_>) -> Result<(), Error> {
    let mut after = None;
    loop {
        let rows = store::counts(&mut run.look().await?, after, ROWS).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some((last.tenant, last.id));
        run.verified.bodies += rows.len() as u64;
        for row in rows.into_iter().filter(|row| row.noted != row.counted) {
            let is_repaired = run.options.is_repairing && {
                let mut tx = run.change().await?;
                // Who changes the count has locked the body, or does so after us.
                store::lock_body(&mut tx, row.tenant, row.id).await?;
                let is_done = store::recount_messages(&mut tx, row.tenant, row.id).await?;
                tx.commit().await?;
                is_done
            };
            let fault = Fault::Messages { noted: row.noted, counted: row.counted };
            run.report(Subject::Body(row.tenant, row.id), fault, is_repaired);
        }
    }
}
