//! Messages: their parsed view, marking, filing, copying, deleting and bringing back. They are taken in by [`super::upload`], and their bytes are in
//! [`super::raw`].

use std::collections::BTreeSet;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use kernel::{ErrorKind, FieldError, FolderId, MailboxId, MessageId, Page};
use mailstore::message::{self, Filter, Flag, FlagChange, Keyword};
use mailstore::{outline, parsed, search};
use serde::{Deserialize, Deserializer, Serialize};
use tenancy::Ctx;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{MailboxPath, MessagePath};
use crate::extract::{Bearer, Json, Path, not_null};
use crate::instant::Instant;
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema, word};

/// A sender or recipient as the message names it; unproven.
#[derive(Debug, Serialize, ToSchema)]
struct Address {
    /// The name beside it.
    #[schema(required, example = "Ada Lovelace")]
    name: Option<String>,
    /// As written; it need not be a valid one.
    #[schema(required, example = "ada@bakery.example")]
    address: Option<String>,
}

impl From<parsed::Address> for Address {
    fn from(of: parsed::Address) -> Self {
        Self { name: of.name, address: of.address }
    }
}

/// A part that is shown as a file.
#[derive(Debug, Serialize, ToSchema)]
struct Attachment {
    /// The file name that the sender proposes; not safe as a path.
    #[schema(required, example = "invoice.pdf")]
    name: Option<String>,
    /// Its media type, as the sender says.
    #[schema(example = "application/pdf")]
    content_type: String,
    /// After decoding.
    #[schema(example = 18_230)]
    size_bytes: u64,
}

impl From<parsed::Attachment> for Attachment {
    fn from(of: parsed::Attachment) -> Self {
        Self { name: of.name, content_type: of.content_type, size_bytes: of.size_bytes }
    }
}

/// What is marked of a message (RFC 9051 §2.3.2).
#[derive(Debug, Serialize, ToSchema)]
struct Flags {
    /// It was read.
    #[schema(example = false)]
    seen: bool,
    /// It was answered.
    #[schema(example = false)]
    answered: bool,
    /// Somebody wants to come back to it.
    #[schema(example = false)]
    flagged: bool,
    /// It is to go when a client tidies up its folder.
    #[schema(example = false)]
    deleted: bool,
    /// It is not finished.
    #[schema(example = false)]
    draft: bool,
}

impl From<&message::Flags> for Flags {
    fn from(of: &message::Flags) -> Self {
        let has = |flag| of.flags.contains(&flag);
        Self {
            seen: has(Flag::Seen),
            answered: has(Flag::Answered),
            flagged: has(Flag::Flagged),
            deleted: has(Flag::Deleted),
            draft: has(Flag::Draft),
        }
    }
}

/// What is to be marked; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FlagsPatch {
    /// It was read.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    seen: Option<bool>,
    /// It was answered.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    answered: Option<bool>,
    /// Somebody wants to come back to it.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    flagged: Option<bool>,
    /// It is to go when a client tidies up its folder.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    deleted: Option<bool>,
    /// It is not finished.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, example = true)]
    draft: Option<bool>,
}

/// What of a message is to change (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MessagePatch {
    /// The folder that it is to be in.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::FolderId, required = false)]
    folder_id: Option<FolderId>,
    /// What is to be marked, and what not.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = FlagsPatch, required = false)]
    flags: Option<FlagsPatch>,
    /// All marks of clients' own.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<schema::Keyword>, required = false, max_items = 100)]
    keywords: Option<Vec<String>>,
}

impl MessagePatch {
    /// # Errors
    /// A keyword that is none, or too many.
    fn update(self) -> Result<message::Update, Problem> {
        let Self { folder_id, flags, keywords } = self;
        let FlagsPatch { seen, answered, flagged, deleted, draft } = flags.unwrap_or_default();
        let marks = [
            (Flag::Seen, seen),
            (Flag::Answered, answered),
            (Flag::Flagged, flagged),
            (Flag::Deleted, deleted),
            (Flag::Draft, draft),
        ];
        let all =
            |wanted| marks.into_iter().filter(move |(_, mark)| *mark == Some(wanted)).map(|(flag, _)| flag);
        let clears_keywords = keywords.is_some();
        let keywords = keywords.unwrap_or_default();
        let mut wrong = Vec::new();
        let set = keywords_of(&keywords, "/keywords", &mut wrong);
        if !wrong.is_empty() {
            return Err(tenancy::Error::Invalid(wrong).into());
        }
        let remove = message::Flags { flags: all(false).collect(), ..message::Flags::default() };
        let add = message::Flags { flags: all(true).collect(), keywords: set };
        let flags = FlagChange { clears_keywords, remove, add, ..FlagChange::default() };
        Ok(message::Update { folder: folder_id, flags })
    }
}

