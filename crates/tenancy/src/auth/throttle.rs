//! How often passwords may be tried.
//!
//! Failures are counted by account and network, by network, and by account. Nobody is locked out by what others do
//! elsewhere: what is counted over all networks of an account, and over all accounts of a network, slows down only who has
//! not signed in there before; and where somebody has, the pause that failures bring on stays short. Where an account is
//! guessed at from many networks, each that is new to it is given a place in a queue: whoever comes back when it has come is let
//! through, however many others try meanwhile.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{EmailAddress, TenantId, UserId};
use sha2::{Digest as _, Sha256};

use crate::password::Asker;
use crate::{Error, Origin, api_key};

/// Failures are forgotten this long after the first.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
/// How often an account may be tried in vain from one network before there are pauses, each twice the one before.
const FREE_FAILURES: i32 = 5;
/// The longest pause for a network from which the account was signed into.
const KNOWN_PAUSE: TimeDelta = TimeDelta::seconds(10);
/// How often any accounts may be tried in vain from one network in a window, and one account from any networks before they queue.
const FAILURES_AT_LARGE: i32 = 50;
/// How far apart the places of an account's queue are.
const PLACE_EVERY: TimeDelta = TimeDelta::seconds(10);
/// How long a network is known for an account after the last sign-in.
const KNOWN_FOR: TimeDelta = TimeDelta::days(90);

/// One try of a password.
#[derive(Debug)]
pub(super) struct Attempt {
    /// A digest of the person, whichever of their addresses was given, or of the address that is nobody's: who reads the table learns no address.
    account: [u8; 32],
    /// `None` for the machine's own hand, which is not throttled.
    network: Option<String>,
}

/// Failures counted in one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    failures: i32,
    window_started_at: DateTime<Utc>,
    /// Of an account, when all that was tried from networks that are new to it has been paid for, a [`PLACE_EVERY`] each.
    blocked_until: Option<DateTime<Utc>>,
}

/// What is counted of an attempt's account, network, and both.
#[derive(Debug, Default)]
pub(super) struct Counts {
    both: Option<Count>,
    account: Option<Count>,
    network: Option<Count>,
    is_known: bool,
}

/// What becomes of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Admitted,
    /// Not before then.
    Early(DateTime<Utc>),
    /// It is given a place in the account's queue, and may come back when that has come.
    Queued,
}

impl Attempt {
    /// A try for `person`, whom `username` names, or for nobody.
    pub(super) fn new(username: &str, person: Option<(TenantId, UserId)>, origin: Origin) -> Self {
        let account = match person {
            Some((tenant_id, user_id)) => format!("{tenant_id}/{user_id}"),
            None => username
                .parse::<EmailAddress>()
                .map_or_else(|_| username.trim().to_lowercase(), |address| address.to_string()),
        };
        Self {
            account: Sha256::digest(account.as_bytes()).into(),
            network: origin.network.map(Origin::prefix),
        }
    }

    /// Whose password is checked.
    pub(super) fn asker(&self) -> Option<Asker> {
        self.network.as_ref().map(|network| Asker::new(self.account, network))
    }

    /// # Errors
    /// [`Error::Throttled`] when it comes too early.
    pub(super) async fn admit(&self, db: &Db) -> Result<(), Error> {
        let Some(network) = &self.network else { return Ok(()) };
        let now = db.env().now();
        let mut tx = api_key::system(db).await?;
        let counts = store::counts(&mut tx, &self.account, network, now - KNOWN_FOR).await?;
        let at = match counts.verdict(now) {
            Verdict::Admitted => return Ok(()),
            Verdict::Early(at) => at,
            Verdict::Queued => self.queue(tx, network, now).await?,
        };
        metrics::counter!("pillarbox_sign_ins_throttled_total").increment(1);
        let secs = (at - now).num_seconds().max(0) + 1;
        Err(Error::Throttled { retry_after_secs: u32::try_from(secs).unwrap_or(u32::MAX) })
    }

