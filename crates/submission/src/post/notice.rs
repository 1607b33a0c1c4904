//! What senders are told of their mail (RFC 3461 §6): one notification for each attempt, of all recipients that there is news of.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{EmailAddress, RequestId, xtext};
use mailstore::parcel;
use relay::Reply;
use tenancy::Ctx;

use crate::accept::message_id_of;
use crate::dsn::{self, Action, Original, Report, Status};
use crate::outgoing::{NewMessage, NewRecipient, Notify, Returned};
use crate::queue::{Claim, Claimed, Note, Notice, Outcome};
use crate::{Error, Submission, schedule};

/// The most of a message that comes back with the news that it failed.
const RETURNED_BYTES: usize = 1 << 20;

/// News of a recipient.
struct News<'a> {
    one: &'a Claimed,
    note: &'a mut Note,
    action: Action,
    /// What its server said.
    said: Option<String>,
    /// The type and address of its original recipient (RFC 3461 §4.2).
    original: Option<(String, String)>,
}

impl Submission {
    /// What there is to tell the sender of, uploaded; whoever is told that it takes long is noted so.
    pub(super) async fn notice(
        &self,
        ctx: &Ctx,
        claim: &Claim,
        body: &Bytes,
        outcomes: &[Outcome],
        notes: &mut [Note],
    ) -> Result<Option<Notice>, Error> {
        // Nobody hears of what became of a notification (RFC 5321 §4.5.5).
        let Ok(sender) = claim.message.sender.parse::<EmailAddress>() else { return Ok(None) };
        let now = ctx.env().now();
        let is_late = now - claim.message.created_at >= schedule::TELL_AFTER;
        let mut news = Vec::new();
        for ((one, outcome), note) in claim.recipients.iter().zip(outcomes).zip(notes) {
            let action = match (note.state, outcome) {
                ("failed", _) => Action::Failed,
                ("delivered", Outcome::Delivered { is_told_of: false, .. }) => {
                    match claim.destination.is_empty() {
                        true => Action::Delivered,
                        false => Action::Relayed,
                    }
                }
                ("queued", _) if is_late && !one.is_delay_told => Action::Delayed,
                _ => continue,
            };
            if wants(one, action) {
                note.tells_delay = action == Action::Delayed;
                let original = one.original.as_deref().and_then(|original| {
                    let (kind, address) = original.split_once(';')?;
                    let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
                    let decode = if is_utf8 { xtext::decode_utf8 } else { xtext::decode };
                    Some((kind.to_owned(), decode(address)?))
                });
                let said = note.reply.as_ref().map(ToString::to_string);
                news.push(News { one, note, action, said, original });
            }
        }
        if news.is_empty() {
            return Ok(None);
        }
        let request_id = ctx.env().new_id();
        let Some(address) = self.to_be_told(ctx, claim, &sender, request_id).await? else { return Ok(None) };
        let bytes = self.report(ctx, claim, body, &news);
        let message = NewMessage {
            id: ctx.env().new_id(),
            mailbox_id: claim.message.mailbox_id,
            user_id: None,
            sender: String::new(),
            message_id: message_id_of(&bytes),
            is_8bit: !bytes.is_ascii(),
            is_utf8: claim.message.is_utf8,
            envelope_id: None,
            returned: None,
            request_id,
            created_at: now,
            give_up_at: now + schedule::GIVE_UP_AFTER,
            recipients: vec![NewRecipient {
                address,
                destination: String::new(),
                notify: Some(vec![Notify::Never]),
                original: None,
            }],
        };
        let parcel = parcel::upload(&self.store, ctx, claim.message.mailbox_id, bytes.into(), now).await?;
        Ok(Some(Notice { parcel, message }))
    }

    /// Where news of a message go: to its sender, or, where that address is not one of the tenant's any more, to the mailbox that has sent it.
    async fn to_be_told(
        &self,
        ctx: &Ctx,
        claim: &Claim,
        sender: &EmailAddress,
        request_id: RequestId,
    ) -> Result<Option<String>, Error> {
        let found = self.recipients.resolve(sender, request_id).await?;
        if found.is_some_and(|found| found.ctx.tenant_id() == claim.tenant_id) {
            return Ok(Some(claim.message.sender.clone()));
        }
        match tenancy::sender::primary_address(ctx, claim.message.mailbox_id).await {
            Ok(address) => Ok(Some(address)),
            // Nobody is there any more to be told.
            Err(tenancy::Error::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn report(&self, ctx: &Ctx, claim: &Claim, body: &Bytes, news: &[News<'_>]) -> Vec<u8> {
        let (env, now) = (ctx.env(), ctx.env().now());
        let has_failed = news.iter().any(|news| news.action == Action::Failed);
        let is_whole = claim.message.returned == Some(Returned::Full) && has_failed;
        let original = match is_whole && body.len() <= RETURNED_BYTES {
            true => Original::Whole(body),
            false => Original::Headers(body),
        };
        let statuses: Vec<Status<'_>> = news.iter().map(|news| status(claim, news, now)).collect();
        let message_id = format!("{}@{}", env.new_uuid().simple(), self.hostname);
        let boundary = env.new_uuid().simple().to_string();
        let parsed = mail_parser::MessageParser::new().parse_headers(body.as_ref());
        let subject = parsed.as_ref().and_then(|parsed| parsed.subject());
        dsn::render(&Report {
            hostname: &self.hostname,
            to: &claim.message.sender,
            message_id: &message_id,
            boundary: &boundary,
            at: now,
            arrived_at: claim.message.created_at,
            envelope_id: claim.message.envelope_id.as_deref(),
            subject,
            recipients: &statuses,
            original,
            is_utf8: claim.message.is_utf8,
        })
    }
}

/// Whether somebody asked to be told of this; who asked for nothing is told of failures and delays (RFC 3461 §4.1).
fn wants(one: &Claimed, action: Action) -> bool {
    let wish = match action {
        Action::Failed => Notify::Failure,
        Action::Delayed => Notify::Delay,
        Action::Delivered | Action::Relayed => Notify::Success,
    };
    one.notify.as_ref().map_or(wish != Notify::Success, |asked| asked.contains(&wish))
}

fn status<'a>(claim: &Claim, news: &'a News<'_>, now: DateTime<Utc>) -> Status<'a> {
    let reply = news.note.reply.as_ref();
    let told = reply.and_then(|reply| reply.status);
    Status {
        recipient: &news.one.address,
        original: news.original.as_ref().map(|(kind, address)| (kind.as_str(), address.as_str())),
        action: news.action,
        status: match (news.action, told) {
            // Whatever the server said last: that it may work later.
            (Action::Failed, Some((5, 4, 7))) => (5, 4, 7),
            // RFC 3463 §3.5: nothing has answered.
            (_, None) if reply.is_none() => (4, 4, 1),
            _ => dsn::classify(reply.map_or(451, |reply| reply.code), told),
        },
        diagnostic: news.said.as_deref(),
        remote: reply.and_then(Reply::remote),
        last_attempt: news.note.is_tried.then_some(now),
        will_retry_until: (news.action == Action::Delayed).then_some(claim.message.give_up_at),
    }
}
