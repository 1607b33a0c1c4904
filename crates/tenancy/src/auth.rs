//! From a credential to a caller: API keys, access tokens, passwords.

mod store;
mod token;

use std::sync::Arc;

use db::Db;
use kernel::{ApiKeyId, EmailAddress, RequestId, TenantId, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::caller::{Caller, Principal, Scope};
use crate::policy::Capability;
use crate::{Error, MailLogin, Role, api_key, password};

pub use token::{AccessToken, Jwk, Jwks};

/// What a client offers for an access token (RFC 6749 §4.3, §4.4).
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
}

/// Proves who calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth {
    db: Db,
    signer: Arc<token::Signer>,
}

impl Auth {
    /// An authenticator over a database; makes the installation's signing key when there is none.
    ///
    /// # Errors
    /// As of any statement.
    pub async fn new(db: Db) -> Result<Self, Error> {
        let signer = Arc::new(token::Signer::load_or_create(&db).await?);
        Ok(Self { db, signer })
    }

    /// The database, with clock and randomness.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The caller behind a bearer token: an API key's secret, or an access token of ours.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it proves nothing.
    pub async fn bearer(&self, token: &str, request_id: RequestId) -> Result<Caller, Error> {
        if let Some(id) = api_key::id_of(token) {
            return self.api_key(id, Some(token), request_id).await;
        }
        let subject = self.signer.verify(token, self.db.env().now())?;
        if let Ok(id) = subject.sub.parse::<ApiKeyId>() {
            // Looked up again: a revoked key's tokens end with it.
            return self.api_key(id, None, request_id).await;
        }
        match (subject.sub.parse::<UserId>(), subject.tenant.as_deref().map(str::parse::<TenantId>)) {
            (Ok(user_id), Some(Ok(tenant_id))) => self.user(tenant_id, user_id, request_id).await,
            _ => Err(Error::Unauthenticated),
        }
    }

    async fn api_key(
        &self,
        id: ApiKeyId,
        secret: Option<&str>,
        request_id: RequestId,
    ) -> Result<Caller, Error> {
        let mut tx = api_key::system(&self.db).await?;
        let (key, secret_hash) = api_key::store::find(&mut tx, id).await?.ok_or(Error::Unauthenticated)?;
        let proven = secret.is_none_or(|secret| bool::from(api_key::hash(secret).ct_eq(&secret_hash)));
        let now = self.db.env().now();
        if !proven || key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::Unauthenticated);
        }
        let caller = Caller::new(self.db.clone(), Principal::ApiKey(id), key.role, key.scope, request_id)
            .until(key.expires_at);
        Ok(if key.actions.is_empty() { caller } else { caller.narrowed_to(key.actions) })
    }

    async fn user(
        &self,
        tenant_id: TenantId,
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Caller, Error> {
        let mut tx = api_key::system(&self.db).await?;
        let person = store::person_by_id(&mut tx, tenant_id, user_id).await?.ok_or(Error::Unauthenticated)?;
        if !person.may(Capability::SignIn) || !person.may(Capability::Api) {
            return Err(Error::Unauthenticated);
        }
        Ok(person.caller(&self.db, request_id))
    }

    /// Signs a person in for a mail protocol. A wrong password and an unknown user look and last the same.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the credential is wrong or the capability is suspended.
    pub async fn mail_login(
        &self,
        capability: Capability,
        username: &str,
        password: SecretString,
        request_id: RequestId,
    ) -> Result<MailLogin, Error> {
        let person = self.person(username, password).await?;
        if !person.may(Capability::SignIn) || !person.may(capability) {
            return Err(Error::Unauthenticated);
        }
        let ctx = person.caller(&self.db, request_id).enter(person.tenant_id).await?;
        Ok(MailLogin { ctx, user_id: person.user_id, mailbox_id: person.mailbox_id })
    }

    /// An access token for a credential.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the credential proves nothing.
    pub async fn token(&self, grant: Grant, request_id: RequestId) -> Result<AccessToken, Error> {
        let env = self.db.env();
        match grant {
            Grant::ClientCredentials { client_id, client_secret } => {
                let id = api_key::id_of(client_secret.expose_secret()).ok_or(Error::Unauthenticated)?;
                if client_id != id.to_string() {
                    return Err(Error::Unauthenticated);
                }
                self.api_key(id, Some(client_secret.expose_secret()), request_id).await?;
                self.signer.issue(env, id.to_string(), None)
            }
            Grant::Password { username, password } => {
                let person = self.person(&username, password).await?;
                if !person.may(Capability::SignIn) || !person.may(Capability::Api) {
                    return Err(Error::Unauthenticated);
                }
                self.signer.issue(env, person.user_id.to_string(), Some(person.tenant_id.to_string()))
            }
        }
    }

    /// The public keys that our access tokens can be checked with (RFC 7517).
    ///
    /// # Errors
    /// As of any statement.
    pub async fn jwks(&self) -> Result<Jwks, Error> {
        let mut tx = api_key::system(&self.db).await?;
        token::jwks(&mut tx).await
    }

    async fn person(&self, username: &str, password: SecretString) -> Result<Person, Error> {
        let person = match username.parse::<EmailAddress>() {
            Ok(address) => {
                let mut tx = api_key::system(&self.db).await?;
                store::person_by_address(&mut tx, &address).await?
            }
            Err(_) => None,
        };
        let hash = person.as_ref().and_then(|person| person.password_hash.clone());
        let proven = password::verify(hash, password).await?;
        person.filter(|_| proven).ok_or(Error::Unauthenticated)
    }
}

/// A user as signing in sees them.
struct Person {
    tenant_id: TenantId,
    user_id: UserId,
    mailbox_id: kernel::MailboxId,
    role: Role,
    suspended: Vec<String>,
    password_hash: Option<String>,
}

impl Person {
    fn may(&self, capability: Capability) -> bool {
        !self.suspended.iter().any(|suspended| suspended == capability.as_str())
    }

    fn caller(&self, db: &Db, request_id: RequestId) -> Caller {
        let principal = Principal::User(self.user_id, self.mailbox_id);
        Caller::new(db.clone(), principal, self.role, Scope::Tenant(self.tenant_id), request_id)
    }
}
