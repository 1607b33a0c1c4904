//! The resources: one file per noun.

mod alias;
mod api_key;
mod app_password;
mod billing_profile;
mod billing_run;
mod branding;
mod capability;
mod change;
mod delegate;
mod discount;
mod dkim_key;
mod domain;
mod dry_run;
mod dunning_policy;
mod event;
mod export;
mod folder;
mod group;
mod health;
mod hold;
mod invoice;
mod invoice_form;
mod invoice_lifecycle;
mod mailbox;
mod mailbox_lifecycle;
mod message;
mod one_off_item;
mod operation;
mod outgoing;
mod paper_form;
pub(crate) mod paths;
mod payment;
mod payment_provider;
mod preview;
mod price_book;
mod raw;
mod reseller;
mod restore;
mod retention;
mod sending_limit;
mod statement;
mod subscription;
mod support_access;
mod tax_rate;
mod tenant;
mod tenant_lifecycle;
pub(crate) mod token;
mod upload;
mod usage;
mod user;
mod user_batch;
mod user_lifecycle;
mod webhook_endpoint;
mod wholesale;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::bare::Bare;
use crate::file::Downloads;
use crate::limits::PUBLIC_BODY_BYTES;
use crate::rate::{self, Rates};
use crate::tasks::Tasks;
use crate::{Api, Means, around, bare, document, form, idempotency, scim};

/// All of the API.
pub fn router(means: Means) -> Router {
    tracked(means, Tasks::default())
}

/// The same, with the work that outlives its connection among `tasks`.
pub(crate) fn tracked(means: Means, tasks: Tasks) -> Router {
    let api = Api(Arc::new(means));
    around::describe_measures();
    let limits = &api.limits;
    let document: Arc<str> = document::openapi().into();
    let openapi = move || async move {
        ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], document.to_string())
    };
    // The layer reads bodies, so the limit on them has to be known to it already.
    let downloads = Downloads::new(limits, tasks.clone());
    let replay = from_fn_with_state((api.clone(), tasks), idempotency::replay);
    let bare = |declared: &_| from_fn_with_state(Bare::among(declared), bare::refuse);
    let rates = Arc::new(Rates::new(limits.requests_per_minute));
    let rate = from_fn_with_state((api.clone(), rates), rate::limit);
    let (public, _) = public().split_for_parts();
    let public = public.layer(DefaultBodyLimit::max(limits.body_bytes.min(PUBLIC_BODY_BYTES)));
    let (small, declared) = with_small_bodies().split_for_parts();
    let small = small
        .layer(replay.clone())
        .layer(bare(&declared))
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(rate.clone());
    let (files, _) = with_files().split_for_parts();
    let files = files.layer(Extension(downloads)).layer(rate.clone());
    let (large, declared) = with_messages().split_for_parts();
    let turns = Arc::new(Semaphore::new(limits.message_uploads));
    let large = large
        .layer(replay)
        .layer(bare(&declared))
        .layer(DefaultBodyLimit::max(limits.message_bytes + limits.body_bytes + form::FRAME_BYTES))
        .layer(from_fn_with_state(turns, take_a_turn))
        .layer(rate);
    Router::new()
        .merge(public)
        .merge(small)
        .merge(files)
        .merge(large)
        .route("/openapi.json", get(openapi))
        .merge(SwaggerUi::new("/docs").config(Config::from("/openapi.json")))
        .fallback(around::no_such_resource)
        .method_not_allowed_fallback(around::no_such_method)
        .layer(RequestBodyTimeoutLayer::new(limits.body_read_timeout))
        .layer(from_fn_with_state(api.clone(), around::around))
        .with_state(api)
}

/// What the document is made of.
pub(crate) fn declared() -> OpenApi {
    let routes = OpenApiRouter::with_openapi(document::frame()).merge(with_small_bodies());
    routes.merge(with_files()).merge(public()).merge(with_messages()).into_openapi()
}

/// What is sent while it is read.
fn with_files() -> OpenApiRouter<Api> {
    OpenApiRouter::default().merge(export::router()).merge(usage::files())
}

fn with_small_bodies() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .merge(reseller::router())
        .merge(api_key::router())
        .merge(tenant::router())
        .merge(tenant_lifecycle::router())
        .merge(domain::router())
        .merge(user::router())
        .merge(user_batch::router())
        .merge(user_lifecycle::router())
        .merge(operation::router())
        .merge(app_password::router())
        .merge(mailbox::router())
        .merge(mailbox_lifecycle::router())
        .merge(delegate::router())
        .merge(alias::router())
        .merge(group::router())
        .merge(support_access::router())
        .merge(hold::router())
        .merge(restore::router())
        .merge(retention::router())
        .merge(dkim_key::router())
        .merge(outgoing::router())
        .merge(sending_limit::router())
        .merge(folder::router())
        .merge(message::router())
        .merge(change::router())
        .merge(raw::router())
        .merge(price_book::router())
        .merge(billing_profile::router())
        .merge(tax_rate::router())
        .merge(subscription::router())
        .merge(preview::router())
        .merge(usage::router())
        .merge(discount::router())
        .merge(one_off_item::router())
        .merge(wholesale::router())
        .merge(invoice::router())
        .merge(invoice_lifecycle::router())
        .merge(statement::router())
        .merge(payment::router())
        .merge(payment_provider::router())
        .merge(dunning_policy::router())
        .merge(billing_run::router())
        .merge(event::router())
        .merge(webhook_endpoint::router())
        .merge(scim::router())
}

/// What takes no bearer token.
fn public() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .merge(token::router())
        .merge(health::router())
        .merge(payment_provider::public_router())
}

fn with_messages() -> OpenApiRouter<Api> {
    upload::router()
}

/// A message's place in memory, taken until the last holder drops it. It goes along in the request's extensions, for
/// work that outlives its connection.
pub(crate) type Turn = Arc<OwnedSemaphorePermit>;

/// Waits until there is room in memory for one message more.
async fn take_a_turn(State(turns): State<Arc<Semaphore>>, mut request: Request, next: Next) -> Response {
    // It fails for a closed semaphore only, which this one never is.
    let turn: Option<Turn> = turns.acquire_owned().await.ok().map(Arc::new);
    if let Some(turn) = &turn {
        request.extensions_mut().insert(Turn::clone(turn));
    }
    let response = next.run(request).await;
    drop(turn);
    response
}
