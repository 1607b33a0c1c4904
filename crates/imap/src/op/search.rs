//! SEARCH (RFC 9051 §6.4.4, RFC 4731, RFC 5182).

use std::collections::BTreeMap;

use bytes::BytesMut;
use chrono::{DateTime, TimeDelta, Utc};
use kernel::BlobId;
use mailstore::change::UidSet;
use mailstore::search::{self, Day, Query};
use mailstore::view;
use tenancy::MailLogin;

use super::store;
use crate::codec::command::{FlagName, Search, SearchGive, SearchKey, Text};
use crate::codec::write;
use crate::selected::Selected;
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, tag: &str, mut command: Search) -> Answer {
    session.selected()?;
    if session.enabled.rev2 {
        // RFC 9051 appendix E.
        command.give.get_or_insert(SearchGive { all: true, ..SearchGive::default() });
    }
    if session.enabled.utf8 && command.charset.is_some() {
        return Err(Status::bad("the text is UTF-8, whatever charset is named").into());
    }
    let has_modseq = asks_for_modseq(&command.key);
    let saves = command.give.is_some_and(|give| give.save);
    let found = find(session, command.charset.as_deref(), &command.key).await;
    let Some(selected) = &mut session.selected else { return Err(Status::bad("open a folder first").into()) };
    if saves && found.as_ref().is_err_and(|trouble| !trouble.is_bad()) {
        // RFC 5182 §2.1: a search that fails leaves nothing; one that is none leaves what was.
        selected.saved.clear();
    }
    let uids = found?;
    let modseq = match has_modseq {
        true => {
            session.enable_condstore();
            highest(session, command.give, &uids).await?
        }
        false => None,
    };
    let Some(selected) = &mut session.selected else { return Err(Status::bad("open a folder first").into()) };
    let named: Vec<u32> = uids.iter().filter_map(|uid| selected.name_of(*uid, command.by_uid)).collect();
    if let Some(give) = command.give.filter(|give| give.save) {
        selected.saved = saved(&uids, give);
    }
    match command.give {
        None => {
            let out = session.connection.out();
            out.extend_from_slice(b"* SEARCH");
            for number in &named {
                session.connection.out().extend_from_slice(format!(" {number}").as_bytes());
                session.connection.spill().await?;
            }
            let out = session.connection.out();
            if let Some(modseq) = modseq {
                out.extend_from_slice(format!(" (MODSEQ {modseq})").as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
        Some(give) => {
            let line = extended(tag, command.by_uid, give, &named, modseq);
            session.connection.queue(&line).await?;
        }
    }
    Ok(Status::ok("that is all"))
}

/// The UIDs of the messages that the client knows of and that are searched for, ascending.
pub(super) async fn find(
    session: &Session,
    charset: Option<&str>,
    key: &SearchKey,
) -> Result<Vec<u64>, Trouble> {
    let (login, selected) = (session.login()?, session.selected()?);
    if !matches!(charset, None | Some("UTF-8" | "US-ASCII")) {
        let code = "BADCHARSET (US-ASCII UTF-8)";
        return Err(Status::no("the text is in a charset that is not known here").with(code).into());
    }
    let emails = emails(&login, selected, key).await?;
    let query = query(selected, &emails, login.ctx.env().now(), key)?;
    let (store, folder) = (session.store(), selected.folder);
    let mut uids = search::uids(&store, &login.ctx, selected.mailbox_id, folder, &query).await?;
    // What came meanwhile has no number yet.
    uids.retain(|uid| selected.number_of(*uid).is_some());
    Ok(uids)
}

/// The ESEARCH response (RFC 4731 §3.1); of what is sorted in that order (RFC 5267 §3.1).
pub(super) fn extended(
    tag: &str,
    by_uid: bool,
    give: SearchGive,
    named: &[u32],
    modseq: Option<u64>,
) -> BytesMut {
    let mut line = BytesMut::new();
    let out = &mut line;
    let asks = give.min || give.max || give.all || give.count;
    if give.save && !asks {
        // RFC 5182 §2.1: SAVE alone is answered by nothing.
        return line;
    }
    let all = give.all || !asks;
    out.extend_from_slice(format!("* ESEARCH (TAG \"{tag}\")").as_bytes());
    if by_uid {
        out.extend_from_slice(b" UID");
    }
    for (wanted, word, number) in [(give.min, "MIN", named.first()), (give.max, "MAX", named.last())] {
        if let (true, Some(number)) = (wanted, number) {
            out.extend_from_slice(format!(" {word} {number}").as_bytes());
        }
    }
    if give.count {
        out.extend_from_slice(format!(" COUNT {}", named.len()).as_bytes());
    }
    if all && !named.is_empty() {
        out.extend_from_slice(b" ALL ");
        write::set(out, named.iter().map(|number| *number..=*number));
    }
    if let Some(modseq) = modseq {
        out.extend_from_slice(format!(" MODSEQ {modseq}").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    line
}

/// What `$` stands for from now on (RFC 5182 §2.1): where only the lowest or the highest was asked for, those.
fn saved(uids: &[u64], give: SearchGive) -> Vec<u32> {
    let narrow = |uid: &u64| u32::try_from(*uid).ok();
    if (give.min || give.max) && !give.all && !give.count {
        let ends = [uids.first().filter(|_| give.min), uids.last().filter(|_| give.max)];
        let mut ends: Vec<u32> = ends.into_iter().flatten().filter_map(narrow).collect();
        ends.dedup();
        return ends;
    }
    uids.iter().filter_map(narrow).collect()
}

/// The highest modification sequence of what was found (RFC 7162 §3.1.5), or of what of it is told (RFC 4731 §3.2): of what is sorted in that order.
pub(super) async fn highest(
    session: &Session,
    give: Option<SearchGive>,
    uids: &[u64],
) -> Result<Option<u64>, Trouble> {
    let (login, selected) = (session.login()?, session.selected()?);
    let told: UidSet = match give {
        Some(give) => saved(uids, give).into_iter().map(u64::from).collect(),
        None => uids.iter().copied().collect(),
    };
    Ok(view::highest_modseq(&login.ctx, selected.mailbox_id, selected.folder, told.ranges()).await?)
}

/// The UIDs, ascending, of messages that are named by what they have in common with their copies (RFC 8474 §5.1).
type Emails = BTreeMap<BlobId, Vec<u64>>;

async fn emails(login: &MailLogin, selected: &Selected, key: &SearchKey) -> Result<Emails, Trouble> {
    let mut ids = Vec::new();
    named_ids(key, &mut ids);
    let mut emails = Emails::new();
    if ids.is_empty() {
        return Ok(emails);
    }
    for (id, uid) in view::with_email_ids(&login.ctx, selected.mailbox_id, selected.folder, &ids).await? {
        emails.entry(id).or_default().push(uid);
    }
    Ok(emails)
}

fn named_ids(key: &SearchKey, ids: &mut Vec<BlobId>) {
    match key {
        // What is none names no message.
        SearchKey::EmailId(id) => ids.extend(id.parse::<BlobId>().ok()),
        SearchKey::And(keys) => keys.iter().for_each(|key| named_ids(key, ids)),
        SearchKey::Or(one, other) => [one, other].into_iter().for_each(|key| named_ids(key, ids)),
        SearchKey::Not(key) => named_ids(key, ids),
        _ => {}
    }
}

/// Whether what is searched for is said by modification sequence, and the highest is to be told (RFC 7162 §3.1.5).
pub(super) fn asks_for_modseq(key: &SearchKey) -> bool {
    match key {
        SearchKey::ModSeq(_) => true,
        SearchKey::And(keys) => keys.iter().any(asks_for_modseq),
        SearchKey::Or(one, other) => asks_for_modseq(one) || asks_for_modseq(other),
        SearchKey::Not(key) => asks_for_modseq(key),
        _ => false,
    }
}

/// A search as the mail store has it.
fn query(selected: &Selected, emails: &Emails, now: DateTime<Utc>, key: &SearchKey) -> Result<Query, Status> {
    let text = |text: &Text| search::Needle::new(&String::from_utf8_lossy(text));
    Ok(match key {
        SearchKey::All => Query::And(Vec::new()),
        SearchKey::And(keys) => {
            Query::And(keys.iter().map(|key| query(selected, emails, now, key)).collect::<Result<_, _>>()?)
        }
        SearchKey::Or(one, other) => {
            Query::Or(vec![query(selected, emails, now, one)?, query(selected, emails, now, other)?])
        }
        SearchKey::Not(key) => Query::Not(Box::new(query(selected, emails, now, key)?)),
        SearchKey::Set(set) => Query::Uids(selected.ranges(set, false)?),
        SearchKey::Uid(set) => Query::Uids(selected.ranges(set, true)?),
        SearchKey::Flag(FlagName::System(name)) => match store::system(name) {
            Some(flag) => Query::Flag(flag),
            None => return Err(Status::bad(format!("there is no flag \\{name}"))),
        },
        SearchKey::Flag(FlagName::Keyword(word)) => match word.parse() {
            Ok(keyword) => Query::Keyword(keyword),
            // No message has it.
            Err(_) => Query::Or(Vec::new()),
        },
        // Nothing is told to the first session alone.
        SearchKey::Recent => Query::Or(Vec::new()),
        SearchKey::Before(day) => Query::Received(Day::Before(*day)),
        SearchKey::On(day) => Query::Received(Day::On(*day)),
        SearchKey::Since(day) => Query::Received(Day::Since(*day)),
        SearchKey::SentBefore(day) => Query::Sent(Day::Before(*day)),
        SearchKey::SentOn(day) => Query::Sent(Day::On(*day)),
        SearchKey::SentSince(day) => Query::Sent(Day::Since(*day)),
        SearchKey::Header(name, says) => Query::Field { name: search::Needle::new(name), says: text(says) },
        SearchKey::Body(says) => Query::Body(text(says)),
        SearchKey::Text(says) => Query::Text(text(says)),
        SearchKey::Larger(bytes) => Query::Larger(*bytes),
        SearchKey::Smaller(bytes) => Query::Smaller(*bytes),
        SearchKey::ModSeq(modseq) => Query::ModSeq(*modseq),
        SearchKey::ThreadId(_) => Query::Or(Vec::new()),
        SearchKey::EmailId(id) => {
            let id: Option<BlobId> = id.parse().ok();
            let uids = id.and_then(|id| emails.get(&id)).into_iter().flatten();
            Query::Uids(uids.map(|uid| *uid..=*uid).collect())
        }
        SearchKey::Older(seconds) => Query::Until(ago(now, *seconds)),
        SearchKey::Younger(seconds) => Query::From(ago(now, *seconds)),
    })
}

/// So many seconds before a moment; longer ago than there are dates is the first of them.
fn ago(now: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    let interval = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds);
    interval.and_then(|interval| now.checked_sub_signed(interval)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}
