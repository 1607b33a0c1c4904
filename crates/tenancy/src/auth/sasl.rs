//! Signing in for a mail protocol by SASL: the exchange, and the login that comes out of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use kernel::AppPasswordId;
use sasl::exchange::{self, Ask, Opening, Proof, Refusal};
use sasl::scram::Offer;
use sasl::{SaslError, bearer};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Auth, Person, ids_of};
use crate::app_password::{self, scram};
use crate::policy::Capability;
use crate::{Error, MailLogin, Origin};

/// Why an exchange signs nobody in.
#[derive(Debug, thiserror::Error)]
pub enum SaslLoginError {
    /// The client sent no message of the mechanism's, or cancelled, before it had tried anything.
    #[error(transparent)]
    Broken(SaslError),
    /// The same after it was challenged to prove something: it counts as a login that failed, or names could be tried at will.
    #[error(transparent)]
    Unproven(SaslError),
    /// As [`Auth::mail_login`] has it: refused ([`Error::refuses_login`]), throttled, or not to be checked.
    #[error(transparent)]
    Login(Error),
}

impl From<Refusal<Error>> for SaslLoginError {
    fn from(refusal: Refusal<Error>) -> Self {
        match refusal {
            Refusal::Broken(error) => Self::Broken(error),
            Refusal::Unproven(error) => Self::Unproven(error),
            Refusal::Wrong => Self::Login(Error::Unauthenticated),
            Refusal::Keys(error) => Self::Login(error),
        }
    }
}

impl Auth {
    /// Signs a person in for a mail protocol by a SASL exchange with `client`: by a password as [`Auth::mail_login`] does, by a proof of an
    /// app password, or by an access token, for as long as that is good.
    ///
    /// # Errors
    /// When the client cannot be asked any more; inside, when nobody is signed in, and the client is owed an answer.
    pub async fn sasl<A: Ask>(
        &self,
        capability: Capability,
        opening: Opening,
        origin: Origin,
        client: &mut A,
    ) -> Result<Result<MailLogin, SaslLoginError>, A::End> {
        let nonce = STANDARD.encode(self.db.env().random::<18>());
        let keys = async |username: &str| self.scram_offer(capability, username).await;
        let proof = match exchange::play(client, opening, &nonce, keys).await? {
            Ok(proof) => proof,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let login = match proof {
            Proof::Password { username, password } => {
                self.mail_login(capability, &username, password, origin).await
            }
            Proof::Key { username, id } => self.login_by_key(capability, &username, id, origin).await,
            Proof::Bearer(bearer) => {
                let username = bearer.username.as_deref();
                let login = self.login_by_token(capability, username, &bearer.token, origin).await;
                if login.as_ref().is_err_and(Error::refuses_login) {
                    // Whatever it answers.
                    let _ = client.ask(bearer::FAILURE).await?;
                }
                login
            }
        };
        Ok(login.map_err(SaslLoginError::Login))
    }

    /// What a person's app passwords for a mail protocol are proven by. Of somebody who is not there it looks like that of somebody who has
    /// none.
    async fn scram_offer(
        &self,
        capability: Capability,
        username: &str,
    ) -> Result<Offer<AppPasswordId>, Error> {
        let (salt, iterations) = (scram::SALT.to_vec(), scram::ITERATIONS.get());
        let person = self.person_by_name(username).await?;
        let (tenant_id, user_id) = ids_of(person.as_ref());
        let keys = app_password::keys(&self.db, tenant_id, user_id, capability).await?;
        Ok(Offer { salt, iterations, keys })
    }

    /// Signs in who has proven that they know one of their app passwords, unless it is not in force any more.
    async fn login_by_key(
        &self,
        capability: Capability,
        username: &str,
        proven: AppPasswordId,
        origin: Origin,
    ) -> Result<MailLogin, Error> {
        let person = self.person_by_name(username).await?.ok_or(Error::Unauthenticated)?;
        if !app_password::used(&self.db, person.tenant_id, person.user_id, capability, proven).await? {
            return Err(Error::Unauthenticated);
        }
        self.mail_session(Person { app_password: Some(proven), ..person }, capability, origin).await
    }

    /// Signs in whose access token it is; `username`, if there is one, must be theirs.
    async fn login_by_token(
        &self,
        capability: Capability,
        username: Option<&str>,
        token: &SecretString,
        origin: Origin,
    ) -> Result<MailLogin, Error> {
        let subject = self.signer.verify(&self.db, token.expose_secret()).await?;
        let person = self.person_of(&subject).await?;
        if let Some(username) = username {
            let named = self.person_by_name(username).await?.ok_or(Error::Unauthenticated)?;
            if (named.tenant_id, named.user_id) != (person.tenant_id, person.user_id) {
                return Err(Error::Unauthenticated);
            }
        }
        let login = self.mail_session(person, capability, origin).await?;
        Ok(MailLogin { good_until: DateTime::from_timestamp(subject.exp, 0), ..login })
    }
}