/// The keywords among some texts at a pointer, and what is wrong with the others.
pub(super) fn keywords_of(texts: &[String], at: &str, wrong: &mut Vec<FieldError>) -> BTreeSet<Keyword> {
    let mut set = BTreeSet::new();
    for (place, text) in texts.iter().enumerate() {
        match text.parse::<Keyword>() {
            Ok(keyword) => drop(set.insert(keyword)),
            Err(error) => wrong.push(FieldError::new(format!("{at}/{place}"), error.detail)),
        }
    }
    set
}

/// Where a copy is to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CopyBody {
    /// The mailbox; the same one when absent.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::MailboxId, required = false)]
    mailbox_id: Option<MailboxId>,
    /// A folder of it; its Inbox when absent.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = schema::FolderId, required = false)]
    folder_id: Option<FolderId>,
}

/// A message without its bytes. What the message says about itself may be cut, and is empty where it cannot be read; in the answer to a
/// change also where it cannot be read just now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Message {
    #[schema(value_type = schema::MessageId)]
    id: MessageId,
    #[schema(value_type = schema::MailboxId)]
    mailbox_id: MailboxId,
    /// The folder it is in, or was in when it was deleted.
    #[schema(value_type = schema::FolderId)]
    folder_id: FolderId,
    /// Its number in the folder; a new one when it is moved or recovered.
    #[schema(example = 42)]
    uid: u64,
    /// The mailbox's modification sequence at its last change.
    #[schema(example = 57)]
    modseq: u64,
    /// What people and clients have marked.
    flags: Flags,
    /// Marks of clients' own, as `$Forwarded`.
    #[schema(value_type = Vec<schema::Keyword>)]
    keywords: Vec<String>,
    /// As stored.
    #[schema(example = 2048)]
    size_bytes: u64,
    /// When it was received.
    internal_date: DateTime<Utc>,
    /// `live` or `recoverable`.
    #[schema(value_type = schema::MessageState)]
    state: &'static str,
    /// When it was deleted.
    #[schema(required)]
    discarded_at: Option<DateTime<Utc>>,
    /// Its subject.
    #[schema(required, example = "Flour for Monday")]
    subject: Option<String>,
    /// Whom it says it is from.
    from: Vec<Address>,
    /// Whom it is to.
    to: Vec<Address>,
    /// Who gets a copy.
    cc: Vec<Address>,
    /// Whom to answer.
    reply_to: Vec<Address>,
    /// What its `Date` field says.
    #[schema(required)]
    date: Option<DateTime<Utc>>,
    /// Its `Message-ID` without the angle brackets.
    #[schema(required, example = "20261201093000.1@bakery.example")]
    message_id: Option<String>,
    /// The `Message-ID`s of what it answers.
    in_reply_to: Vec<String>,
    /// The `Message-ID`s of the conversation before it.
    references: Vec<String>,
    /// The beginning of the text.
    #[schema(required, example = "Could you bring two bags")]
    preview: Option<String>,
    /// Its parts that are shown as files.
    attachments: Vec<Attachment>,
}

impl Message {
    fn new(mailbox_id: MailboxId, of: message::Message, parsed: parsed::Parsed) -> Self {
        Self {
            id: of.id,
            mailbox_id,
            folder_id: of.folder_id,
            uid: of.uid,
            modseq: of.modseq,
            flags: Flags::from(&of.flags),
            keywords: of.flags.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect(),
            size_bytes: of.size_bytes,
            internal_date: of.internal_date,
            state: of.state.as_str(),
            discarded_at: of.discarded_at,
            subject: parsed.subject,
            from: addresses(parsed.from),
            to: addresses(parsed.to),
            cc: addresses(parsed.cc),
            reply_to: addresses(parsed.reply_to),
            date: parsed.date,
            message_id: parsed.message_id,
            in_reply_to: parsed.in_reply_to,
            references: parsed.references,
            preview: parsed.preview,
            attachments: parsed.attachments.into_iter().map(Attachment::from).collect(),
        }
    }

