//! PASS (RFC 1939 §7): the second half of a login.

use mailstore::maildrop::Maildrop;
use secrecy::SecretString;

use super::login;
use crate::codec::response::Status;
use crate::session::{End, Session};

pub(crate) async fn run(
    session: &mut Session,
    user: Option<String>,
    password: SecretString,
) -> Result<Option<Maildrop>, End> {
    match user {
        Some(user) => login::attempt(session, &user, password).await,
        None => {
            session.reply(Status::err("PASS comes right after USER")).await?;
            Ok(None)
        }
    }
}
