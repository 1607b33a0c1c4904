//! Folders of a mailbox.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use kernel::{FolderId, Page};
use mailstore::folder::{self, Changed, NewFolder, Role};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{FolderPath, MailboxPath};
use crate::extract::{Bearer, Json, Path, not_null, nullable};
use crate::page::{self, List};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::word::Word as _;
use crate::{Api, schema};

/// A folder of a mailbox.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Folder {
    #[schema(value_type = schema::FolderId)]
    id: FolderId,
    /// The folder that it lies in; null at the top.
    #[schema(value_type = Option<schema::FolderId>, required)]
    parent_id: Option<FolderId>,
    /// As people call it.
    #[schema(example = "Inbox")]
    name: String,
    /// The names on the way to it and its own, with `/` between them.
    #[schema(example = "Suppliers/Flour")]
    path: String,
    /// `inbox`, `drafts`, `sent`, `junk`, `trash` or `archive`; null for one that is for nothing in particular.
    #[schema(value_type = Option<schema::FolderRole>, required)]
    role: Option<&'static str>,
    /// Whether clients show it.
    #[schema(example = true)]
    is_subscribed: bool,
    /// Changes only if UIDs have to be handed out anew (RFC 9051).
    #[schema(example = 1_795_000_000)]
    uid_validity: u32,
    /// The UID that the next message will get.
    #[schema(example = 43)]
    uid_next: u64,
    /// Live messages in it.
    #[schema(example = 42)]
    message_count: u64,
    /// Live messages in it that nobody has seen.
    #[schema(example = 3)]
    unseen_count: u64,
    /// The sizes of the live messages in it, added up.
    #[schema(example = 1_048_576)]
    size_bytes: u64,
    /// The mailbox's modification sequence at the last change of it or of what is or was in it.
    #[schema(example = 57)]
    highest_modseq: u64,
}

impl From<folder::Folder> for Folder {
    fn from(of: folder::Folder) -> Self {
        Self {
            id: of.id,
            parent_id: of.parent_id,
            name: of.name,
            path: of.path,
            role: of.role.map(Role::as_str),
            is_subscribed: of.is_subscribed,
            uid_validity: of.uid_validity,
            uid_next: of.uid_next,
            message_count: of.message_count,
            unseen_count: of.unseen_count,
            size_bytes: of.size_bytes,
            highest_modseq: of.highest_modseq,
        }
    }
}

fn tagged(of: folder::Folder) -> Tagged<Answer<Folder>> {
    Tagged(of.version, Answer(of.into()))
}

/// A folder to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FolderBody {
    /// Once in its place.
    #[schema(value_type = schema::FolderName)]
    name: String,
    /// The folder that it is to lie in; absent or null for the top.
    #[serde(default)]
    #[schema(value_type = Option<schema::FolderId>)]
    parent_id: Option<FolderId>,
    /// What it is for (RFC 6154); each role once in a mailbox.
    #[serde(default, deserialize_with = "role")]
    #[schema(value_type = Option<schema::FolderRole>)]
    role: Option<Role>,
    /// Whether clients are to show it.
    #[serde(default = "shown")]
    #[schema(default = true, example = true)]
    is_subscribed: bool,
}

fn shown() -> bool {
    true
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    Role::named(&name).map(Some).map_err(serde::de::Error::custom)
}

/// What of a folder is to change (RFC 7396). What lies below it comes along.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FolderPatch {
    /// Once in its place.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::FolderName, required = false)]
    name: Option<String>,
    /// The folder that it is to lie in; null for the top.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::FolderId>)]
    parent_id: Option<Option<FolderId>>,
    /// Whether clients are to show it.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    is_subscribed: Option<bool>,
}

/// List a mailbox's folders
///
/// In the order of their paths, each after the one that it lies in, all on one page.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders", tag = "Folders", operation_id = "list_folders",
    params(MailboxPath),
    responses((status = 200, description = "The folders.", body = List<Folder>)),
    extensions(("x-required-action" = json!("mailboxes:read"))))]
async fn list(Bearer(caller): Bearer, Path(at): Path<MailboxPath>) -> Result<Answer<List<Folder>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let items = folder::list(&ctx, at.mailbox_id).await?;
    Ok(page::answer(Page { items, next: None }))
}

/// Create a folder
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders", tag = "Folders", operation_id = "create_folder",
    params(MailboxPath),
    responses((status = 201, description = "The folder.", body = Folder),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`."),
        (status = 409, description = "There is one of that name in that place, or for that purpose: `folder_exists`."),
        (status = 422, description = "The mailbox has as many folders, or as deep ones, as it may: `folder_limit_reached`.")),
    extensions(("x-required-action" = json!("messages:write"))))]
async fn create(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MailboxPath>,
    Json(body): Json<FolderBody>,
) -> Result<(StatusCode, Tagged<Answer<Folder>>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let FolderBody { name, parent_id, role, is_subscribed } = body;
    let new = NewFolder { parent_id, name, role, is_subscribed };
    let folder = folder::create(&api.store, &ctx, at.mailbox_id, new).await?;
    Ok((StatusCode::CREATED, tagged(folder)))
}

/// Get a folder
///
/// Its `ETag` changes with its own name, place, purpose and subscription: neither mail in it nor a new name of a folder that it lies in changes it.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders/{folder_id}", tag = "Folders", operation_id = "get_folder",
    params(FolderPath),
    responses((status = 200, description = "The folder.", body = Folder)),
    extensions(("x-required-action" = json!("mailboxes:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<FolderPath>) -> Result<Tagged<Answer<Folder>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(folder::get(&ctx, at.mailbox_id, at.folder_id).await?))
}

/// Change a folder
///
/// Its messages, and those of the folders below it, keep their UIDs.
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders/{folder_id}", tag = "Folders",
    operation_id = "update_folder",
    params(FolderPath),
    responses((status = 200, description = "The folder as it is now.", body = Folder),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`."),
        (status = 409, description = "There is one of that name in that place (`folder_exists`), or it is the Inbox (`inbox_stays`)."),
        (status = 422, description = "It would lie too deep: `folder_limit_reached`.")),
    extensions(("x-required-action" = json!("messages:write"))))]
async fn update(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<FolderPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<FolderPatch>,
) -> Result<Tagged<Answer<Folder>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let FolderPatch { name, parent_id, is_subscribed } = body;
    let changed = Changed { name, parent_id, is_subscribed };
    Ok(tagged(folder::update_if(&api.store, &ctx, at.mailbox_id, at.folder_id, changed, version).await?))
}

/// Delete a folder
///
/// Its messages can be recovered, as other deleted ones, into the Inbox.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders/{folder_id}", tag = "Folders",
    operation_id = "delete_folder",
    params(FolderPath),
    responses((status = 204, description = "Deleted."),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`."),
        (status = 409, description = "Folders lie below it (`folder_has_children`), or it is the Inbox (`inbox_stays`).")),
    extensions(("x-required-action" = json!("messages:delete"))))]
async fn delete(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<FolderPath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    folder::delete_if(&api.store, &ctx, at.mailbox_id, at.folder_id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list, create)).routes(routes!(get, update, delete))
}
