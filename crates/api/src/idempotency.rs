//! `Idempotency-Key` on POST: one layer around the handlers, which know nothing of it.
//!
//! The request's answer is kept when it is final: success, or a refusal that tells of the resources' state. A
//! refusal of the request or the credential as such gives the key back, so that the mended request can use it. A
//! fault leaves the key claimed, since what the request did is not known.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use kernel::RequestId;
use sha2::{Digest as _, Sha256};
use tenancy::Caller;
use tenancy::idempotency::{self, Answer, Claim};
use tracing::Instrument as _;

use crate::extract::{self, Bearer};
use crate::problem::{self, Problem};
use crate::{Api, routes};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// In a response's extensions: the member of its body that is shown once and not kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownOnce(pub(crate) &'static str);

/// The layer. It needs the body limit to be set outside of it.
pub(crate) async fn replay(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let unkeyed = request.method() != Method::POST || request.uri().path() == routes::token::PATH;
    let Some(key) = request.headers().get(IDEMPOTENCY_KEY).filter(|_| !unkeyed) else {
        return Ok(next.run(request).await);
    };
    let key = parse(key)?;
    let (mut parts, body) = request.into_parts();
    let Bearer(caller) = Bearer::from_request_parts(&mut parts, &api).await?;
    let bytes = extract::body(Request::from_parts(parts.clone(), body)).await?;
    let hash = hash(&parts, &bytes);
    match idempotency::claim(&caller, &key, &hash).await? {
        Claim::Replay(answer) => Ok(replayed(answer)),
        Claim::Fresh => {
            let request = Request::from_parts(parts, Body::from(bytes));
            // On its own task: a client that goes away must not leave the work half done and the key claimed.
            let work = carry_out(caller, key, request, next).in_current_span();
            tokio::spawn(work).await.map_err(Problem::internal)
        }
    }
}

fn parse(key: &HeaderValue) -> Result<String, Problem> {
    let text = key
        .to_str()
        .ok()
        .filter(|text| (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()));
    text.map(str::to_owned)
        .ok_or_else(|| Problem::parameter("Idempotency-Key", "must have 1 to 255 visible ASCII characters"))
}

/// Over method, path, query and body, each with its length before it.
fn hash(parts: &Parts, body: &Bytes) -> [u8; 32] {
    let uri = parts.uri.path_and_query().map_or("", |uri| uri.as_str());
    let mut hash = Sha256::new();
    for part in [parts.method.as_str().as_bytes(), uri.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn replayed(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    match HeaderValue::from_str(&answer.content_type) {
        Ok(content_type) if !answer.content_type.is_empty() => {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        _ => {
            response.headers_mut().remove(CONTENT_TYPE);
        }
    }
    response
}

async fn carry_out(caller: Caller, key: String, request: Request, next: Next) -> Response {
    let request_id = request.extensions().get::<RequestId>().copied().unwrap_or_else(|| caller.request_id());
    let response = next.run(request).await;
    let is_final = response.status().is_success()
        || response.extensions().get::<Problem>().is_some_and(|problem| problem.is_kept());
    let response = problem::render(response, request_id);
    let settled = if is_final {
        keep(&caller, &key, response).await
    } else if response.status().is_client_error() {
        idempotency::release(&caller, &key).await.map(|()| response).map_err(Problem::from)
    } else {
        Ok(response)
    };
    settled.unwrap_or_else(Problem::into_response)
}

/// Keeps the answer before it goes out: what a client has seen is what a replay shows.
async fn keep(caller: &Caller, key: &str, response: Response) -> Result<Response, Problem> {
    let shown_once = response.extensions().get::<ShownOnce>().copied();
    let (parts, body) = response.into_parts();
    let limit = usize::try_from(body.size_hint().upper().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let bytes = axum::body::to_bytes(body, limit).await.map_err(Problem::internal)?;
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let answer = Answer {
        status: parts.status.as_u16(),
        content_type: content_type.to_owned(),
        body: match shown_once {
            Some(ShownOnce(member)) => without(&bytes, member)?,
            None => bytes.to_vec(),
        },
    };
    idempotency::answer(caller, key, &answer).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn without(json: &[u8], member: &str) -> Result<Vec<u8>, Problem> {
    let mut object: serde_json::Map<_, _> = serde_json::from_slice(json).map_err(Problem::internal)?;
    object.remove(member);
    serde_json::to_vec(&object).map_err(Problem::internal)
}
