//! IDLE (RFC 9051 §6.3.13).

use std::time::Duration;

use tokio::time::Instant;

use crate::selected::Selected;
use crate::session::{Answer, End, Session, Trouble};
use crate::status::Status;

/// After how long what could not be told is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Tells what changes as it changes, until the client says DONE.
pub(crate) async fn run(session: &mut Session) -> Answer {
    session.login()?;
    session.connection.go_on("idling");
    let until = Instant::now() + session.service.limits.command_timeout;
    loop {
        session.tell_or_wait(true).await?;
        session.connection.flush().await?;
        let left = until.saturating_duration_since(Instant::now());
        let recheck = session.service.limits.recheck.max(Duration::from_secs(1));
        let Session { connection, selected, shutdown, .. } = session;
        let is_untold = selected.as_ref().is_some_and(Selected::is_untold);
        let changed = async {
            match selected {
                Some(selected) => selected.watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Err(End::Shutdown.into()),
            line = connection.line(64, left) => {
                let is_done = line?.is_ok_and(|line| line.eq_ignore_ascii_case(b"DONE"));
                return if is_done { Ok(Status::ok("done")) } else { Err(Status::bad("IDLE ends with DONE").into()) };
            }
            () = changed => session.note_change(),
            () = tokio::time::sleep(RETRY), if is_untold => {}
            () = tokio::time::sleep(recheck) => {}
        }
        match session.check_login().await {
            Err(Trouble::Store(error)) => {
                // At the next change, or the next time.
                tracing::warn!(error = kernel::error::chain(&error), "an imap login was not looked at again");
            }
            checked => checked?,
        }
    }
}
