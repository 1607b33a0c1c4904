//! The OAuth 2.0 token endpoint, which follows RFC 6749 alone, and the keys to check its tokens with.

use axum::Json as Answer;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tenancy::Origin;
use tenancy::auth::Grant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::{Api, extract, schema};

/// What a client offers for an access token. Parameters without a meaning here are ignored (RFC 6749 §3.2).
#[derive(Deserialize, ToSchema)]
struct TokenRequest {
    /// `client_credentials` (a program with an API key), `password` (a person at a first-party portal) or `refresh_token`.
    #[schema(value_type = schema::GrantType)]
    grant_type: Option<String>,
    /// The API key's id; may come by HTTP Basic instead.
    #[schema(value_type = String, required = false, example = "key_019a2f3c5d7e7abc8def0123456789ab")]
    client_id: Option<String>,
    /// The API key's secret; may come by HTTP Basic instead.
    #[schema(value_type = String, required = false, example = "pillarbox_019a2f3c5d7e7abc8def0123456789ab_...")]
    client_secret: Option<SecretText>,
    /// For `password`: an address of the person.
    #[schema(value_type = String, required = false, example = "ada@bakery.example")]
    username: Option<String>,
    /// For `password`.
    #[schema(value_type = String, required = false, example = "correct horse battery staple")]
    password: Option<SecretText>,
    /// For `refresh_token`: what the last answer gave.
    #[schema(value_type = String, required = false, example = "pillarboxrt_019a2f3c5d7e7abc8def0123456789ab_...")]
    refresh_token: Option<SecretText>,
    /// There are none: leave it out.
    #[schema(value_type = String, required = false, max_length = 0, example = "")]
    scope: Option<String>,
}

/// A secret in a form, which no log may show.
struct SecretText(SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(String::deserialize(deserializer)?.into()))
    }
}

/// An access token (RFC 6749 §5.1).
#[derive(Debug, Serialize, ToSchema)]
struct Token {
    /// For `Authorization: Bearer`.
    #[schema(example = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIuLi4ifQ.c2ln")]
    access_token: String,
    /// `Bearer`.
    #[schema(value_type = schema::TokenType)]
    token_type: &'static str,
    /// For how many seconds it is good.
    #[schema(example = 900)]
    expires_in: i64,
    /// For the next access token, by `grant_type=refresh_token`; good once. A program with an API key gets none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "pillarboxrt_019a2f3c5d7e7abc8def0123456789ab_...")]
    refresh_token: Option<String>,
}

/// Why there is no token (RFC 6749 §5.2).
#[derive(Debug, Clone, Serialize, ToSchema)]
struct TokenError {
    /// `invalid_request`, `invalid_client`, `invalid_grant`, `invalid_scope`, `unsupported_grant_type` or `temporarily_unavailable`.
    #[schema(value_type = schema::TokenErrorCode)]
    error: &'static str,
    /// What is wrong; for people.
    #[schema(example = "the client's id or secret is wrong, expired or revoked")]
    error_description: &'static str,
}

/// A refusal, in the endpoint's own form or in everybody's.
enum Refusal {
    Token {
        status: StatusCode,
        error: TokenError,
        by_basic: bool,
    },
    /// Too many sign-ins failed; RFC 6749 has no error of its own for it.
    Throttled {
        retry_after_secs: u32,
    },
    Problem(Problem),
}

fn refusal(error: &'static str, error_description: &'static str) -> Refusal {
    let error = TokenError { error, error_description };
    Refusal::Token { status: StatusCode::BAD_REQUEST, error, by_basic: false }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Throttled { retry_after_secs } => {
                let error = "temporarily_unavailable";
                let error_description =
                    "too many sign-ins failed; try again after the seconds in Retry-After";
                let retry_after = [(RETRY_AFTER, HeaderValue::from(retry_after_secs))];
                let error = TokenError { error, error_description };
                (StatusCode::TOO_MANY_REQUESTS, NOT_STORED, retry_after, Answer(error)).into_response()
            }
            Self::Token { status, error, by_basic: true } => {
                let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"pillarbox\"")];
                (status, NOT_STORED, challenge, Answer(error)).into_response()
            }
            Self::Token { status, error, .. } => (status, NOT_STORED, Answer(error)).into_response(),
        }
    }
}

