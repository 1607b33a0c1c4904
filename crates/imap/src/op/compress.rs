//! COMPRESS (RFC 4978).

use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, tag: &str, mechanism: &str) -> Answer {
    session.login()?;
    if session.connection.is_deflated() {
        return Err(Status::no("the connection is compressed already").with("COMPRESSIONACTIVE").into());
    }
    if mechanism != "DEFLATE" {
        return Err(Status::no("DEFLATE is the one mechanism that there is").into());
    }
    if !session.take_compressor() {
        return Err(Status::no("too many connections are compressed").with("LIMIT").into());
    }
    session.connection.tagged(tag, &Status::ok("what follows is compressed")).await?;
    session.connection.flush().await?;
    session.connection.deflate();
    Err(Trouble::Answered)
}
