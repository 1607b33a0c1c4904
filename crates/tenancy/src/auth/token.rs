//! Access tokens: short-lived JWTs signed with Ed25519 (RFC 7519, RFC 8037).

use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kernel::Env;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::store::{self, SigningKey};
use crate::{Caller, Error, Scope, api_key, event};

/// How long a token is good for.
const LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// How long a key signs.
const ROTATE_EVERY: TimeDelta = TimeDelta::days(30);
/// How long before its first signature a key is made known, so that no cache of the JWKS misses it.
const AHEAD: TimeDelta = TimeDelta::hours(1);
/// How old what is known of the keys may be.
const READ_EVERY: TimeDelta = TimeDelta::minutes(5);
/// The same for a token that names an unknown key; anybody can make one up.
const UNKNOWN_EVERY: TimeDelta = TimeDelta::seconds(5);
/// Who issues and who accepts it: this installation.
const ISSUER: &str = "pillarbox";

/// A token for `Authorization: Bearer`.
#[derive(Debug)]
pub struct AccessToken {
    /// The token.
    pub token: SecretString,
    /// For how many seconds it is good.
    pub expires_in_secs: i64,
}

/// A public key (RFC 8037 §2).
#[derive(Debug, Clone, Serialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: &'static str,
    /// `Ed25519`.
    pub crv: &'static str,
    /// `EdDSA`.
    pub alg: &'static str,
    /// `sig`.
    #[serde(rename = "use")]
    pub purpose: &'static str,
    /// The key's name, as a token's header gives it.
    pub kid: String,
    /// The key, in base64url.
    pub x: String,
}

/// The installation's public keys (RFC 7517 §5).
#[derive(Debug, Clone, Serialize)]
pub struct Jwks {
    /// The newest first.
    pub keys: Vec<Jwk>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    pub(super) sub: String,
    aud: String,
    iat: i64,
    pub(super) exp: i64,
    jti: String,
    /// A person's tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    /// How often a person's sessions had been ended when it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<i32>,
}

/// Signs with the key whose turn it is and verifies with any. Keys are read again from time to time, and when a token
/// names one that is not known yet: another process may have made it.
pub struct Signer {
    keys: RwLock<Keys>,
}

struct Keys {
    /// The one that signs last first.
    keys: Vec<Key>,
    read_at: DateTime<Utc>,
}

#[derive(Clone)]
struct Key {
    kid: String,
    active_from: DateTime<Utc>,
    signing: EncodingKey,
    verifying: DecodingKey,
    /// For whoever verifies what is kept longer than the key.
    public: Vec<u8>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    pub(super) async fn load_or_create(db: &Db) -> Result<Self, Error> {
        let now = db.env().now();
        let mut tx = api_key::system(db).await?;
        let mut keys = store::signing_keys(&mut tx).await?;
        if keys.is_empty() {
            store::lock_signing_keys(&mut tx).await?;
            keys = store::signing_keys(&mut tx).await?;
        }
        if keys.is_empty() {
            let key = generate(db.env(), now)?;
            store::insert_signing_key(&mut tx, &key, now).await?;
            tx.commit().await?;
            keys.push(key);
        }
        Ok(Self { keys: RwLock::new(Keys { keys: keys.into_iter().map(Key::from).collect(), read_at: now }) })
    }

