//! Writes that take no query parameter refuse any, as the others refuse those that they do not know: one that would pass over
//! `?dry_run=true` would be made.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use utoipa::openapi::OpenApi;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};

use crate::problem::{Form, Problem};

/// The writes that declare no query parameter, by method and path.
#[derive(Debug, Clone)]
pub(crate) struct Bare(Arc<HashSet<(Method, String)>>);

impl Bare {
    /// Those among the operations that are declared. SCIM's pass over what they do not know (RFC 7644 §3.4.2.3 for one).
    pub(crate) fn among(declared: &OpenApi) -> Self {
        let paths = declared.paths.paths.iter().filter(|(path, _)| Form::of(path) == Form::Problem);
        let bare = paths.flat_map(|(path, item)| {
            let PathItem { post, put, patch, delete, .. } = item;
            let writes =
                [(Method::POST, post), (Method::PUT, put), (Method::PATCH, patch), (Method::DELETE, delete)];
            let bare = writes.into_iter().filter(|(_, one)| one.as_ref().is_some_and(is_bare));
            bare.map(|(method, _)| (method, path.clone()))
        });
        Self(Arc::new(bare.collect()))
    }
}

fn is_bare(operation: &Operation) -> bool {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    !parameters
        .iter()
        .any(|parameter| matches!(parameter, RefOr::T(one) if one.parameter_in == ParameterIn::Query))
}

/// The layer.
pub(crate) async fn refuse(
    State(bare): State<Bare>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let query = request.uri().query().unwrap_or_default();
    if let Some((name, _)) = url::form_urlencoded::parse(query.as_bytes()).next()
        && let Some(path) = request.extensions().get::<MatchedPath>()
        && bare.0.contains(&(request.method().clone(), path.as_str().to_owned()))
    {
        return Err(Problem::parameter(&name, "is none of this operation's, which has none"));
    }
    Ok(next.run(request).await)
}
