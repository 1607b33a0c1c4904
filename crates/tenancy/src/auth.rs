//! From a credential to a caller: API keys, access and refresh tokens, passwords, app passwords.

mod key;
mod refresh;
mod sasl;
mod store;
pub(crate) mod throttle;
mod token;

use std::sync::Arc;

use db::Db;
use kernel::{ApiKeyId, AppPasswordId, EmailAddress, TenantId, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use self::key::Question;
use crate::caller::{Caller, Principal, Scope};
use crate::desk::Desk;
use crate::policy::Capability;
use crate::{Error, MailLogin, Origin, Role, api_key, app_password, password, user};

pub use self::sasl::SaslLoginError;
pub(crate) use refresh::end_sessions;
pub use throttle::prune as prune_throttles;
pub use token::{AccessToken, Jwk, Jwks, Signer};

/// What a client offers for an access token (RFC 6749 §4.3, §4.4, §6).
#[derive(Debug)]
pub enum Grant {
    /// A program with an API key: its id and secret.
    ClientCredentials {
        /// The key's id.
        client_id: String,
        /// The key's secret.
        client_secret: SecretString,
    },
    /// A person at a first-party portal.
    Password {
        /// Their address.
        username: String,
        /// Their password.
        password: SecretString,
    },
    /// A person's session that goes on.
    RefreshToken {
        /// The token that the last answer gave; good once.
        refresh_token: SecretString,
    },
}

/// What a grant is good for.
#[derive(Debug)]
pub struct Tokens {
    /// For the API, and for mail protocols.
    pub access: AccessToken,
    /// For the next access token; a program with an API key gets none (RFC 6749 §4.4.3).
    pub refresh: Option<SecretString>,
}

/// Proves who calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth {
    db: Db,
    signer: Arc<Signer>,
    desk: Desk<Question>,
    /// For the callers.
    users: Desk<user::One>,
}

impl Auth {
    /// Signs a statement that is kept for good.
    pub(crate) async fn attest(&self, statement: &serde_json::Value) -> Result<String, Error> {
        self.signer.attest(&self.db, statement).await
    }

