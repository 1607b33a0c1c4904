//! QUIT (RFC 1939 §6): the UPDATE state; and the release of a maildrop without it.

use mailstore::maildrop::Maildrop;

use crate::codec::response::{Code, Status};
use crate::session::{End, Own, Session};

/// Deletes what is marked, all or nothing, and releases the maildrop. The answer is positive only once that is
/// durable.
pub(crate) async fn update(session: &mut Session, maildrop: Maildrop, deleted: &[usize]) -> End {
    let status = match maildrop.close(deleted).await {
        Ok(()) => {
            metrics::counter!("pillarbox_pop3_deleted_messages_total").increment(deleted.len() as u64);
            Status::ok(format_args!("goodbye, {} messages deleted", deleted.len()))
        }
        Err(error) => {
            tracing::warn!(
                error = kernel::error::chain(&error),
                maildrop.marked = deleted.len(),
                "pop3 update failed"
            );
            if deleted.is_empty() {
                Status::ok("goodbye")
            } else {
                Status::coded(Code::SysTemp, "some deleted messages not removed")
            }
        }
    };
    session.reply(status).await.err().unwrap_or(End::Own(Own::Quit))
}

/// Releases the maildrop and deletes nothing. When that fails, the lease runs out by itself.
pub(crate) async fn release(maildrop: Maildrop) {
    if let Err(error) = maildrop.close(&[]).await {
        tracing::warn!(error = kernel::error::chain(&error), "pop3 maildrop not released");
    }
}
