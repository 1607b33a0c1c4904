//! How often passwords may be tried.
//!
//! Failures are counted by account and network, and by network; and tries are counted by account, of those from networks that
//! are new to it. Nobody is locked out by what others do elsewhere: what is counted over all networks of an account, and over all
//! accounts of a network, slows down only who has not signed in there before; and where somebody has, the pause that failures bring
//! on stays short. Where an account is guessed at from many networks, each that is new to it is given a place in a queue, as long as
//! that has one: whoever comes back when it has come is let through once, however many others try meanwhile.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use kernel::{EmailAddress, TenantId, UserId};
use sha2::{Digest as _, Sha256};

use crate::password::Asker;
use crate::{Error, Origin, Scope, api_key};

/// Failures are forgotten this long after the first, and a place is kept this long for who does not come. No place is farther away.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
/// How often an account may be tried in vain from one network before there are pauses, each twice the one before.
const FREE_FAILURES: i32 = 5;
/// The longest pause for a network from which the account was signed into.
const KNOWN_PAUSE: TimeDelta = TimeDelta::seconds(10);
/// How often any accounts may be tried in vain from one network in a window, and one account from networks new to it before they queue.
const AT_LARGE: i32 = 50;
/// How far apart the places of an account's queue are.
const PLACE_EVERY: TimeDelta = TimeDelta::seconds(10);
/// How long a network is known for an account after the last sign-in.
const KNOWN_FOR: TimeDelta = TimeDelta::days(90);

/// One try of a password.
#[derive(Debug)]
pub(super) struct Attempt {
    /// A digest of the person, whichever of their addresses was given, or of the address that is nobody's: who reads the table learns no address.
    account: [u8; 32],
    /// Whose tenant's; `None` of nobody.
    tenant_id: Option<TenantId>,
    /// `None` for the machine's own hand, which is not throttled.
    network: Option<Network>,
}

/// Where a try comes from.
#[derive(Debug)]
struct Network {
    /// By which it is known.
    prefix: String,
    /// By which it has a place: more than one prefix may be one customer's.
    site: String,
}

/// Failures counted in one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    failures: i32,
    window_started_at: DateTime<Utc>,
    /// When the pause ends.
    blocked_until: Option<DateTime<Utc>>,
}

/// What is counted of an attempt's account, network, and both.
#[derive(Debug, Default)]
pub(super) struct Counts {
    both: Option<Count>,
    network: Option<Count>,
    is_known: bool,
    /// When the place comes that its site has in the account's queue.
    place_at: Option<DateTime<Utc>>,
    /// The last place that was given of the account's queue. The first tries take places too, which are in the past.
    last_place_at: Option<DateTime<Utc>>,
}

/// What becomes of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Admitted,
    /// Not before then.
    Early(DateTime<Utc>),
    /// It is given a place in the account's queue, if there is one, and may come back when that has come.
    Queued,
}

impl Attempt {
    /// A try for `person`, whom `username` names, or for nobody.
    pub(super) fn new(username: &str, person: Option<(TenantId, UserId)>, origin: Origin) -> Self {
        let account = match person {
            // As the step for the schema has it that carried known networks over.
            Some((tenant_id, user_id)) => format!("{tenant_id}/{user_id}"),
            None => username
                .parse::<EmailAddress>()
                .map_or_else(|_| username.trim().to_lowercase(), |address| address.to_string()),
        };
        Self {
            account: Sha256::digest(account.as_bytes()).into(),
            tenant_id: person.map(|(tenant_id, _)| tenant_id),
            network: origin
                .network
                .map(|address| Network { prefix: Origin::prefix(address), site: Origin::site(address) }),
        }
    }

    /// Whose password is checked; `is_known` as [`Attempt::admit`] says.
    pub(super) fn asker(&self, is_known: bool) -> Option<Asker> {
        let network = self.network.as_ref()?.prefix.clone();
        let scope = self.tenant_id.map(Scope::Tenant);
        Some(Asker { account: self.account.to_vec(), scope, network, is_known })
    }