    /// Has the next key ready before the present one has signed for thirty days, and forgets those that no token
    /// in force was signed with.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rotate(&self, db: &Db) -> Result<(), Error> {
        let now = db.env().now();
        let mut tx = api_key::system(db).await?;
        store::lock_signing_keys(&mut tx).await?;
        let keys = store::signing_keys(&mut tx).await?;
        if keys.first().is_none_or(|newest| newest.active_from + ROTATE_EVERY <= now) {
            store::insert_signing_key(&mut tx, &generate(db.env(), now + AHEAD)?, now).await?;
        }
        store::delete_signing_keys(&mut tx, now - LIFETIME - AHEAD).await?;
        tx.commit().await?;
        self.read(db).await
    }

    /// Signs with a new key from now on and forgets all others, with the tokens that they signed: for a key that leaked.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for anybody but the operator.
    pub async fn replace(&self, caller: &Caller) -> Result<(), Error> {
        if caller.scope() != Scope::Operator {
            return Err(Error::Forbidden("replacing the signing key"));
        }
        let db = caller.db();
        let now = db.env().now();
        let mut tx = api_key::system(db).await?;
        store::lock_signing_keys(&mut tx).await?;
        let key = generate(db.env(), now)?;
        store::insert_signing_key(&mut tx, &key, now).await?;
        store::delete_other_signing_keys(&mut tx, key.id).await?;
        let (kind, data) = (event::Kind::SigningKeyReplaced, serde_json::json!({}));
        event::record_on(&mut tx, caller, Scope::Operator, kind, kid(&key), data).await?;
        tx.commit().await?;
        self.read(db).await
    }

    async fn read(&self, db: &Db) -> Result<(), Error> {
        let mut tx = api_key::system(db).await?;
        let keys = store::signing_keys(&mut tx).await?;
        drop(tx);
        let fresh = Keys { keys: keys.into_iter().map(Key::from).collect(), read_at: db.env().now() };
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Reads the keys again if they were read longer than `age` ago.
    async fn refresh(&self, db: &Db, age: TimeDelta) -> Result<bool, Error> {
        let read_at = self.keys.read().unwrap_or_else(PoisonError::into_inner).read_at;
        if db.env().now() - read_at < age {
            return Ok(false);
        }
        self.read(db).await?;
        Ok(true)
    }

    fn find(&self, wanted: impl Fn(&Key) -> bool) -> Option<Key> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.keys.iter().find(|key| wanted(key)).cloned()
    }

    async fn current(&self, db: &Db) -> Result<Key, Error> {
        self.refresh(db, READ_EVERY).await?;
        let now = db.env().now();
        self.find(|key| key.active_from <= now)
            .or_else(|| self.find(|_| true))
            .ok_or_else(|| Error::Internal("there is no signing key".into()))
    }

    pub(super) async fn issue(
        &self,
        db: &Db,
        sub: String,
        session: Option<(String, i32)>,
    ) -> Result<AccessToken, Error> {
        let key = self.current(db).await?;
        let (tenant, epoch) = session.unzip();
        let iat = db.env().now().timestamp();
        let claims = Claims {
            iss: ISSUER.into(),
            sub,
            aud: ISSUER.into(),
            iat,
            exp: iat + LIFETIME.num_seconds(),
            jti: db.env().new_uuid().simple().to_string(),
            tenant,
            epoch,
        };
        let header = Header { kid: Some(key.kid), ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &claims, &key.signing).map_err(Error::internal)?;
        Ok(AccessToken { token: token.into(), expires_in_secs: LIFETIME.num_seconds() })
    }

    /// Signs a statement that outlives the key: a JWS in compact form (RFC 7515) with the public key in its header.
    pub(super) async fn attest(&self, db: &Db, statement: &serde_json::Value) -> Result<String, Error> {
        let key = self.current(db).await?;
        let jwk =
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&key.public)});
        let jwk = serde_json::from_value(jwk).map_err(Error::internal)?;
        let header = Header { kid: Some(key.kid), jwk: Some(jwk), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, statement, &key.signing).map_err(Error::internal)
    }

    pub(super) async fn verify(&self, db: &Db, token: &str) -> Result<Claims, Error> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::Unauthenticated)?;
        let kid = header.kid.ok_or(Error::Unauthenticated)?;
        self.refresh(db, READ_EVERY).await?;
        let key = match self.find(|key| key.kid == kid) {
            Some(key) => Some(key),
            None if self.refresh(db, UNKNOWN_EVERY).await? => self.find(|key| key.kid == kid),
            None => None,
        };
        let key = key.ok_or(Error::Unauthenticated)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&[ISSUER]);
        // The library would read the machine's clock; ours is a parameter.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.verifying, &validation)
            .map_err(|_| Error::Unauthenticated)?
            .claims;
        if claims.exp <= db.env().now().timestamp() { Err(Error::Unauthenticated) } else { Ok(claims) }
    }
}

impl From<SigningKey> for Key {
    fn from(key: SigningKey) -> Self {
        Self {
            kid: kid(&key),
            active_from: key.active_from,
            signing: EncodingKey::from_ed_der(&key.private_pkcs8),
            verifying: DecodingKey::from_ed_der(&key.public_key),
            public: key.public_key,
        }
    }
}

pub(super) async fn jwks(tx: &mut SystemTx) -> Result<Jwks, Error> {
    let keys = store::signing_keys(tx).await?;
    let jwk = |key: &SigningKey| Jwk {
        kty: "OKP",
        crv: "Ed25519",
        alg: "EdDSA",
        purpose: "sig",
        kid: kid(key),
        x: URL_SAFE_NO_PAD.encode(&key.public_key),
    };
    Ok(Jwks { keys: keys.iter().map(jwk).collect() })
}

fn kid(key: &SigningKey) -> String {
    key.id.simple().to_string()
}

fn generate(env: &Env, active_from: DateTime<Utc>) -> Result<SigningKey, Error> {
    let key = ed25519_dalek::SigningKey::from_bytes(&env.random());
    let private_pkcs8 = key.to_pkcs8_der().map_err(|cause| Error::Internal(cause.to_string().into()))?;
    Ok(SigningKey {
        id: env.new_uuid(),
        private_pkcs8: private_pkcs8.as_bytes().to_vec(),
        public_key: key.verifying_key().to_bytes().to_vec(),
        active_from,
    })
}
