//! Taking a message in: as whom it may be sent, its header, its body and its rows; only then is it accepted.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{DomainName, EmailAddress, MailboxId, OutgoingId, RequestId};
use mailstore::parcel;
use tenancy::sender::{self, Sender, Standing};
use tenancy::{Ctx, MailLogin, TenantTx};

use crate::header::{Header, Mends, SenderMend};
use crate::outgoing::{NewMessage, NewRecipient, Notify, Returned};
use crate::{Error, Submission, limit, outgoing, schedule};

/// How much of a mailbox's the queue keeps at a time.
const MAX_KEPT_BYTES: i64 = 2 << 30;
const MAX_KEPT_MESSAGES: i64 = 5_000;

/// Where a recipient's mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To a mailbox of this installation.
    Local,
    /// Out, to this domain.
    Remote(String),
    /// Nowhere: a domain of this installation has no such mailbox.
    Nobody,
    /// Nowhere: it is no domain that mail can go to.
    NoDomain,
    /// It would have to go out, and there is no way.
    NoWayOut,
}

/// A recipient, as RCPT named it and [`Submission::destination`] found it.
#[derive(Debug, Clone)]
pub struct Addressee {
    /// The address as in the path, without its brackets; the domain of one that goes out in its ASCII form.
    pub address: String,
    /// The domain that it goes out to; `None` for one of ours.
    pub domain: Option<String>,
    /// Of what its sender wants to be told (RFC 3461 §4.1); `None` for the default.
    pub notify: Option<Vec<Notify>>,
    /// The original recipient (RFC 3461 §4.2): `type;xtext`.
    pub original: Option<String>,
}

/// What was said before DATA.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The reverse path, without its brackets; `None` for the null path.
    pub sender: Option<EmailAddress>,
    /// Whether the client asked for SMTPUTF8 (RFC 6531 §3.4).
    pub is_utf8: bool,
    /// ENVID, decoded (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// RET (RFC 3461 §4.3).
    pub returned: Option<Returned>,
    /// One at least.
    pub recipients: Vec<Addressee>,
}

/// By what connection a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secured {
    /// Over TLS.
    Tls,
    /// As it is, from this machine.
    Plain,
}

