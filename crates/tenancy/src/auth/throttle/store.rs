//! SQL of failed sign-ins.

use db::{Error, SystemTx};
use sqlx::types::chrono::{DateTime, Utc};

use super::{Count, Counts};

pub(super) async fn counts(
    tx: &mut SystemTx,
    account: &[u8],
    prefix: &str,
    site: &str,
    known_since: DateTime<Utc>,
) -> Result<Counts, Error> {
    let rows = sqlx::query!(
        "select account, network, failures, window_started_at, blocked_until, place_at from sign_in_failures
         where (account = $1 and network in ($2, $3, '')) or (account = '' and network = $2)",
        account,
        prefix,
        site
    )
    .fetch_all(tx.conn())
    .await?;
    let mut counts =
        Counts { is_known: is_known(tx, account, prefix, known_since).await?, ..Counts::default() };
    for row in rows {
        let count = Count {
            failures: row.failures,
            window_started_at: row.window_started_at,
            blocked_until: row.blocked_until,
        };
        if row.account.is_empty() {
            counts.network = Some(count);
        } else if row.network.is_empty() {
            counts.last_place_at = row.place_at;
        } else {
            // Of IPv4 both are one.
            if row.network == site {
                counts.place_at = row.place_at;
            }
            if row.network == prefix {
                counts.both = Some(count);
            }
        }
    }
    Ok(counts)
}

pub(super) async fn is_known(
    tx: &mut SystemTx,
    account: &[u8],
    network: &str,
    since: DateTime<Utc>,
) -> Result<bool, Error> {
    let known = sqlx::query_scalar!(
        r#"select exists (select from sign_in_networks where account = $1 and network = $2 and last_success_at >= $3) as "known!""#,
        account,
        network,
        since
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(known)
}

/// Counts one failure more; how many there are in the window, which begins anew when it is over.
pub(super) async fn count(
    tx: &mut SystemTx,
    account: &[u8],
    network: &str,
    now: DateTime<Utc>,
    window_began: DateTime<Utc>,
) -> Result<i32, Error> {
    let failures = sqlx::query_scalar!(
        "insert into sign_in_failures as f (account, network, failures, window_started_at) values ($1, $2, 1, $3)
         on conflict (account, network) do update set
           failures = case when f.window_started_at < $4 then 1 else f.failures + 1 end,
           window_started_at = case when f.window_started_at < $4 then $3 else f.window_started_at end
         returning failures",
        account,
        network,
        now,
        window_began
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(failures)
}

/// Keeps the place in an account's queue for a site that has none, or one that is over; whether it had none. Of those that come at
/// once, each waits for the one before and sees what that was given.
pub(super) async fn claim(
    tx: &mut SystemTx,
    account: &[u8],
    site: &str,
    now: DateTime<Utc>,
    over_since: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into sign_in_failures as f (account, network, failures, window_started_at, place_at) values ($1, $2, 0, $3, $3)
         on conflict (account, network) do update set place_at = $3 where f.place_at is null or f.place_at <= $4",
        account,
        site,
        now,
        over_since
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes the place of an account's queue that follows the last, or `first` if that is later, unless it is beyond `farthest`. The window is left alone: it is
/// that of what else is counted of the account.
pub(super) async fn take_place(
    tx: &mut SystemTx,
    account: &[u8],
    now: DateTime<Utc>,
    first: DateTime<Utc>,
    every_secs: f64,
    farthest: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let place = sqlx::query_scalar!(
        r#"insert into sign_in_failures as f (account, network, failures, window_started_at, place_at) values ($1, '', 0, $2, $3)
           on conflict (account, network) do update set place_at = greatest(f.place_at + make_interval(secs => $4), $3)
             where greatest(f.place_at + make_interval(secs => $4), $3) <= $5
           returning place_at as "place_at!""#,
        account,
        now,
        first,
        every_secs,
        farthest
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(place)
}

pub(super) async fn put_place(
    tx: &mut SystemTx,
    account: &[u8],
    site: &str,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update sign_in_failures set place_at = $3 where account = $1 and network = $2",
        account,
        site,
        at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives a place up; false when it is not there any more.
pub(super) async fn leave_place(
    tx: &mut SystemTx,
    account: &[u8],
    site: &str,
    at: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update sign_in_failures set place_at = null where account = $1 and network = $2 and place_at = $3",
        account,
        site,
        at
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Begins a pause in place of one that has ended; false when another request has.
pub(super) async fn renew_pause(
    tx: &mut SystemTx,
    account: &[u8],
    prefix: &str,
    ended: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update sign_in_failures set blocked_until = $4 where account = $1 and network = $2 and blocked_until = $3",
        account,
        prefix,
        ended,
        until
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn set_pause(
    tx: &mut SystemTx,
    account: &[u8],
    prefix: &str,
    until: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    sqlx::query!(
        "update sign_in_failures set blocked_until = $3 where account = $1 and network = $2",
        account,
        prefix,
        until
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn remember(
    tx: &mut SystemTx,
    account: &[u8],
    network: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    // A client that signs in every minute need not write every minute.
    sqlx::query!(
        "insert into sign_in_networks as n (account, network, last_success_at) values ($1, $2, $3)
         on conflict (account, network) do update set last_success_at = $3 where n.last_success_at < $3 - interval '1 day'",
        account,
        network,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn forget(tx: &mut SystemTx, account: &[u8], network: &str) -> Result<(), Error> {
    sqlx::query!("delete from sign_in_failures where account = $1 and network = $2", account, network)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn prune(
    tx: &mut SystemTx,
    failures_before: DateTime<Utc>,
    networks_before: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "delete from sign_in_failures
         where window_started_at < $1 and (blocked_until is null or blocked_until < $1) and (place_at is null or place_at < $1)",
        failures_before
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!("delete from sign_in_networks where last_success_at < $1", networks_before)
        .execute(tx.conn())
        .await?;
    Ok(())
}
