//! Messages put into a mailbox.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use kernel::{FieldError, FolderId};
use mailstore::ingest::{self, Incoming, Outcome, Target};
use mailstore::message::{Flag, Flags};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::message::{Message, done, keywords_of, read_back};
use super::paths::MailboxPath;
use crate::extract::{Bearer, Path, Query, not_null};
use crate::form::Upload;
use crate::instant::Instant;
use crate::problem::Problem;
use crate::version::Tagged;
use crate::{Api, schema};

/// Where to put a message.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    /// The folder; the Inbox when absent.
    #[param(value_type = Option<schema::FolderId>)]
    folder_id: Option<FolderId>,
}

/// What there is to say of a message that is put into a mailbox.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MessageMetadata {
    /// The folder, unless the query names it; the Inbox when absent.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::FolderId, required = false)]
    folder_id: Option<FolderId>,
    /// What is marked of it from the start: nothing when absent.
    #[serde(default)]
    #[schema(value_type = Vec<schema::MessageFlag>, required = false)]
    flags: Vec<String>,
    /// Marks of clients' own, from the start.
    #[serde(default)]
    #[schema(value_type = Vec<schema::Keyword>, required = false, max_items = 100)]
    keywords: Vec<String>,
    /// When it was received, as its `internal_date` is to say; now, when absent.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = DateTime<Utc>, required = false, example = "2026-12-01T09:00:00Z")]
    received_at: Option<Instant>,
}

impl MessageMetadata {
    /// How the message is to be marked.
    ///
    /// # Errors
    /// Flags and keywords that are none.
    fn marks(&self) -> Result<Flags, Problem> {
        let mut wrong = Vec::new();
        let mut marks = Flags::default();
        for (at, name) in self.flags.iter().enumerate() {
            match name.parse::<Flag>() {
                Ok(flag) => drop(marks.flags.insert(flag)),
                Err(_) => {
                    let detail = "must be seen, answered, flagged, deleted or draft";
                    wrong.push(FieldError::new(format!("/metadata/flags/{at}"), detail));
                }
            }
        }
        marks.keywords = keywords_of(&self.keywords, "/metadata/keywords", &mut wrong);
        if !wrong.is_empty() {
            return Err(tenancy::Error::Invalid(wrong).into());
        }
        Ok(marks)
    }

    /// The folder, which is named in one place.
    fn folder(&self, in_query: Option<FolderId>) -> Result<Option<FolderId>, Problem> {
        match (self.folder_id, in_query) {
            (Some(_), Some(_)) => Err(Problem::field("/metadata/folder_id", "is in the query too")),
            (named, in_query) => Ok(named.or(in_query)),
        }
    }
}

/// A message in a form: the metadata first, then the message.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described, and read part by part")]
struct MessageForm {
    metadata: MessageMetadata,
    #[schema(value_type = schema::MessageBytes)]
    message: String,
}

/// Put a message into a mailbox
///
/// It is stored as sent, byte for byte, and is durable when this answers. In a form, what the metadata say holds from the first moment: no client sees the
/// message without its marks, or under another date.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages", tag = "Messages", operation_id = "create_message",
    request_body(description = "The message, or a form with its metadata and then the message; at most 50 MiB.", content(
        (schema::MessageBytes = "message/rfc822"),
        (MessageForm = "multipart/form-data",
            example = json!({
                "metadata": {"flags": ["seen"], "keywords": ["$Forwarded"], "received_at": "2026-12-01T09:00:00Z"},
                "message": "From: ada@bakery.example\r\nSubject: Flour\r\n\r\nTwo bags, please.\r\n",
            }),
            encoding(("metadata" = (content_type = "application/json")), ("message" = (content_type = "message/rfc822")))),
    )),
    params(MailboxPath, UploadQuery),
    responses((status = 201, description = "The message.", body = Message),
        (status = 413, description = "The message is too large: `message_too_large`."),
        (status = 422, description = "The mailbox has no room for it (`quota_exceeded`), or it would have too many keywords (`keyword_limit_reached`).")),
    extensions(("x-required-action" = json!("messages:write"))))]
async fn create(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MailboxPath>,
    Query(query): Query<UploadQuery>,
    upload: Upload<MessageMetadata>,
) -> Result<(StatusCode, Tagged<Answer<Message>>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let Upload { metadata, bytes } = upload;
    let metadata = metadata.unwrap_or_default();
    let folder = metadata.folder(query.folder_id)?;
    let internal_date = metadata.received_at.map_or_else(|| ctx.env().now(), |Instant(at)| at);
    let incoming = Incoming { bytes, internal_date, flags: metadata.marks()?, import_key: None };
    let target =
        Target { ctx: ctx.clone(), mailbox_id: at.mailbox_id, folder: folder.into(), room_bytes: None };
    let outcome = ingest::ingest(&api.store, vec![target], incoming).await.pop();
    let Some(Outcome::Stored(id)) = outcome.transpose()? else {
        return Err(Problem::internal("ingest answered nothing for its one target"));
    };
    let stored = read_back(&ctx, at.mailbox_id, id).await?;
    Ok((StatusCode::CREATED, done(&api, &ctx, at.mailbox_id, stored).await))
}

/// Apart from the others, since its bodies are larger.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(create))
}