    /// With its version, which changes with each change of it.
    fn tagged(self) -> Tagged<Answer<Self>> {
        Tagged(i64::try_from(self.modseq).unwrap_or(i64::MAX), Answer(self))
    }
}

/// Messages as they are shown, in their order.
async fn shown(
    api: &Api,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    messages: Vec<message::Message>,
) -> Result<Vec<Message>, mailstore::Error> {
    let parsed = outline::parsed(&api.store, ctx, &messages).await?;
    let both = messages.into_iter().zip(parsed);
    Ok(both.map(|(message, parsed)| Message::new(mailbox_id, message, parsed)).collect())
}

fn addresses(of: Vec<parsed::Address>) -> Vec<Address> {
    of.into_iter().map(Address::from).collect()
}

/// Which messages are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct MessageFilter {
    /// Only those of this folder.
    #[param(value_type = Option<schema::FolderId>)]
    folder_id: Option<FolderId>,
    /// `live`, or `recoverable` for deleted ones.
    #[serde(default, deserialize_with = "word::word")]
    #[param(value_type = Option<schema::MessageState>, default = "live")]
    state: message::State,
    /// Only those whose `internal_date` is this time or a later one. What was imported, copied or put here with a time of its own keeps that one, while the
    /// page is in the order in which messages came into the mailbox.
    #[param(value_type = Option<DateTime<Utc>>, example = "2026-12-01T09:00:00Z")]
    since: Option<Instant>,
    /// Only those that say every one of these words, at most 16: each as a whole word, in upper or lower case, in the subject, in a sender or
    /// recipient, in the text, or in the name of an attachment.
    #[param(value_type = Option<String>, min_length = 1, max_length = 256, example = "flour monday")]
    q: Option<Words>,
}

/// Words to search for.
#[derive(Debug)]
struct Words(search::Query);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        search::Query::words(&text).map(Self).map_err(|error| serde::de::Error::custom(error.detail))
    }
}

/// List a mailbox's messages
///
/// In the order of their arrival. With `q` or `since` so much mail is looked at for one page that it may have fewer items than `limit`, or none, though
/// more follow: go on until `next_cursor` is null.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages", tag = "Messages", operation_id = "list_messages",
    params(MailboxPath, PageQuery, MessageFilter),
    responses((status = 200, description = "A page of messages.", body = List<Message>),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`.")),
    extensions(("x-required-action" = json!("messages:read"))))]
async fn list(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MailboxPath>,
    Listing(page, narrowed): Listing<MessageFilter>,
) -> Result<Answer<List<Message>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let since = narrowed.since.map(|Instant(at)| at);
    let filter = Filter { folder_id: narrowed.folder_id, state: narrowed.state, since };
    let messages = match narrowed.q {
        None => message::list(&ctx, at.mailbox_id, filter, &page).await?,
        Some(Words(words)) => {
            search::messages(&api.store, &ctx, at.mailbox_id, filter, &words, &page).await?
        }
    };
    let items = shown(&api, &ctx, at.mailbox_id, messages.items).await?;
    Ok(page::answer(Page { items, next: messages.next }))
}

/// What was just stored. It is durable, so no failure here may ask for it to be sent again, as a 503 does.
pub(super) async fn read_back(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: MessageId,
) -> Result<message::Message, Problem> {
    let mut read = message::stored(ctx, mailbox_id, id).await;
    // A lost connection is noticed by using it, and the next one is a new one.
    if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
        read = message::stored(ctx, mailbox_id, id).await;
    }
    read.map_err(Problem::internal)
}

/// A message that something was done to. That is durable and is answered as done, also where what the message says of itself cannot be read now:
/// an error would have it done again.
pub(super) async fn done(
    api: &Api,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    message: message::Message,
) -> Tagged<Answer<Message>> {
    let one = std::slice::from_ref(&message);
    let mut read = outline::parsed(&api.store, ctx, one).await;
    if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
        read = outline::parsed(&api.store, ctx, one).await;
    }
    let parsed = read.map(|mut one| one.pop().unwrap_or_default()).unwrap_or_else(|error| {
        tracing::warn!(error = kernel::error::chain(&error), "what a message says was not answered");
        parsed::Parsed::default()
    });
    Message::new(mailbox_id, message, parsed).tagged()
}

/// Get a message
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}", tag = "Messages",
    operation_id = "get_message",
    params(MessagePath),
    responses((status = 200, description = "The message, live or recoverable.", body = Message),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`.")),
    extensions(("x-required-action" = json!("messages:read"))))]
