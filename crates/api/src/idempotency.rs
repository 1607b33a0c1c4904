//! `Idempotency-Key` on POST: one layer around the handlers, which know nothing of it.
//!
//! The request's answer is kept when it is final: success, or a refusal that tells of the resources' state. Other
//! refusals, and what could not be done now, changed nothing: they give the key back, so that the mended request or
//! the next try can use it. After a fault, or out of time, the key stays claimed, since what the request did is not
//! known. What is only tried (`dry_run`) claims none.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::ErrorKind;
use sha2::{Digest as _, Sha256};
use tenancy::Caller;
use tenancy::idempotency::{self, Answer, Claim};
use tracing::Instrument as _;

use crate::around::{self, Deadline};
use crate::extract::{self, Bearer};
use crate::problem::{self, Form, Problem};
use crate::routes::Turn;
use crate::tasks::Tasks;
use crate::{Api, form, limits};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// From how long a body on it is hashed apart from the async threads, where it would hold up other requests.
const LONG_BYTES: usize = 256 << 10;

/// The first of the pauses between tries to settle a key while the database is away; each is twice the one before,
/// up to the longest. Together they last about as long as a key counts as under way.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const TRIES: usize = 12;

/// In a response's extensions: the member of its body that is shown once and not kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownOnce(pub(crate) &'static str);

