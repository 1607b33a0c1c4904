//! LOGIN (RFC 9051 §6.2.3), and what AUTHENTICATE has in common with it.

use secrecy::SecretString;
use socket::login::count;
use tenancy::MailLogin;
use tenancy::policy::Capability;

use crate::capability;
use crate::session::{Answer, End, Session};
use crate::status::{self, Status};

pub(crate) async fn run(session: &mut Session, username: &str, password: SecretString) -> Answer {
    may_try(session)?;
    let auth = session.service.auth.clone();
    let login = auth.mail_login(Capability::Imap, username, password, session.origin()).await;
    end(session, login).await
}

/// Whether a login may be tried now and here.
pub(crate) fn may_try(session: &Session) -> Result<(), Status> {
    if session.is_logged_in() {
        return Err(Status::bad("you are logged in already"));
    }
    if !session.login_allowed() {
        return Err(status::encryption_needed());
    }
    Ok(())
}

/// Answers what came of a login.
pub(crate) async fn end(session: &mut Session, login: Result<MailLogin, tenancy::Error>) -> Answer {
    match login {
        Ok(login) => {
            count("imap", "ok");
            tracing::info!(tenant.id = %login.ctx.tenant_id(), mailbox.id = %login.mailbox_id, "imap login");
            session.log_in(login);
            let code = format!("CAPABILITY {}", capability::of(session));
            Ok(Status::ok("logged in").with(code))
        }
        Err(error) if error.refuses_login() => refuse(session).await,
        Err(error @ tenancy::Error::Throttled { .. }) => {
            failed(session).await?;
            Err(status::login_failed(&error, session.request_id).into())
        }
        Err(error) => {
            count("imap", "failed");
            Err(status::login_failed(&error, session.request_id).into())
        }
    }
}

/// Answers refused credentials, the same whatever was wrong with them.
async fn refuse(session: &mut Session) -> Answer {
    failed(session).await?;
    Err(Status::no("wrong user name or password").with("AUTHENTICATIONFAILED").into())
}

/// Counts a login that failed, and lets time pass. The session ends after the answer when that has happened too often.
pub(crate) async fn failed(session: &mut Session) -> Result<(), End> {
    let delay = session.service.limits.failed_login_delay;
    Ok(session.failed_logins.add("imap", delay, &session.shutdown).await?)
}
