//! Whether the server lives, is ready, and how it does.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::problem::Problem;

/// How long a part may take to give a sign of life.
const PATIENCE: Duration = Duration::from_secs(5);

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the server lives
///
/// Asks nothing of what is behind it.
#[utoipa::path(get, path = "/healthz", tag = "Operations", operation_id = "get_health",
    responses((status = 200, description = "It lives.", body = Health)),
    security(()))]
async fn healthz() -> Answer<Health> {
    Answer(Health { status: "ok" })
}

/// Whether the server can do its work
///
/// Asks the database and the blob store for a sign of life.
#[utoipa::path(get, path = "/readyz", tag = "Operations", operation_id = "get_readiness",
    responses((status = 200, description = "It is ready.", body = Health),
        (status = 503, description = "It is not; `detail` names what does not answer.", body = crate::problem::Body,
            content_type = "application/problem+json")),
    security(()))]
async fn readyz(State(api): State<Api>) -> Result<Answer<Health>, Problem> {
    let database = tokio::time::timeout(PATIENCE, api.auth.db().ping());
    let blobs = tokio::time::timeout(PATIENCE, api.store.ping());
    let (database, blobs) = futures::join!(database, blobs);
    let absent =
        [("the database", matches!(database, Ok(Ok(())))), ("the blob store", matches!(blobs, Ok(Ok(()))))];
    let absent: Vec<_> = absent.into_iter().filter(|(_, answers)| !answers).map(|(name, _)| name).collect();
    if absent.is_empty() {
        return Ok(Answer(Health { status: "ok" }));
    }
    Err(Problem::unavailable(format_args!("no sign of life from {}", absent.join(" and "))))
}

/// Measures, for Prometheus
///
/// Needs no credential: the server listens on loopback unless told otherwise. Whoever exposes it keeps this path behind their proxy.
#[utoipa::path(get, path = "/metrics", tag = "Operations", operation_id = "get_metrics",
    responses((status = 200, description = "Prometheus' text format.", content_type = "text/plain", body = String)),
    security(()))]
async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], api.metrics.render())
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}
