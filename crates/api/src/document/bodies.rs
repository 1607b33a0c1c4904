//! Which bodies the document says may be left out: those that `extract::Json` takes for `{}`.

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{Components, Schema};
use utoipa::openapi::{Content, RefOr, Required};

/// Says so of a POST's body, if no member of it has to be there.
pub(super) fn declare(operation: &mut Operation, components: &Components) {
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && body.content.iter().all(|(media_type, content)| {
            media_type == "application/json" && needs_no_member(content, components)
        })
    {
        body.required = Some(Required::False);
    }
}

fn needs_no_member(content: &RefOr<Content>, components: &Components) -> bool {
    let RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. }) = content else { return false };
    let name = schema.ref_location.rsplit('/').next().unwrap_or_default();
    matches!(components.schemas.get(name), Some(RefOr::T(Schema::Object(object))) if object.required.is_empty())
}