    /// Gives the network a place in the account's queue; when it may come back.
    async fn queue(
        &self,
        mut tx: SystemTx,
        network: &str,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, Error> {
        if !store::claim(&mut tx, &self.account, network, now).await? {
            // Another request of this moment has been given it; this one is told of it then.
            return Ok(now);
        }
        let at = self.place(&mut tx, now).await?;
        store::block(&mut tx, &self.account, network, at).await?;
        tx.commit().await?;
        Ok(at)
    }

    /// Takes the next place of the account's queue; when it comes. It is in the past while the first tries are free.
    async fn place(&self, tx: &mut SystemTx, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
        let farthest = now + WINDOW + at_large();
        let paid_at =
            store::take_place(tx, &self.account, now, PLACE_EVERY.as_seconds_f64(), farthest).await?;
        Ok(paid_at - at_large())
    }

    /// Counts a failure.
    pub(super) async fn failed(&self, db: &Db) -> Result<(), Error> {
        let Some(network) = &self.network else { return Ok(()) };
        let now = db.env().now();
        let mut tx = api_key::system(db).await?;
        let is_known = store::is_known(&mut tx, &self.account, network, now - KNOWN_FOR).await?;
        let failures = store::count(&mut tx, &self.account, network, now, now - WINDOW).await?;
        store::count(&mut tx, &[], network, now, now - WINDOW).await?;
        let place = if is_known { None } else { Some(self.place(&mut tx, now).await?) };
        let pause = pause_after(failures, is_known).map(|pause| now + pause);
        if let Some(at) = place.filter(|at| *at > now).max(pause) {
            store::block(&mut tx, &self.account, network, at).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Remembers that the account was signed into from there, and forgets the failures.
    pub(super) async fn succeeded(&self, db: &Db) -> Result<(), Error> {
        let Some(network) = &self.network else { return Ok(()) };
        let mut tx = api_key::system(db).await?;
        store::remember(&mut tx, &self.account, network, db.env().now()).await?;
        store::forget(&mut tx, &self.account, network).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Counts {
    fn verdict(&self, now: DateTime<Utc>) -> Verdict {
        let pair = self.both.and_then(|count| count.blocked_until);
        let network = self.network.filter(|count| !self.is_known && count.failures >= FAILURES_AT_LARGE);
        let network = network.map(|count| count.window_started_at + WINDOW);
        if let Some(at) = pair.max(network).filter(|at| *at > now) {
            return Verdict::Early(at);
        }
        // Whoever was told to wait for something, and did, has waited for this too.
        let is_first = !self.is_known && pair.is_none();
        let paid_at = self.account.and_then(|count| count.blocked_until);
        let is_queue = paid_at.is_some_and(|at| at + PLACE_EVERY - at_large() > now);
        if is_first && is_queue { Verdict::Queued } else { Verdict::Admitted }
    }
}

/// What the tries take together that an account has free.
fn at_large() -> TimeDelta {
    PLACE_EVERY * FAILURES_AT_LARGE
}

/// How long to pause after so many failures.
fn pause_after(failures: i32, is_known: bool) -> Option<TimeDelta> {
    let beyond = failures.checked_sub(FREE_FAILURES).filter(|beyond| *beyond >= 0)?;
    let pause = TimeDelta::seconds(1 << beyond.min(20)).min(WINDOW);
    Some(if is_known { pause.min(KNOWN_PAUSE) } else { pause })
}

/// Forgets what no longer counts, and refresh tokens that are over.
///
/// # Errors
/// When the database fails.
pub async fn prune(db: &Db) -> Result<(), Error> {
    let now = db.env().now();
    let mut tx = api_key::system(db).await?;
    store::prune(&mut tx, now - WINDOW, now - KNOWN_FOR).await?;
    super::refresh::prune(&mut tx, now).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_short_where_the_account_is_known() {
        let pauses: Vec<_> =
            (1..=8).map(|n| pause_after(n, false).map(|pause| pause.num_seconds())).collect();
        assert_eq!(pauses, [None, None, None, None, Some(1), Some(2), Some(4), Some(8)]);
        assert_eq!(pause_after(i32::MAX, false), Some(WINDOW));
        assert_eq!(pause_after(i32::MAX, true), Some(KNOWN_PAUSE));
    }

    #[test]
    fn failures_at_large_slow_down_strangers_only() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let many = Count { failures: FAILURES_AT_LARGE, window_started_at: now, blocked_until: None };
        let stranger = Counts { network: Some(many), ..Counts::default() };
        assert_eq!(stranger.verdict(now), Verdict::Early(now + WINDOW));
        assert_eq!(stranger.verdict(now + WINDOW), Verdict::Admitted);
        let tried = Count { failures: 0, blocked_until: Some(now + at_large()), ..many };
        let stranger = Counts { account: Some(tried), ..Counts::default() };
        assert_eq!(stranger.verdict(now), Verdict::Queued);
        assert_eq!(stranger.verdict(now + PLACE_EVERY), Verdict::Admitted);
        let place = Count { failures: 0, blocked_until: Some(now), ..many };
        assert_eq!(Counts { both: Some(place), ..stranger }.verdict(now), Verdict::Admitted);
        let owner = Counts { account: Some(tried), network: Some(many), is_known: true, both: None };
        assert_eq!(owner.verdict(now), Verdict::Admitted);
    }
}
