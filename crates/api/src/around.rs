//! What happens around every request: its id, its span, its measures, its deadline, and the form of its errors.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use kernel::RequestId;
use tenancy::Origin;
use tracing::Instrument as _;

use crate::limits::LONGEST_REQUEST;
use crate::problem::{self, Form, Problem};
use crate::{Api, client};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const REQUESTS: &str = "pillarbox_http_requests_total";
const DURATION: &str = "pillarbox_http_request_duration_seconds";

/// In a request's extensions: when its answer is waited for no longer, and what it does is dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) tokio::time::Instant);

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self(tokio::time::Instant::now() + time)
    }
}

/// Says what the measures mean, to the recorder that is installed.
pub(crate) fn describe_measures() {
    metrics::describe_counter!(REQUESTS, "Requests answered, by method, route and status.");
    let text = "From a request's header to the beginning of its answer, by method, route and status.";
    metrics::describe_histogram!(DURATION, metrics::Unit::Seconds, text);
}

/// The outermost layer.
pub(crate) async fn around(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let request_id: RequestId = api.auth.db().env().new_id();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    // The route's template: a path as sent may hold anything.
    let span =
        tracing::info_span!("http", request.id = %request_id, http.method = method, http.route = route);
    let network = client::address(&request, &api.trusted_proxies);
    request.extensions_mut().insert(Origin { request_id, network });
    let form = Form::of(request.uri().path());
    let started = Instant::now();
    let deadline = Deadline::after(api.limits.request_timeout.min(LONGEST_REQUEST));
    request.extensions_mut().insert(deadline);
    let response = within(deadline, next.run(request)).instrument(span.clone()).await;
    let mut response = span.in_scope(|| problem::render(response, request_id, form));
    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    span.in_scope(|| {
        tracing::info!(http.status = status, http.duration_us = elapsed.as_micros() as u64, "answered")
    });
    let labels = [("method", method.to_owned()), ("route", route), ("status", status.to_string())];
    metrics::counter!(REQUESTS, &labels).increment(1);
    metrics::histogram!(DURATION, &labels).record(elapsed);
    set_headers(&mut response, request_id);
    response
}

/// The answer, or a problem when there is none in time or the handler panicked.
async fn within(deadline: Deadline, answer: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(tokio::time::timeout_at(deadline.0, answer)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => too_late().into_response(),
        // The panic hook has printed where; the problem's log line says whose request it was.
        Err(_) => Problem::internal("a handler panicked").into_response(),
    }
}

/// There is no answer by the deadline.
pub(crate) fn too_late() -> Problem {
    let detail = "the request took longer than the server waits; see whether it took effect";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

fn set_headers(response: &mut Response, request_id: RequestId) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers hold customers' data: no cache on the way keeps them, unless a handler knows better.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A method's name as a label: clients can make up any number of names.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// For paths that name no resource.
pub(crate) async fn no_such_resource() -> Problem {
    Problem::not_found()
}

/// For methods that a resource does not have.
pub(crate) async fn no_such_method() -> Problem {
    let detail = "the Allow header names the methods that this resource has";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(answer: impl Future<Output = Response>) -> Response {
        within(Deadline::after(Duration::from_millis(20)), answer).await
    }

    #[tokio::test]
    async fn a_panic_and_a_late_answer_are_problems() {
        assert_eq!(answered(async { StatusCode::OK.into_response() }).await.status(), StatusCode::OK);
        assert_eq!(answered(std::future::pending()).await.status(), StatusCode::REQUEST_TIMEOUT);
        let request_id = RequestId::from_uuid(uuid::Uuid::from_u128(7));
        let response = answered(async { panic!("secret") }).await;
        let response = problem::render(response, request_id, Form::Problem);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            body.contains(&request_id.to_string()) && !body.contains("panic") && !body.contains("secret"),
            "{body}"
        );
    }
}
