//! IDLE (RFC 9051 §6.3.13).

use crate::session::{Answer, End, Session};
use crate::status::Status;

/// Tells what changes as it changes, until the client says DONE.
pub(crate) async fn run(session: &mut Session) -> Answer {
    session.login()?;
    session.connection.go_on("idling");
    let until = tokio::time::Instant::now() + session.service.limits.autologout;
    loop {
        session.tell(true).await?;
        session.connection.flush().await?;
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let Session { connection, selected, shutdown, .. } = session;
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
        }
        session.check_login().await?;
    }
}