/// RFC 6749 §5.1.
const NOT_STORED: [(axum::http::HeaderName, &str); 2] = [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];

/// Get an access token
///
/// Follows RFC 6749: a form in, its own errors out, no `Idempotency-Key`. `client_credentials` takes an API key, `password` a person's
/// address and password, `refresh_token` what the answer to that gave: each is good once, and using one a second time ends all
/// that came of that sign-in. The client authenticates in the form or by HTTP Basic.
#[utoipa::path(post, path = "/v1/auth/token", tag = "Authentication", operation_id = "create_token",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "An access token.", body = Token),
        (status = 400, description = "The request is not well-formed, or the grant proves nothing.", body = TokenError),
        (status = 401, description = "The client is not who it says: `invalid_client`.", body = TokenError),
        (status = 429, description = "Too many sign-ins failed for this account from here: `temporarily_unavailable`.", body = TokenError)),
    security(()))]
async fn create(
    State(api): State<Api>,
    extensions: Extensions,
    headers: HeaderMap,
    form: Result<Form<TokenRequest>, FormRejection>,
) -> Result<Response, Refusal> {
    let Ok(Form(form)) = form else {
        return Err(refusal("invalid_request", "the body has to be a form that names each parameter once"));
    };
    let origin = extract::origin(&extensions, &api);
    let (grants, by_basic) = offered(form, &headers)?;
    let mut answer = Err(refusal("invalid_request", "there is no grant"));
    for grant in grants {
        answer = Ok(issue(&api, grant, origin, by_basic).await?);
    }
    answer.map(|token| (NOT_STORED, Answer(token)).into_response())
}

/// What a request offers, and whether its client authenticates by HTTP Basic.
fn offered(form: TokenRequest, headers: &HeaderMap) -> Result<(Vec<Grant>, bool), Refusal> {
    let (form, by_basic) = with_basic(form, headers)?;
    Ok((grants(form)?, by_basic))
}

/// What a request offers that has these header fields and this form, as [`create`] reads it; `None` when it is refused.
#[cfg(any(test, fuzzing))]
pub(crate) fn read(headers: HeaderMap, body: axum::body::Bytes) -> Option<(Vec<Grant>, bool)> {
    use axum::extract::FromRequest as _;
    use futures::FutureExt as _;
    let mut request = axum::extract::Request::new(body.into());
    *request.method_mut() = axum::http::Method::POST;
    let media_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(axum::http::header::CONTENT_TYPE, media_type);
    // All of it is there, so it waits for nothing.
    let Form(form) = Form::<TokenRequest>::from_request(request, &()).now_or_never()?.ok()?;
    offered(form, &headers).ok()
}

/// What is to be proven, in order; the last one's is the token. RFC 6749 §4.3.2: a client that authenticates itself
/// beside a password is checked as well.
fn grants(form: TokenRequest) -> Result<Vec<Grant>, Refusal> {
    if form.scope.is_some_and(|scope| !scope.is_empty()) {
        return Err(refusal("invalid_scope", "there are no scopes to ask for"));
    }
    let client = match (form.client_id, form.client_secret) {
        (Some(client_id), Some(SecretText(client_secret))) => {
            Some(Grant::ClientCredentials { client_id, client_secret })
        }
        _ => None,
    };
    match form.grant_type.as_deref() {
        Some("client_credentials") => Ok(vec![
            client.ok_or_else(|| refusal("invalid_request", "client_id and client_secret are needed"))?,
        ]),
        Some("password") => match (form.username, form.password) {
            (Some(username), Some(SecretText(password))) => {
                Ok(client.into_iter().chain([Grant::Password { username, password }]).collect())
            }
            _ => Err(refusal("invalid_request", "username and password are needed")),
        },
        Some("refresh_token") => match form.refresh_token {
            Some(SecretText(refresh_token)) => {
                Ok(client.into_iter().chain([Grant::RefreshToken { refresh_token }]).collect())
            }
            None => Err(refusal("invalid_request", "refresh_token is needed")),
        },
        Some(_) => {
            let text = "grant_type has to be client_credentials, password or refresh_token";
            Err(refusal("unsupported_grant_type", text))
        }
        None => Err(refusal("invalid_request", "grant_type is needed")),
    }
}