    /// An authenticator over a database; makes the installation's signing key when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn new(db: Db) -> Result<Self, Error> {
        let signer = Arc::new(Signer::load_or_create(&db).await?);
        Ok(Self { db, signer, desk: Desk::default(), users: Desk::default() })
    }

    /// The database, with clock and randomness.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// What signs and verifies.
    pub fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    /// The caller behind a bearer token: an API key's secret, or an access token of ours.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it proves nothing, or not from there.
    pub async fn bearer(&self, token: &str, origin: Origin) -> Result<Caller, Error> {
        self.bearer_towards(token, origin, None).await
    }

    /// As [`Auth::bearer`], for a caller who is about to enter a tenant: with an API key, where that is comes along, and
    /// [`Caller::enter`] does not ask again. For requests that are carried out at once: later, it may have changed.
    ///
    /// # Errors
    /// As `bearer`. It is `enter` that says whether there is such a tenant for the caller.
    pub async fn bearer_towards(
        &self,
        token: &str,
        origin: Origin,
        tenant_id: Option<TenantId>,
    ) -> Result<Caller, Error> {
        if let Some(key_id) = api_key::id_of(token) {
            return self.key(Question { key_id, tenant_id }, Some(token), origin).await;
        }
        let subject = self.signer.verify(&self.db, token).await?;
        if let Ok(key_id) = subject.sub.parse::<ApiKeyId>() {
            // Looked up again: a revoked key's tokens end with it.
            return self.key(Question { key_id, tenant_id }, None, origin).await;
        }
        let person = self.person_of(&subject).await?;
        if !person.may(Capability::SignIn) || !person.may(Capability::Api) {
            return Err(Error::Unauthenticated);
        }
        Ok(person.caller(&self.db, origin).at(&self.users))
    }

    async fn key(&self, question: Question, secret: Option<&str>, origin: Origin) -> Result<Caller, Error> {
        Ok(key::caller(&self.db, &self.desk, question, secret, origin).await?.at(&self.users))
    }

    async fn person_by_id(&self, tenant_id: TenantId, user_id: UserId) -> Result<Person, Error> {
        let mut read = api_key::lookup(&self.db).await?;
        store::person_by_id(&mut read, tenant_id, user_id).await?.ok_or(Error::Unauthenticated)
    }

    /// Signs a person in for a mail protocol, by their password or by an app password for it. A wrong password and an
    /// unknown user look and last the same.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the credential is wrong or the capability is suspended; [`Error::Throttled`]; [`Error::Busy`].
    pub async fn mail_login(
        &self,
        capability: Capability,
        username: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<MailLogin, Error> {
        let person = self.person(username, password, Some(capability), origin).await?;
        self.mail_session(person, capability, origin).await
    }

    async fn mail_session(
        &self,
        person: Person,
        capability: Capability,
        origin: Origin,
    ) -> Result<MailLogin, Error> {
        if !person.may(Capability::SignIn) || !person.may(capability) {
            return Err(Error::Unauthenticated);
        }
        let ctx = person.caller(&self.db, origin).enter(person.tenant_id).await?;
        let Person { user_id, mailbox_id, session_epoch, app_password, .. } = person;
        Ok(MailLogin { ctx, user_id, mailbox_id, session_epoch, app_password, good_until: None })
    }

    /// The person whose access token it is, while their sessions have not been ended.
    async fn person_of(&self, token: &token::Claims) -> Result<Person, Error> {
        match (token.sub.parse::<UserId>(), token.tenant.as_deref().map(str::parse::<TenantId>)) {
            (Ok(user_id), Some(Ok(tenant_id))) => {
                let person = self.person_by_id(tenant_id, user_id).await?;
                let is_current = token.epoch == Some(person.session_epoch);
                if is_current { Ok(person) } else { Err(Error::Unauthenticated) }
            }
            _ => Err(Error::Unauthenticated),
        }
    }

    async fn person_by_name(&self, username: &str) -> Result<Option<Person>, Error> {
        let Ok(address) = username.parse::<EmailAddress>() else { return Ok(None) };
        let mut read = api_key::lookup(&self.db).await?;
        store::person_by_address(&mut read, &address).await
    }

    /// A session that a person has begun, with what they may do now; none if it may not go on: they are not there any more, may not do any more
    /// what they do, or their sessions were ended meanwhile, or the app password that they have signed in with, or their token is over. For
    /// sessions that last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renewed(
        &self,
        capability: Capability,
        login: &MailLogin,
        origin: Origin,
    ) -> Result<Option<MailLogin>, Error> {
        let tenant_id = login.ctx.tenant_id();
        if login.good_until.is_some_and(|until| until <= self.db.env().now()) {
            return Ok(None);
        }
        let person = match self.person_by_id(tenant_id, login.user_id).await {
            Ok(person) => person,
            Err(Error::Unauthenticated) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_current = person.session_epoch == login.session_epoch;
        if !is_current || !person.may(Capability::SignIn) || !person.may(capability) {
            return Ok(None);
        }
        if let Some(id) = login.app_password
            && !app_password::is_in_force(&self.db, tenant_id, id, capability).await?
        {
            return Ok(None);
        }
        match person.caller(&self.db, origin).enter(tenant_id).await {
            Ok(ctx) => Ok(Some(MailLogin { ctx, ..login.clone() })),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tokens for a credential.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the credential proves nothing; [`Error::Throttled`]; [`Error::Busy`].
    pub async fn token(&self, grant: Grant, origin: Origin) -> Result<Tokens, Error> {
        let env = self.db.env();
        match grant {
            Grant::ClientCredentials { client_id, client_secret } => {
                let id = api_key::id_of(client_secret.expose_secret()).ok_or(Error::Unauthenticated)?;
                if client_id != id.to_string() {
                    return Err(Error::Unauthenticated);
                }
                let question = Question { key_id: id, tenant_id: None };
                self.key(question, Some(client_secret.expose_secret()), origin).await?;
                let access = self.signer.issue(&self.db, id.to_string(), None).await?;
                Ok(Tokens { access, refresh: None })
            }
            Grant::Password { username, password } => {
                let person = self.person(&username, password, None, origin).await?;
                if !person.may(Capability::SignIn) || !person.may(Capability::Api) {
                    return Err(Error::Unauthenticated);
                }
                let refresh =
                    refresh::begin(&self.db, person.tenant_id, person.user_id, person.session_epoch).await?;
                self.tokens(&person, refresh).await
            }
            Grant::RefreshToken { refresh_token } => {
                let next = refresh::exchange(&self.db, &refresh_token, origin, env.now()).await?;
                let person = self.person_by_id(next.tenant_id, next.user_id).await?;
                // They may have been ended since.
                let is_current = person.session_epoch == next.session_epoch;
                if !is_current || !person.may(Capability::SignIn) || !person.may(Capability::Api) {
                    return Err(Error::Unauthenticated);
                }
                self.tokens(&person, next.secret).await
            }
        }
    }

    async fn tokens(&self, person: &Person, refresh: SecretString) -> Result<Tokens, Error> {
        let tenant = Some((person.tenant_id.to_string(), person.session_epoch));
        let access = self.signer.issue(&self.db, person.user_id.to_string(), tenant).await?;
        Ok(Tokens { access, refresh: Some(refresh) })
    }

    /// The public keys that our access tokens can be checked with (RFC 7517).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn jwks(&self) -> Result<Jwks, Error> {
        let mut tx = api_key::system(&self.db).await?;
        token::jwks(&mut tx).await
    }

    async fn person(
        &self,
        username: &str,
        password: SecretString,
        protocol: Option<Capability>,
        origin: Origin,
    ) -> Result<Person, Error> {
        let person = self.person_by_name(username).await?;
        // Before the throttle: nobody guesses one, so nobody who has one needs to wait for those who guess.
        if let Some(protocol) = protocol {
            let (tenant_id, user_id) = ids_of(person.as_ref());
            let app_password = app_password::find(&self.db, tenant_id, user_id, protocol, &password).await?;
            if let (Some(person), Some(_)) = (&person, app_password) {
                return Ok(Person { app_password, ..person.clone() });
            }
        }
        let ids = person.as_ref().map(|person| (person.tenant_id, person.user_id));
        let attempt = throttle::Attempt::new(username, ids, origin);
        // Once before the queue, so that who is to wait does not lengthen it, and once when it is over.
        let is_known = attempt.admit(&self.db).await?;
        let turn = password::turn(attempt.asker(is_known)).await?;
        attempt.begin(&self.db).await?;
        let db = self.db.clone();
        // With the count, or who does not wait for the answer could try as many as they like.
        password::to_the_end(async move {
            let hash = person.as_ref().and_then(|person| person.password_hash.clone());
            let proven = password::verify(&turn, hash, password).await?;
            match person.filter(|_| proven) {
                Some(person) => {
                    attempt.succeeded(&db).await?;
                    Ok(person)
                }
                None => {
                    attempt.failed(&db).await?;
                    Err(Error::Unauthenticated)
                }
            }
        })
        .await
    }
}

/// Whose credentials to look for; those of nobody are looked for too: who is there is not to be told by the time that it takes.
fn ids_of(person: Option<&Person>) -> (TenantId, UserId) {
    let nobody = || (TenantId::from_uuid(Uuid::nil()), UserId::from_uuid(Uuid::nil()));
    person.map_or_else(nobody, |person| (person.tenant_id, person.user_id))
}

/// A user as signing in sees them.
#[derive(Clone)]
struct Person {
    tenant_id: TenantId,
    user_id: UserId,
    mailbox_id: kernel::MailboxId,
    role: Role,
    /// Theirs and their tenant's.
    suspended: Vec<String>,
    password_hash: Option<String>,
    session_epoch: i32,
    /// The one that they have signed in with.
    app_password: Option<AppPasswordId>,
}

impl Person {
    fn may(&self, capability: Capability) -> bool {
        !self.suspended.iter().any(|suspended| suspended == capability.as_str())
    }

    fn caller(&self, db: &Db, origin: Origin) -> Caller {
        let principal = Principal::User(self.user_id, self.mailbox_id);
        Caller::new(db.clone(), principal, self.role, Scope::Tenant(self.tenant_id), origin)
    }
}
