//! Keeping the lease on a maildrop while its session lives and its login is good, also in the middle of a long RETR.

use std::time::Duration;

use mailstore::maildrop::{self, Maildrop};
use tenancy::auth::Auth;
use tenancy::policy::Capability;
use tenancy::{MailLogin, Origin};
use tokio_util::sync::CancellationToken;

use super::End;

/// Whose session it is, and who knows whether they may still have it.
pub(super) struct Holder {
    pub(super) auth: Auth,
    pub(super) login: MailLogin,
    pub(super) origin: Origin,
}

impl Holder {
    /// Whether the session may go on. Where that cannot be found out, it may until the next time.
    pub(super) async fn may_go_on(&self) -> bool {
        match self.auth.renewed(Capability::Pop3, &self.login, self.origin).await {
            Ok(renewed) => renewed.is_some(),
            Err(error) => {
                tracing::warn!(error = kernel::error::chain(&error), "a pop3 login was not looked at again");
                true
            }
        }
    }
}

/// Renews the lease again and again; cancels `lost` when it turns out to be another's. Returns when the session is over; it is dropped with
/// the session's commands, beside which it runs.
pub(super) async fn keep(
    maildrop: &Maildrop,
    holder: &Holder,
    every: Duration,
    lost: &CancellationToken,
) -> End {
    loop {
        tokio::time::sleep(every).await;
        if !holder.may_go_on().await {
            return End::LoginGone;
        }
        match maildrop.renew().await {
            Ok(()) => {}
            Err(maildrop::Error::LeaseLost) => {
                tracing::warn!("pop3 lease lost");
                lost.cancel();
                return std::future::pending().await;
            }
            // A lease outlasts several renewals, and the update at the end checks it again.
            Err(error) => tracing::warn!(error = kernel::error::chain(&error), "pop3 lease not renewed"),
        }
    }
}
