//! Sessions of Postgres, which are taken and come back: some hold a role for good and only read, in others transactions are made.
//!
//! Not a pool of sqlx's: that asks a connection for a sign of life each time that it comes back, a message more for each use, for
//! which Postgres and the server wake each other. It hands connections out in turn, where a backend that has just done the same is quicker at it;
//! and it does not know which tenant a session is bound to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use futures::FutureExt as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::{Db, Error};

/// How long one that nobody wants is kept.
const LONGEST_IDLE: Duration = Duration::from_secs(600);
/// How long one is used: a backend of Postgres grows with what it has seen.
const LONGEST_LIFE: Duration = Duration::from_secs(1_800);

/// How long to wait before Postgres is asked again, if it is starting or has too many connections.
const RETRY: Duration = Duration::from_millis(100);

/// All of one kind. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Shared>);

/// Without the options, among which is a password.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

struct Shared {
    options: PgConnectOptions,
    /// What each is told once, if anything.
    beginning: Option<&'static str>,
    most: u32,
    /// One for each that may be open. Whoever has a turn has a session, or finds an idle one, or may open one; it is over when the
    /// session is idle or gone.
    turns: Arc<Semaphore>,
    /// Whichever came last is at the end.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    opened: Opened,
    since: Instant,
}

#[derive(Debug)]
struct Opened {
    connection: PgConnection,
    /// `None`: nobody knows to whom, or to nobody.
    bound_to: Option<Uuid>,
    at: Instant,
}

impl Sessions {
    /// So many at most. They are opened when they are wanted: before the first migration there are no roles for `beginning` to take.
    pub(crate) fn new(options: PgConnectOptions, most: u32, beginning: Option<&'static str>) -> Self {
        let turns = Arc::new(Semaphore::new(most as usize));
        Self(Arc::new(Shared { options, beginning, most, turns, idle: Mutex::default() }))
    }

    /// One that is bound to a tenant; for `None`, to nobody knows whom.
    pub(crate) async fn take(&self, tenant_id: Option<Uuid>) -> Result<Session, Error> {
        let taking = tokio::time::timeout(Db::ACQUIRE_TIMEOUT, self.take_in_turn(tenant_id));
        taking.await.unwrap_or_else(|_| Err(Error::timed_out()))
    }

    async fn take_in_turn(&self, tenant_id: Option<Uuid>) -> Result<Session, Error> {
        let turn = self.0.turns.clone().acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let (turn, sessions) = (Some(turn), self.clone());
        let mut session = Session { opened: None, turn, sessions, in_transaction: false };
        while let Some(Idle { opened, since }) = self.pick(tenant_id) {
            let is_ready = opened.bound_to == tenant_id && since.elapsed() < Db::FRESH;
            let opened = session.opened.insert(opened);
            if is_ready || opened.bind(tenant_id).await.is_ok() {
                return Ok(session);
            }
            // Postgres may have been started anew.
            session.opened = None;
        }
        // A box: what a new connection needs has 4 KiB, and would be part of every future that may come to read something.
        let opened = session.opened.insert(Box::pin(self.open()).await?);
        if tenant_id.is_some() {
            opened.bind(tenant_id).await?;
        }
        Ok(session)
    }

    async fn open(&self) -> Result<Opened, Error> {
        let mut connection = self.connect().await?;
        if let Some(beginning) = self.0.beginning {
            connection.execute(beginning).await?;
        }
        Ok(Opened { connection, bound_to: None, at: Instant::now() })
    }