async fn get(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MessagePath>,
) -> Result<Tagged<Answer<Message>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let message = message::get(&ctx, at.mailbox_id, at.message_id).await?;
    let shown = shown(&api, &ctx, at.mailbox_id, vec![message]).await?.pop();
    Ok(shown.ok_or(mailstore::Error::NotFound)?.tagged())
}

/// Change a message
///
/// Marks it, moves it to another folder of its mailbox, or both.
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}", tag = "Messages",
    operation_id = "update_message",
    params(MessagePath),
    responses((status = 200, description = "The message as it is now.", body = Message),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`."),
        (status = 422, description = "The message would have too many keywords: `keyword_limit_reached`.")),
    extensions(("x-required-action" = json!("messages:write"))))]
async fn update(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MessagePath>,
    IfMatch(version): IfMatch,
    Json(body): Json<MessagePatch>,
) -> Result<Tagged<Answer<Message>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let update = body.update()?;
    let message = message::update(&api.store, &ctx, at.mailbox_id, at.message_id, &update, version).await?;
    Ok(done(&api, &ctx, at.mailbox_id, message).await)
}

/// Copy a message
///
/// Into a folder of any mailbox of the tenant, inside that one's quota: with its date and what is marked of it. Copying into another mailbox
/// takes `messages:read` besides.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}/copy", tag = "Messages",
    operation_id = "copy_message",
    params(MessagePath),
    responses((status = 201, description = "The copy.", body = Message),
        (status = 403, description = "The caller is from above the tenant and has no support access to one of the mailboxes: `support_access_required`."),
        (status = 422, description = "The mailbox has no room for it: `quota_exceeded`.")),
    extensions(("x-required-action" = json!("messages:write"))))]
async fn copy(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MessagePath>,
    Json(body): Json<CopyBody>,
) -> Result<(StatusCode, Tagged<Answer<Message>>), Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let mailbox_id = body.mailbox_id.unwrap_or(at.mailbox_id);
    let to = message::Target { mailbox_id, folder: body.folder_id };
    let placed = message::copy(&api.store, &ctx, at.mailbox_id, &[at.message_id], to).await?;
    let id = placed.first().ok_or(mailstore::Error::NotFound)?.id;
    let copy = read_back(&ctx, mailbox_id, id).await?;
    Ok((StatusCode::CREATED, done(&api, &ctx, mailbox_id, copy).await))
}

/// Delete a message
///
/// It leaves its folder and the quota, and can be recovered for as long as the tenant's retention policy says: 30 days, if it says nothing else.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}", tag = "Messages",
    operation_id = "delete_message",
    params(MessagePath),
    responses((status = 204, description = "Deleted."),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`.")),
    extensions(("x-required-action" = json!("messages:delete"))))]
async fn delete(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MessagePath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    message::discard_if(&api.store, &ctx, at.mailbox_id, at.message_id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Recover a deleted message
///
/// Into the folder it was in, or the Inbox if that was deleted, inside the quota: with its id and date, and a new, higher UID.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}/recover", tag = "Messages",
    operation_id = "recover_message",
    params(MessagePath),
    responses((status = 200, description = "The message as it is now.", body = Message),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`."),
        (status = 409, description = "The message is not deleted: `message_not_deleted`."),
        (status = 422, description = "The mailbox has no room for it: `quota_exceeded`.")),
    extensions(("x-required-action" = json!("messages:write"))))]
async fn recover(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MessagePath>,
) -> Result<Tagged<Answer<Message>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let message = message::recover(&api.store, &ctx, at.mailbox_id, at.message_id).await?;
    Ok(done(&api, &ctx, at.mailbox_id, message).await)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(get, update, delete))
        .routes(routes!(copy))
        .routes(routes!(recover))
}