    /// Whether the account was signed into from there, if it may be tried now. Nothing is used up by that: it is before the wait for a turn to hash.
    ///
    /// # Errors
    /// [`Error::Throttled`] when it comes too early.
    pub(super) async fn admit(&self, db: &Db) -> Result<bool, Error> {
        let Some(network) = &self.network else { return Ok(true) };
        let (_, counts) = self.look(db, network, db.env().now()).await?;
        Ok(counts.is_known)
    }

    /// Begins the try, with a turn to hash in hand: uses up the place or the end of a pause by which it is admitted. Of several that
    /// come by the same one, one begins.
    ///
    /// # Errors
    /// As [`Attempt::admit`].
    pub(super) async fn begin(&self, db: &Db) -> Result<(), Error> {
        let Some(network) = &self.network else { return Ok(()) };
        let now = db.env().now();
        let (mut tx, counts) = self.look(db, network, now).await?;
        if !self.use_up(&mut tx, network, &counts, now).await? {
            return Err(throttled(now + PLACE_EVERY, now));
        }
        tx.commit().await?;
        Ok(())
    }

    /// What is counted of an attempt that need not wait.
    async fn look(
        &self,
        db: &Db,
        network: &Network,
        now: DateTime<Utc>,
    ) -> Result<(SystemTx, Counts), Error> {
        let mut tx = api_key::system(db).await?;
        let Network { prefix, site } = network;
        let counts = store::counts(&mut tx, &self.account, prefix, site, now - KNOWN_FOR).await?;
        let at = match counts.verdict(now) {
            Verdict::Admitted => return Ok((tx, counts)),
            Verdict::Early(at) => at,
            Verdict::Queued => self.queue(tx, site, now).await?,
        };
        Err(throttled(at, now))
    }

    /// Gives a site a place in the account's queue; when it may come back.
    async fn queue(&self, mut tx: SystemTx, site: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
        if !store::claim(&mut tx, &self.account, site, now, now - WINDOW).await? {
            // Another request of this moment has been given it; this one is told of it then.
            return Ok(now);
        }
        let Some(at) = self.take_place(&mut tx, now, now + WINDOW).await? else {
            // All are taken: without one, it asks again.
            return Ok(now + WINDOW);
        };
        store::put_place(&mut tx, &self.account, site, at).await?;
        tx.commit().await?;
        Ok(at)
    }

    /// Takes the next place of the account's queue; `None` when that is beyond `farthest`.
    async fn take_place(
        &self,
        tx: &mut SystemTx,
        now: DateTime<Utc>,
        farthest: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        let every_secs = PLACE_EVERY.as_seconds_f64();
        let taken = store::take_place(tx, &self.account, now, first_place(now), every_secs, farthest).await?;
        Ok(taken)
    }

    /// Whether nobody else has used up meanwhile what an admitted attempt comes by.
    async fn use_up(
        &self,
        tx: &mut SystemTx,
        network: &Network,
        counts: &Counts,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        if let Some(ended) = counts.pause(now)
            && !store::renew_pause(tx, &self.account, &network.prefix, ended, now + KNOWN_PAUSE).await?
        {
            return Ok(false);
        }
        if counts.is_known {
            return Ok(true);
        }
        match counts.place(now) {
            Some(at) => Ok(store::leave_place(tx, &self.account, &network.site, at).await?),
            None => Ok(self.take_place(tx, now, now).await?.is_some()),
        }
    }