    /// A connection besides them. Waits for a Postgres that is being started.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Error> {
        loop {
            match self.0.options.connect().await {
                Err(error) if is_passing(&error) => tokio::time::sleep(RETRY).await,
                connected => return Ok(connected?),
            }
        }
    }

    /// The last that was bound to the tenant, or else the one that nobody has wanted for longest.
    fn pick(&self, tenant_id: Option<Uuid>) -> Option<Idle> {
        let mut idle = self.idle();
        let at = idle.iter().rposition(|idle| idle.opened.bound_to == tenant_id).unwrap_or(0);
        (at < idle.len()).then(|| idle.remove(at))
    }

    /// For the next one, unless it is to go.
    fn keep(&self, opened: Opened) {
        let mut idle = self.idle();
        let is_wanted = !self.0.turns.is_closed()
            && !opened.connection.is_in_transaction()
            && opened.at.elapsed() < LONGEST_LIFE;
        if is_wanted {
            idle.push(Idle { opened, since: Instant::now() });
        }
    }

    /// Those that are not to go.
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < LONGEST_IDLE);
        idle
    }

    /// How many are open, or about to be, and how many of them are idle.
    pub(crate) fn count(&self) -> (u32, usize) {
        let idle = self.idle().len();
        let in_use = self.0.most as usize - self.0.turns.available_permits();
        (u32::try_from(in_use + idle).unwrap_or(u32::MAX), idle)
    }

    /// Closes them, once none is in use. From then on, none is taken any more.
    pub(crate) async fn close(&self) {
        // Refused only where somebody else has closed them. Whoever waits is not to have them first.
        let turns = self.0.turns.acquire_many(self.0.most).await;
        self.0.turns.close();
        drop(turns);
        let idle = std::mem::take(&mut *self.idle());
        for Idle { opened, .. } in idle {
            // Whatever is said about it, it is gone.
            drop(opened.connection.close().await);
        }
    }
}

/// Whether Postgres may well take the next one: it is not there yet, it is starting (`57P03`), or has too many (`53300`).
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(cause) => cause.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(cause) => matches!(cause.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

impl Opened {
    /// Until this has succeeded, it is bound to nobody knows whom, and is kept from everybody.
    async fn bind(&mut self, tenant_id: Option<Uuid>) -> Result<(), Error> {
        self.bound_to = None;
        let Some(id) = tenant_id else { return Ok(self.connection.ping().await?) };
        let binding = sqlx::query("select set_config('app.tenant_id', $1, false)").bind(id.to_string());
        binding.execute(&mut self.connection).await?;
        self.bound_to = tenant_id;
        Ok(())
    }
}

/// One in use.
#[derive(Debug)]
pub struct Session {
    /// There until it is dropped.
    opened: Option<Opened>,
    turn: Option<OwnedSemaphorePermit>,
    sessions: Sessions,
    /// Whether a transaction has begun in it, or may have, and has not ended.
    in_transaction: bool,
}

impl Session {
    /// The connection, for a store's statements: for no transaction, since what is said in one about the tenant would end with it.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.opened.as_mut().expect("it is there until it is dropped").connection
    }

    /// Begins a transaction, by statements of which the first begins it. It is rolled back when the session is dropped.
    pub(crate) async fn begin(&mut self, statements: String) -> Result<(), Error> {
        // Whoever gives it up may have begun it.
        self.in_transaction = true;
        self.conn().execute(AssertSqlSafe(statements)).await?;
        Ok(())
    }

    /// Ends its transaction, if the statement comes to its end.
    pub(crate) async fn end(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.conn().execute(statement).await?;
        self.in_transaction = false;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (Some(turn), Some(mut opened)) = (self.turn.take(), self.opened.take()) else { return };
        // With nothing under way there is nothing to write or to wait for.
        let flushed = if self.in_transaction { None } else { opened.connection.flush().now_or_never() };
        match flushed {
            Some(Ok(())) => self.sessions.keep(opened),
            Some(Err(_)) => drop(opened),
            // A statement was given up, or its transaction, and its turn is over when that is. Without a runtime nobody is there any more to
            // read anything.
            None => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(wait_for_its_end(self.sessions.clone(), opened, turn, self.in_transaction));
                }
            }
        }
    }
}

/// Not for ever: a statement that takes longer is left to Postgres, with its connection.
async fn wait_for_its_end(
    sessions: Sessions,
    mut opened: Opened,
    turn: OwnedSemaphorePermit,
    in_transaction: bool,
) {
    // Whatever it was.
    opened.bound_to = None;
    let end = async {
        match in_transaction {
            // Also where none had begun: then it is a warning.
            true => opened.connection.execute("rollback").await.map(drop),
            false => opened.connection.flush().await,
        }
    };
    match tokio::time::timeout(Db::ACQUIRE_TIMEOUT, end).await {
        Ok(Ok(())) => sessions.keep(opened),
        _ => drop(opened),
    }
    drop(turn);
}
