//! What PASS and AUTH have in common: checking the credentials, and opening the maildrop.

use mailstore::maildrop::{self, Maildrop};
use secrecy::SecretString;
use socket::login::count;
use tenancy::MailLogin;
use tenancy::policy::Capability;

use crate::codec::response::{Code, Status};
use crate::reply;
use crate::session::{End, Session};

/// Tries a login by a password and answers it.
pub(crate) async fn attempt(
    session: &mut Session,
    username: &str,
    password: SecretString,
) -> Result<Option<Maildrop>, End> {
    let auth = session.service.auth.clone();
    let login = auth.mail_login(Capability::Pop3, username, password, session.origin()).await;
    end(session, login).await
}

/// Answers what came of a login. A maildrop means that the TRANSACTION state begins.
pub(crate) async fn end(
    session: &mut Session,
    login: Result<MailLogin, tenancy::Error>,
) -> Result<Option<Maildrop>, End> {
    let login = match login {
        Ok(login) => login,
        Err(tenancy::Error::Throttled { .. }) => {
            refuse(session, reply::login_throttled()).await?;
            return Ok(None);
        }
        Err(error) if error.refuses_login() => {
            refuse(session, Status::coded(Code::Auth, "wrong user name or password")).await?;
            return Ok(None);
        }
        Err(error) => {
            count("pop3", "failed");
            session.reply(reply::login_failed(&error, session.request_id)).await?;
            return Ok(None);
        }
    };
    let maildrop = match maildrop::open(&session.service.store, &login).await {
        Ok(maildrop) => maildrop,
        Err(error) => {
            count("pop3", if matches!(error, maildrop::Error::InUse) { "in_use" } else { "failed" });
            session.reply(reply::maildrop_failed(&error, session.request_id)).await?;
            return Ok(None);
        }
    };
    count("pop3", "ok");
    session.login = Some(login.clone());
    tracing::info!(
        tenant.id = %login.ctx.tenant_id(),
        mailbox.id = %login.mailbox_id,
        maildrop.messages = maildrop.entries().len(),
        "pop3 login"
    );
    let bytes = maildrop.entries().iter().map(|entry| entry.wire_size_bytes).sum::<u64>();
    let greeting = format!("maildrop has {} messages ({bytes} octets)", maildrop.entries().len());
    session.reply(Status::ok(greeting)).await?;
    Ok(Some(maildrop))
}

/// Answers refused credentials late, and ends the session when that has happened too often.
pub(crate) async fn refuse(session: &mut Session, answer: Status) -> Result<(), End> {
    let delay = session.service.limits.failed_login_delay;
    session.failed_logins.add("pop3", delay, &session.shutdown).await?;
    session.reply(answer).await?;
    match session.failed_logins.are(session.service.limits.max_failed_logins) {
        true => Err(End::TooManyFailedLogins),
        false => Ok(()),
    }
}
