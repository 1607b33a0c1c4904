//! Whether what the tables say and what lies in the blob store come out even.
//!
//! Nothing is held: servers take in, sweep, compact and destroy meanwhile, and what only seems wrong for that is no finding. It rests on
//! the order in which all of them write. A row is there before its object and goes after it, a pack's row only ever goes on
//! from one state to the next, and what has been left by its last body stays for [`crate::sweep::GRACE`]. So an object that is looked for
//! between two looks at a row that is the same in both is there or is lost; and what is compared within the database is compared within
//! one statement. Whatever the number of objects, a page of them is in memory.
//!
//! No object is ever deleted here, and no row. A database that was put back from a backup knows nothing of newer packs, and they hold
//! mail that was acknowledged: what no row names is said, with what it says of itself. Counters are counted again where that leaves
//! something to be counted, since whatever falls to nothing is deleted by the sweeper.

mod bucket;
mod finding;
mod keys;
mod read;
mod store;
mod tables;

use db::{Db, SystemRead, SystemTx};

pub use crate::Error;
use crate::{MailStore, check};
pub use finding::{Contents, Fault, Finding, Section, Subject};

/// How to go about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Reads every body back and compares its hash, at most so many bytes a second; without it, only where packs end.
    pub read_bytes_per_second: Option<u64>,
    /// Puts right what can be without deleting anything.
    pub is_repairing: bool,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Objects in the blob store, and what else lies there.
    pub objects: u64,
    /// Objects without a row that are too young to tell: they may be being uploaded.
    pub young: u64,
    /// Live packs.
    pub packs: u64,
    /// Bodies.
    pub bodies: u64,
    /// Tenants' keys.
    pub keys: u64,
    /// Bodies that were read back.
    pub read: u64,
    /// What was found, repaired or not.
    pub findings: u64,
    /// What was repaired of it.
    pub repaired: u64,
}

/// Compares the tables with the blob store, and tells each finding as it comes.
///
/// # Errors
/// When the database, the blob store or the holder of the key-encryption keys does not answer.
pub async fn run(
    store: &MailStore,
    db: &Db,
    options: Options,
    mut found: impl FnMut(&Finding),
) -> Result<Verified, Error> {
    let mut run = Run { store, db, options, verified: Verified::default(), found: &mut found };
    bucket::walk(&mut run).await?;
    keys::walk(&mut run).await?;
    tables::packs(&mut run).await?;
    tables::bodies(&mut run).await?;
    let drift = check::of_places(db).await?;
    for (kind, rows) in
        [("mailboxes", drift.mailboxes), ("folders", drift.folders), ("tenants and resellers", drift.levels)]
    {
        if rows > 0 {
            run.report(Subject::Counters(kind), Fault::Drift(rows), false);
        }
    }
    Ok(run.verified)
}

/// One that is under way.
struct Run<'a> {
    store: &'a MailStore,
    db: &'a Db,
    options: Options,
    verified: Verified,
    found: &'a mut dyn FnMut(&Finding),
}

impl Run<'_> {
    fn report(&mut self, subject: Subject, fault: Fault, is_repaired: bool) {
        self.verified.findings += 1;
        self.verified.repaired += u64::from(is_repaired);
        (self.found)(&Finding { subject, fault, is_repaired });
    }

    #[expect(clippy::disallowed_methods, reason = "packs are nobody's own, and every tenant's are looked at")]
    async fn look(&self) -> Result<SystemRead, Error> {
        Ok(SystemRead::open(self.db).await?)
    }

    #[expect(clippy::disallowed_methods, reason = "packs are nobody's own, and every tenant's are repaired")]
    async fn change(&self) -> Result<SystemTx, Error> {
        Ok(SystemTx::begin(self.db).await?)
    }
}

/// What a store that may not have it gave.
fn present<T>(got: Result<T, blob::Error>) -> Result<Option<T>, Error> {
    match got {
        Ok(got) => Ok(Some(got)),
        Err(blob::Error::NotFound | blob::Error::RangeNotSatisfiable) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