    /// Counts a failure.
    pub(super) async fn failed(&self, db: &Db) -> Result<(), Error> {
        let Some(Network { prefix, .. }) = &self.network else { return Ok(()) };
        let now = db.env().now();
        let mut tx = api_key::system(db).await?;
        let is_known = store::is_known(&mut tx, &self.account, prefix, now - KNOWN_FOR).await?;
        let failures = store::count(&mut tx, &self.account, prefix, now, now - WINDOW).await?;
        let pause = pause_after(failures, is_known).map(|pause| now + pause);
        store::set_pause(&mut tx, &self.account, prefix, pause).await?;
        store::count(&mut tx, &[], prefix, now, now - WINDOW).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Remembers that the account was signed into from there, and forgets the failures.
    pub(super) async fn succeeded(&self, db: &Db) -> Result<(), Error> {
        let Some(Network { prefix, .. }) = &self.network else { return Ok(()) };
        let mut tx = api_key::system(db).await?;
        store::remember(&mut tx, &self.account, prefix, db.env().now()).await?;
        store::forget(&mut tx, &self.account, prefix).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Counts {
    fn verdict(&self, now: DateTime<Utc>) -> Verdict {
        let network = self.network.filter(|count| !self.is_known && count.failures >= AT_LARGE);
        let network = network.map(|count| count.window_started_at + WINDOW);
        if let Some(at) = self.pause(now).max(network).filter(|at| *at > now) {
            return Verdict::Early(at);
        }
        if self.is_known {
            return Verdict::Admitted;
        }
        match self.place(now) {
            Some(at) if at > now => Verdict::Early(at),
            Some(_) => Verdict::Admitted,
            None if self.next_place(now) <= now => Verdict::Admitted,
            None => Verdict::Queued,
        }
    }

    /// When the pause ends or has ended, if it still counts.
    fn pause(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.both.and_then(|count| count.blocked_until).filter(|at| *at > now - WINDOW)
    }

    /// The place of its site, while it is kept.
    fn place(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.place_at.filter(|at| *at > now - WINDOW)
    }

    /// The place that the next to come would be given.
    fn next_place(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let after_last = self.last_place_at.map(|at| at + PLACE_EVERY);
        after_last.map_or(first_place(now), |at| at.max(first_place(now)))
    }
}

/// The place that is given in an account's queue where nobody was: so far in the past that [`AT_LARGE`] have come.
fn first_place(now: DateTime<Utc>) -> DateTime<Utc> {
    now - PLACE_EVERY * (AT_LARGE - 1)
}

fn throttled(at: DateTime<Utc>, now: DateTime<Utc>) -> Error {
    metrics::counter!("pillarbox_sign_ins_throttled_total").increment(1);
    let secs = (at - now).num_seconds().max(0) + 1;
    Error::Throttled { retry_after_secs: u32::try_from(secs).unwrap_or(u32::MAX) }
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
    fn what_is_counted_at_large_slows_down_strangers_only() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let many = Count { failures: AT_LARGE, window_started_at: now, blocked_until: None };
        let stranger = Counts { network: Some(many), ..Counts::default() };
        assert_eq!(stranger.verdict(now), Verdict::Early(now + WINDOW));
        assert_eq!(stranger.verdict(now + WINDOW), Verdict::Admitted);
        let stranger = Counts { last_place_at: Some(now), ..Counts::default() };
        assert_eq!(stranger.verdict(now), Verdict::Queued);
        assert_eq!(stranger.verdict(now + PLACE_EVERY), Verdict::Admitted);
        let place_at = now + PLACE_EVERY;
        let waiting = Counts { place_at: Some(place_at), last_place_at: Some(now + WINDOW), ..stranger };
        assert_eq!(waiting.verdict(now), Verdict::Early(place_at));
        assert_eq!(waiting.verdict(place_at), Verdict::Admitted);
        assert_eq!(waiting.verdict(place_at + WINDOW - PLACE_EVERY), Verdict::Admitted);
        // Not kept for good: many that nobody has come for are not used all at once.
        let late = Counts { last_place_at: Some(place_at + WINDOW), ..waiting };
        assert_eq!(late.verdict(place_at + WINDOW), Verdict::Queued);
        let owner = Counts { network: Some(many), is_known: true, ..late };
        assert_eq!(owner.verdict(now), Verdict::Admitted);
    }
}
