//! SQL of failed sign-ins.

use db::{Error, SystemTx};
use sqlx::types::chrono::{DateTime, Utc};

use super::{Count, Counts};

pub(super) async fn counts(
    tx: &mut SystemTx,
    account: &[u8],
    network: &str,
    known_since: DateTime<Utc>,
) -> Result<Counts, Error> {
    let rows = sqlx::query!(
        "select account, network, failures, window_started_at, blocked_until from sign_in_failures
         where (account = $1 and network = $2) or (account = $1 and network = '') or (account = '' and network = $2)",
        account,
        network
    )
    .fetch_all(tx.conn())
    .await?;
    let mut counts =
        Counts { is_known: is_known(tx, account, network, known_since).await?, ..Counts::default() };
    for row in rows {
        let count = Count {
            failures: row.failures,
            window_started_at: row.window_started_at,
            blocked_until: row.blocked_until,
        };
        match (row.account.is_empty(), row.network.is_empty()) {
            (true, _) => counts.network = Some(count),
            (false, true) => counts.account = Some(count),
            (false, false) => counts.both = Some(count),
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

/// Keeps the place in an account's queue for a network that has none; whether it had none. Of those that come at once, each waits for the one before
/// and sees what that was given.
pub(super) async fn claim(
    tx: &mut SystemTx,
    account: &[u8],
    network: &str,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into sign_in_failures as f (account, network, failures, window_started_at, blocked_until) values ($1, $2, 0, $3, $3)
         on conflict (account, network) do update set blocked_until = $3 where f.blocked_until is null",
        account,
        network,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves the end of an account's queue on by a place, but not beyond `farthest`; where it is then.
pub(super) async fn take_place(
    tx: &mut SystemTx,
    account: &[u8],
    now: DateTime<Utc>,
    every_secs: f64,
    farthest: DateTime<Utc>,
) -> Result<DateTime<Utc>, Error> {
    let end = sqlx::query_scalar!(
        r#"insert into sign_in_failures as f (account, network, failures, window_started_at, blocked_until)
             values ($1, '', 0, $2, $2::timestamptz + make_interval(secs => $3))
           on conflict (account, network) do update set
             window_started_at = $2, blocked_until = least(greatest(f.blocked_until, $2) + make_interval(secs => $3), $4)
           returning blocked_until as "blocked_until!""#,
        account,
        now,
        every_secs,
        farthest
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(end)
}

pub(super) async fn block(
    tx: &mut SystemTx,
    account: &[u8],
    network: &str,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update sign_in_failures set blocked_until = $3 where account = $1 and network = $2",
        account,
        network,
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
        "delete from sign_in_failures where window_started_at < $1 and (blocked_until is null or blocked_until < $1)",
        failures_before
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!("delete from sign_in_networks where last_success_at < $1", networks_before)
        .execute(tx.conn())
        .await?;
    Ok(())
}