async fn issue(api: &Api, grant: Grant, origin: Origin, by_basic: bool) -> Result<Token, Refusal> {
    let is_client = matches!(grant, Grant::ClientCredentials { .. });
    match api.auth.token(grant, origin).await {
        Ok(tokens) => Ok(Token {
            access_token: tokens.access.token.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in: tokens.access.expires_in_secs,
            refresh_token: tokens.refresh.map(|token| token.expose_secret().to_owned()),
        }),
        Err(tenancy::Error::Throttled { retry_after_secs }) => Err(Refusal::Throttled { retry_after_secs }),
        Err(tenancy::Error::Unauthenticated) if is_client => {
            let error_description = "the client's id or secret is wrong, expired or revoked";
            let error = TokenError { error: "invalid_client", error_description };
            Err(Refusal::Token { status: StatusCode::UNAUTHORIZED, error, by_basic })
        }
        Err(tenancy::Error::Unauthenticated) => Err(refusal(
            "invalid_grant",
            "the username, password or refresh token is wrong, expired or used up",
        )),
        Err(error) => Err(Refusal::Problem(error.into())),
    }
}

/// The form, with what HTTP Basic said about the client (RFC 6749 §2.3.1).
fn with_basic(form: TokenRequest, headers: &HeaderMap) -> Result<(TokenRequest, bool), Refusal> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok((form, false)) };
    let malformed = || refusal("invalid_request", "the Authorization header has to be HTTP Basic");
    let (scheme, encoded) =
        header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    if form.client_secret.is_some() {
        return Err(refusal(
            "invalid_request",
            "the client authenticates in the form or by HTTP Basic, not by both",
        ));
    }
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(malformed)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    let client_id = Some(form_decoded(id));
    let client_secret = Some(SecretText(form_decoded(secret).into()));
    Ok((TokenRequest { client_id, client_secret, ..form }, true))
}

fn form_decoded(text: &str) -> String {
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// A public key (RFC 8037 §2).
#[derive(Debug, Serialize, ToSchema)]
struct Jwk {
    /// The key's type.
    #[schema(example = "OKP")]
    kty: &'static str,
    /// The curve.
    #[schema(example = "Ed25519")]
    crv: &'static str,
    /// How it signs.
    #[schema(example = "EdDSA")]
    alg: &'static str,
    /// What it is for: signatures.
    #[schema(example = "sig")]
    r#use: &'static str,
    /// As a token's header names it.
    #[schema(example = "Zk9sQv3J")]
    kid: String,
    /// The key, in base64url.
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
}

/// The installation's public keys (RFC 7517 §5).
#[derive(Debug, Serialize, ToSchema)]
struct Jwks {
    /// The newest first.
    keys: Vec<Jwk>,
}

/// Get the keys that access tokens are signed with
///
/// The public halves, as a JWK set (RFC 7517): check a token with the one that its header names.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Authentication", operation_id = "get_jwks",
    responses((status = 200, description = "The public keys.", body = Jwks)),
    security(()))]
async fn jwks(State(api): State<Api>) -> Result<Response, Problem> {
    let jwks = api.auth.jwks().await?;
    let keys = jwks.keys.into_iter().map(|key| Jwk {
        kty: key.kty,
        crv: key.crv,
        alg: key.alg,
        r#use: key.purpose,
        kid: key.kid,
        x: key.x,
    });
    Ok(([(CACHE_CONTROL, "public, max-age=300")], Answer(Jwks { keys: keys.collect() })).into_response())
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create)).routes(routes!(jwks))
}