impl Submission {
    /// Where mail for an address would go; `domain` is as its path has it, `address` what it is as one that we could have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn destination(
        &self,
        address: Option<&EmailAddress>,
        domain: &str,
        request_id: RequestId,
    ) -> Result<Destination, Error> {
        if let Some(address) = address
            && self.recipients.resolve(address, request_id).await?.is_some()
        {
            return Ok(Destination::Local);
        }
        // An address literal, or a host of the operator's own network, is none.
        let Ok(domain) = domain.parse::<DomainName>() else { return Ok(Destination::NoDomain) };
        if self.recipients.is_ours(&domain).await? {
            return Ok(Destination::Nobody);
        }
        Ok(match self.relay {
            Some(_) => Destination::Remote(domain.as_str().to_owned()),
            None => Destination::NoWayOut,
        })
    }

    /// Whether somebody may send from an address at all.
    ///
    /// # Errors
    /// [`Error::NotYours`]; as of any statement.
    pub async fn may_send(&self, login: &MailLogin, address: &EmailAddress) -> Result<Standing, Error> {
        let standing = sender::standing(&login.ctx, sender_of(login), address).await?;
        standing.ok_or_else(|| Error::NotYours(address.to_string()))
    }

    /// Takes a message in that somebody sends: whole lines, each ended by CRLF. It is durable, and the queue's under this id, when this returns.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::NotYours`], [`Error::MailboxFull`], [`Error::SendingLimit`]; as of the blob store and any statement. Nothing was accepted then, unless a commit is unresolved.
    pub async fn accept(
        &self,
        login: &MailLogin,
        envelope: Envelope,
        message: Bytes,
        secured: Secured,
        request_id: RequestId,
    ) -> Result<OutgoingId, Error> {
        let recipients = count(&envelope);
        let done = self.take_in(login, envelope, message, secured, request_id).await;
        if let Err(Error::SendingLimit { .. }) = done
            && let Err(error) = limit::tell(&login.ctx, login.mailbox_id, recipients).await
        {
            tracing::warn!(mailbox.id = %login.mailbox_id, error.cause = %kernel::error::chain(&error), "nobody was told that a sending limit is reached");
        }
        done
    }

    async fn take_in(
        &self,
        login: &MailLogin,
        envelope: Envelope,
        message: Bytes,
        secured: Secured,
        request_id: RequestId,
    ) -> Result<OutgoingId, Error> {
        let ctx = &login.ctx;
        let (now, env) = (ctx.env().now(), ctx.env());
        let recipients = count(&envelope);
        {
            // Asked again where it counts; this saves the upload.
            let mut tx = ctx.begin().await?;
            may_send_more(&mut tx, login.mailbox_id).await?;
            limit::check(&mut tx, login.mailbox_id, recipients, now).await?;
        }
        let header = Header::read(&message)?;
        let sender = self.sender_field(login, &header).await?;
        let message_id = format!("<{}@{}>", env.new_uuid().simple(), self.hostname);
        let mended = header.mended(&Mends {
            trace: self.received(envelope.is_utf8, secured, request_id, now).as_bytes(),
            date: now,
            message_id: &message_id,
            hostname: &self.hostname,
            sender: sender.as_deref().map_or(SenderMend::Remove, SenderMend::Set),
        });
        let header_bytes = mended.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(mended.len());
        let is_utf8 = envelope.is_utf8 && !mended[..header_bytes].is_ascii();
        let new = NewMessage {
            id: env.new_id(),
            mailbox_id: login.mailbox_id,
            user_id: Some(login.user_id),
            sender: envelope.sender.as_ref().map(ToString::to_string).unwrap_or_default(),
            message_id: message_id_of(&mended),
            is_8bit: !mended.is_ascii(),
            is_utf8,
            envelope_id: envelope.envelope_id,
            returned: envelope.returned,
            request_id,
            created_at: now,
            give_up_at: now + schedule::GIVE_UP_AFTER,
            recipients: envelope.recipients.into_iter().map(NewRecipient::from).collect(),
        };
        let signed = self.signed(ctx, &header, mended).await?;
        let parcel = parcel::upload(&self.store, ctx, login.mailbox_id, signed, now).await?;
        let done = async {
            let mut tx = ctx.begin().await?;
            may_send_more(&mut tx, login.mailbox_id).await?;
            limit::count(&mut tx, login.mailbox_id, recipients, now).await?;
            // Nothing is waited for any more.
            parcel.enter(&mut tx, env.now()).await?;
            outgoing::insert(&mut tx, &new, &parcel).await?;
            Ok::<_, Error>(tx.commit().await?)
        };
        let done = done.await;
        if let Err(error) = done {
            if error.is_in_vain() {
                parcel.forget(&self.store).await;
            }
            return Err(error);
        }
        self.woken.notify_waiters();
        parcel.may_be_told(env.now())?;
        Ok(new.id)
    }

    /// The address that Sender has to name, once it is sure that the authors are the sender's to name; `None` where they are all that is to be
    /// said.
    async fn sender_field(&self, login: &MailLogin, header: &Header<'_>) -> Result<Option<String>, Error> {
        // RFC 5322 §3.6.2: several authors need somebody who sends.
        let mut is_for_others = header.authors().len() > 1;
        for author in header.authors() {
            let address = author.as_str().parse().map_err(|_| Error::NotYours(author.as_str().to_owned()))?;
            is_for_others |= self.may_send(login, &address).await? == Standing::OnBehalf;
        }
        Ok(match is_for_others {
            true => Some(sender::primary_address(&login.ctx, login.mailbox_id).await?),
            false => None,
        })
    }

    /// The message with the signatures of its first author's domain before it, once that has keys that sign.
    async fn signed(&self, ctx: &Ctx, header: &Header<'_>, mended: Vec<u8>) -> Result<Bytes, Error> {
        // Who may send as them was looked up by their address: it is one.
        let author = header.authors().first().and_then(|author| author.as_str().parse::<EmailAddress>().ok());
        let signer = match &author {
            Some(author) => self.signers.of(&self.store, ctx, author.domain()).await?,
            None => None,
        };
        let Some(signer) = signer else {
            metrics::counter!("pillarbox_dkim_unsigned_total").increment(1);
            return Ok(mended.into());
        };
        let signed = tokio::task::spawn_blocking(move || signer.signed(&mended)).await;
        Ok(signed.map_err(Error::keys)?.map_err(Error::keys)?.into())
    }

    /// The trace field (RFC 5321 §4.4). Where somebody was when they sent it is nobody's business.
    fn received(&self, is_utf8: bool, secured: Secured, id: RequestId, at: DateTime<Utc>) -> String {
        // RFC 3848 §1 and RFC 6531 §4.3 name the protocols.
        let protocol = match (is_utf8, secured) {
            (false, Secured::Tls) => "ESMTPSA",
            (false, Secured::Plain) => "ESMTPA",
            (true, Secured::Tls) => "UTF8SMTPSA",
            (true, Secured::Plain) => "UTF8SMTPA",
        };
        let at = at.format("%a, %d %b %Y %H:%M:%S +0000");
        format!("Received: by {} with {protocol} id {id};\r\n\t{at}\r\n", self.hostname)
    }
}

/// Whether a mailbox is neither too full to send, nor has too much in the queue already.
async fn may_send_more(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<(), Error> {
    let has = outgoing::sending(tx, mailbox_id).await?;
    if has.is_full {
        return Err(Error::MailboxFull);
    }
    match has.kept_bytes < MAX_KEPT_BYTES && has.kept_messages < MAX_KEPT_MESSAGES {
        true => Ok(()),
        false => Err(Error::TooMuchQueued),
    }
}

/// How many recipients there are.
fn count(envelope: &Envelope) -> i32 {
    i32::try_from(envelope.recipients.len()).unwrap_or(i32::MAX)
}

fn sender_of(login: &MailLogin) -> Sender {
    Sender { user_id: login.user_id, mailbox_id: login.mailbox_id }
}

/// The Message-ID of a message, as lists of the queue show it.
pub(crate) fn message_id_of(message: &[u8]) -> String {
    let parsed = mail_parser::MessageParser::new().parse_headers(message);
    let id = parsed.as_ref().and_then(|parsed| parsed.message_id()).unwrap_or_default();
    id.chars().filter(|c| !c.is_control()).take(500).collect()
}