/// The layer. It needs the body limit to be set outside of it.
pub(crate) async fn replay(
    State((api, tasks)): State<(Api, Tasks)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let is_post = request.method() == Method::POST;
    let Some(key) = request.headers().get(IDEMPOTENCY_KEY).filter(|_| is_post) else {
        return Ok(next.run(request).await);
    };
    let key = Key::parse(key)?;
    if is_trial(&request) {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let Bearer(caller) = Bearer::from_request_parts(&mut parts, &api).await?;
    let bytes = extract::body(Request::from_parts(parts.clone(), body)).await?;
    let claimed = Claimed { tasks: tasks.clone(), caller, key: key.name() };
    let hash = hashed(key, &parts, &bytes).await?;
    let request = Request::from_parts(parts, Body::from(bytes));
    // On its own task: a client that goes away must not leave the work half done and the key claimed.
    match tasks.spawn(once(claimed, hash, request, next).in_current_span()).await {
        Ok(Some(answered)) => answered,
        Ok(None) => Err(Problem::internal("the work was cut at shutdown")),
        Err(panicked) => Err(Problem::internal(panicked)),
    }
}

/// Whether the request is to change nothing, so that its key stays free for the one that does. No write passes over the
/// parameter, but SCIM's.
fn is_trial(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    Form::of(request.uri().path()) == Form::Problem
        && url::form_urlencoded::parse(query.as_bytes()).any(|pair| pair == ("dry_run".into(), "true".into()))
}

/// A key as the client sent it.
///
/// Only digests of it are stored. It goes into the request's hash, since a body may hold a password: who reads the
/// table cannot try passwords without the key, which is no more to be guessed than a UUID if it is one.
struct Key(String);

impl Key {
    fn parse(key: &HeaderValue) -> Result<Self, Problem> {
        let text = key.to_str().ok().filter(|text| {
            (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        text.map(|text| Self(text.to_owned())).ok_or_else(|| {
            Problem::parameter("Idempotency-Key", "must have 1 to 255 visible ASCII characters")
        })
    }

    /// What it is stored under.
    fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest([self.0.as_bytes()]))
    }

    /// Over the key, method, path, query and body; of a form over what its delimiters part, since clients make up others for each try. A body
    /// that is left out is `{}`.
    fn hash(&self, parts: &Parts, body: &Bytes) -> [u8; 32] {
        let uri = parts.uri.path_and_query().map_or("", |uri| uri.as_str());
        let head = [self.0.as_bytes(), parts.method.as_str().as_bytes(), uri.as_bytes()].into_iter();
        match form::boundary(&parts.headers) {
            Some(boundary) => digest(head.chain(form::between(body, &boundary))),
            None if body.is_empty() && !parts.headers.contains_key(CONTENT_TYPE) => {
                digest(head.chain([&b"{}"[..]]))
            }
            None => digest(head.chain([&body[..]])),
        }
    }
}

/// [`Key::hash`], of a long body on a thread that may be busy for a while.
async fn hashed(key: Key, parts: &Parts, body: &Bytes) -> Result<[u8; 32], Problem> {
    if body.len() < LONG_BYTES {
        return Ok(key.hash(parts, body));
    }
    // With the place in memory that is among the extensions: whoever waits for it may go away before it is done.
    let (parts, body) = (parts.clone(), body.clone());
    tokio::task::spawn_blocking(move || key.hash(&parts, &body)).await.map_err(Problem::internal)
}

/// Each part with its length before it: no two lists of parts have one digest.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
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
    for (name, value) in [(LOCATION, answer.location), (ETAG, answer.etag)] {
        if let Some(Ok(value)) = value.map(|text| HeaderValue::from_str(&text)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Claims the key, then carries the request out or shows what it answered before.
async fn once(claimed: Claimed, hash: [u8; 32], request: Request, next: Next) -> Result<Response, Problem> {
    match idempotency::claim(&claimed.caller, &claimed.key, &hash).await? {
        Claim::Replay(answer) => Ok(replayed(answer)),
        Claim::Fresh => carry_out(claimed, request, next).await,
    }
}

async fn carry_out(claimed: Claimed, request: Request, next: Next) -> Result<Response, Problem> {
    let extensions = request.extensions();
    let request_id = claimed.caller.request_id();
    let form = Form::of(request.uri().path());
    let deadline =
        extensions.get::<Deadline>().copied().unwrap_or_else(|| Deadline::after(limits::LONGEST_REQUEST));
    // Whoever waited for this task may be gone, and its memory is still in use.
    let turn: Option<Turn> = extensions.get().cloned();
    // Past the deadline the work is dropped, and so rolled back unless it is just being committed: a key that is no
    // longer under way never takes effect later.
    let Ok(response) = tokio::time::timeout_at(deadline.0, next.run(request)).await else {
        return Err(around::too_late());
    };
    drop(turn);
    let settlement = Settlement::of(&response);
    let response = problem::render(response, request_id, form);
    match settlement {
        Some(Settlement::Keep) => {
            // Kept before it goes out: what a client has seen is what a replay shows.
            let (response, answer) = taken_down(response).await?;
            claimed.settle(Some(answer)).await;
            Ok(response)
        }
        Some(Settlement::Release) => {
            claimed.settle(None).await;
            Ok(response)
        }
        None => Ok(response),
    }
}

/// What is done with a key whose request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlement {
    Keep,
    Release,
}

impl Settlement {
    /// `None`: the key stays claimed.
    fn of(response: &Response) -> Option<Self> {
        let status = response.status();
        let is_kept = response.extensions().get::<Problem>().is_some_and(Problem::is_kept);
        if status.is_success() || is_kept {
            Some(Self::Keep)
        } else if status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE {
            Some(Self::Release)
        } else {
            None
        }
    }
}

/// A key while its request is carried out.
#[derive(Clone)]
struct Claimed {
    tasks: Tasks,
    caller: Caller,
    key: String,
}

impl Claimed {
    /// Keeps the answer, or gives the key back. It is no fault of the request's, which has its answer, when the
    /// database is away just now: then this is tried again in the background.
    async fn settle(self, answer: Option<Answer>) {
        if self.is_settled(answer.as_ref()).await {
            return;
        }
        let tasks = self.tasks.clone();
        let again = async move {
            let mut pause = FIRST_PAUSE;
            for _ in 0..TRIES {
                tokio::time::sleep(pause).await;
                if self.is_settled(answer.as_ref()).await {
                    return;
                }
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        };
        tasks.spawn(again.in_current_span());
    }

    /// False when it may be tried again.
    async fn is_settled(&self, answer: Option<&Answer>) -> bool {
        let done = match answer {
            Some(answer) => idempotency::answer(&self.caller, &self.key, answer).await,
            None => idempotency::release(&self.caller, &self.key).await,
        };
        let Err(error) = done else { return true };
        tracing::warn!(error.cause = kernel::error::chain(&error), "an idempotency key could not be settled");
        // Giving back once more what may have been given back already could take it from the request that has it now.
        error.kind() != ErrorKind::Unavailable
    }
}

/// The answer in the form in which it is kept.
async fn taken_down(response: Response) -> Result<(Response, Answer), Problem> {
    let shown_once = response.extensions().get::<ShownOnce>().copied();
    let (parts, body) = response.into_parts();
    let limit = usize::try_from(body.size_hint().upper().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let bytes = axum::body::to_bytes(body, limit).await.map_err(Problem::internal)?;
    let header = |name: HeaderName| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
    let answer = Answer {
        status: parts.status.as_u16(),
        content_type: header(CONTENT_TYPE).unwrap_or_default(),
        location: header(LOCATION),
        etag: header(ETAG),
        body: match shown_once {
            Some(ShownOnce(member)) => without(&bytes, member)?,
            None => bytes.to_vec(),
        },
    };
    Ok((Response::from_parts(parts, Body::from(bytes)), answer))
}

fn without(json: &[u8], member: &str) -> Result<Vec<u8>, Problem> {
    let mut object: serde_json::Map<_, _> = serde_json::from_slice(json).map_err(Problem::internal)?;
    object.remove(member);
    serde_json::to_vec(&object).map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(&HeaderValue::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn what_is_stored_of_a_body_tells_nothing_without_the_key() {
        let (parts, ()) = axum::http::Request::post("/v1/x?y").body(()).unwrap().into_parts();
        let body = Bytes::from_static(br#"{"password": "summer2026"}"#);
        let hash = key("k").hash(&parts, &body);
        assert_eq!(key("k").hash(&parts, &body), hash);
        assert_ne!(key("l").hash(&parts, &body), hash);
        assert_ne!(key("k").name(), key("l").name());
        let plain = [Sha256::digest(&body).into(), digest([&b"POST"[..], &b"/v1/x?y"[..], &body[..]])];
        assert!(!plain.contains(&hash));
        assert!(!key("a-key-of-some-length").name().contains("a-key"));
    }

    #[test]
    fn a_long_body_is_hashed_elsewhere_and_to_the_same() {
        use futures::FutureExt as _;
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (parts, ()) = axum::http::Request::post("/v1/x?y").body(()).unwrap().into_parts();
        let body = |size: usize| Bytes::from(vec![b'x'; size]);
        let (short, long) = (body(LONG_BYTES - 1), body(64 * LONG_BYTES));
        let of_short = hashed(key("k"), &parts, &short).now_or_never().unwrap().unwrap();
        assert_eq!(of_short, key("k").hash(&parts, &short));
        runtime.block_on(async {
            // The only other thread waits, and with it what is to be hashed there.
            let (free, freed) = std::sync::mpsc::channel::<()>();
            let waiting = tokio::task::spawn_blocking(move || freed.recv());
            let mut of_long = std::pin::pin!(hashed(key("k"), &parts, &long));
            assert!(of_long.as_mut().now_or_never().is_none(), "it held up the thread");
            drop(free);
            assert!(waiting.await.unwrap().is_err());
            assert_eq!(of_long.await.unwrap(), key("k").hash(&parts, &long));
        });
    }

    #[test]
    fn a_key_is_kept_given_back_or_left_claimed() {
        use Settlement::{Keep, Release};
        let answers = [
            (StatusCode::CREATED.into_response(), Some(Keep)),
            (Problem::not_found().into_response(), Some(Keep)),
            (Problem::field("/a", "is wrong").into_response(), Some(Release)),
            (Problem::unauthenticated("a token is needed").into_response(), Some(Release)),
            (StatusCode::TOO_MANY_REQUESTS.into_response(), Some(Release)),
            (Problem::unavailable("try again").into_response(), Some(Release)),
            (Problem::internal("a fault").into_response(), None),
        ];
        for (answer, expected) in answers {
            assert_eq!(Settlement::of(&answer), expected, "{answer:?}");
        }
    }
}
