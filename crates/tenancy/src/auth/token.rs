//! Access tokens: short-lived JWTs signed with Ed25519 (RFC 7519, RFC 8037).

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
use crate::{Error, api_key};

/// How long a token is good for.
const LIFETIME: TimeDelta = TimeDelta::minutes(15);
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
    exp: i64,
    jti: String,
    /// A person's tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
}

/// Signs with the newest key and verifies with any.
pub(super) struct Signer {
    kid: String,
    signing: EncodingKey,
    verifying: Vec<(String, DecodingKey)>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Signer {
    pub(super) async fn load_or_create(db: &Db) -> Result<Self, Error> {
        let mut tx = api_key::system(db).await?;
        let mut keys = store::signing_keys(&mut tx).await?;
        if keys.is_empty() {
            store::lock_signing_keys(&mut tx).await?;
            keys = store::signing_keys(&mut tx).await?;
        }
        if keys.is_empty() {
            let key = generate(db.env())?;
            store::insert_signing_key(&mut tx, &key, db.env().now()).await?;
            tx.commit().await?;
            keys.push(key);
        }
        let newest = keys.first().ok_or(Error::Unauthenticated)?;
        Ok(Self {
            kid: kid(newest),
            signing: EncodingKey::from_ed_der(&newest.private_pkcs8),
            verifying: keys.iter().map(|key| (kid(key), DecodingKey::from_ed_der(&key.public_key))).collect(),
        })
    }

    pub(super) fn issue(&self, env: &Env, sub: String, tenant: Option<String>) -> Result<AccessToken, Error> {
        let iat = env.now().timestamp();
        let claims = Claims {
            iss: ISSUER.into(),
            sub,
            aud: ISSUER.into(),
            iat,
            exp: iat + LIFETIME.num_seconds(),
            jti: env.new_uuid().simple().to_string(),
            tenant,
        };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &claims, &self.signing).map_err(Error::internal)?;
        Ok(AccessToken { token: token.into(), expires_in_secs: LIFETIME.num_seconds() })
    }

    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, Error> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::Unauthenticated)?;
        let (_, key) = self
            .verifying
            .iter()
            .find(|(kid, _)| Some(kid) == header.kid.as_ref())
            .ok_or(Error::Unauthenticated)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&[ISSUER]);
        // The library would read the machine's clock; ours is a parameter.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)
            .map_err(|_| Error::Unauthenticated)?
            .claims;
        if claims.exp <= now.timestamp() { Err(Error::Unauthenticated) } else { Ok(claims) }
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

fn generate(env: &Env) -> Result<SigningKey, Error> {
    let key = ed25519_dalek::SigningKey::from_bytes(&env.random());
    let private_pkcs8 = key.to_pkcs8_der().map_err(|cause| Error::Internal(cause.to_string().into()))?;
    Ok(SigningKey {
        id: env.new_uuid(),
        private_pkcs8: private_pkcs8.as_bytes().to_vec(),
        public_key: key.verifying_key().to_bytes().to_vec(),
    })
}
