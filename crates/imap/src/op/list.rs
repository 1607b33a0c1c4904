//! LIST (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154) and LSUB (RFC 3501 §6.3.9).

use bytes::BytesMut;
use mailstore::folder::{self, Folder, SEPARATOR};
use tenancy::MailLogin;

use super::status;
use crate::codec::command::{List, ListSelect, MailboxName};
use crate::codec::write;
use crate::folders::{Folders, Left, OTHERS, Pattern, below, special_use};
use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

/// How many patterns one command may have: each is held against every folder.
const MAX_PATTERNS: usize = 16;
/// Of a name without a folder. The first says the second to who knows RFC 5258 §3; to clients of RFC 3501, and so all of LSUB, only the second says
/// that nothing can be opened.
pub(super) const NON_EXISTENT: &str = "\\NonExistent \\Noselect";
pub(super) const SUBSCRIBED: &str = "\\Subscribed";
pub(super) const NO_CHILDREN: &str = "\\HasNoChildren";

pub(crate) async fn run(session: &mut Session, list: &List) -> Answer {
    let login = session.login()?;
    if !list.is_extended && list.patterns.iter().all(String::is_empty) {
        // RFC 9051 §6.3.9: what separates names, and where they begin.
        session.connection.untagged("LIST (\\Noselect) \"/\" \"\"");
        return Ok(Status::ok("that is all"));
    }
    if list.patterns.len() > MAX_PATTERNS {
        return Err(Status::bad(format!("LIST takes {MAX_PATTERNS} patterns at most")).into());
    }
    let patterns = list.patterns.iter().map(|pattern| Pattern::new(&list.reference, pattern));
    let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
    let everyones = Folders::everyones(&login, &patterns).await?;
    let is_of_one = |name: &str| patterns.iter().any(|pattern| pattern.is_of(name));
    // None of them has a use.
    let left = match list.select.subscribed && !list.select.special_use {
        true => left(&everyones, &login).await?,
        false => Left::default(),
    };
    for folders in &everyones {
        for folder in folders.all() {
            if is_of_one(&folders.name_of(folder)) {
                one(session, &login, list, folders, folder, &left).await?;
            }
        }
    }
    for name in left.names.iter().filter(|name| is_of_one(name)) {
        let has_below = list.select.recursive_match && left.has_below(name);
        let below = has_below.then(|| child_info(list.select));
        line(session, "LIST", &[SUBSCRIBED, NON_EXISTENT], name, below);
        session.connection.spill().await?;
    }
    for name in left.above.iter().filter(|name| list.select.recursive_match && is_of_one(name)) {
        line(session, "LIST", &[NON_EXISTENT], name, Some(child_info(list.select)));
        session.connection.spill().await?;
    }
    for name in tops(&everyones).iter().filter(|name| is_of_one(name)) {
        top(session, list, name, has_meant_below(&everyones, &left, name, list.select));
    }
    Ok(Status::ok("that is all"))
}

/// The names that are subscribed to and have no folder, in mailboxes where one can subscribe.
async fn left(everyones: &[Folders], login: &MailLogin) -> Result<Left, Trouble> {
    let writable: Vec<&Folders> = everyones.iter().filter(|folders| folders.is_writable()).collect();
    let ids: Vec<_> = writable.iter().map(|folders| folders.mailbox_id).collect();
    let gone = folder::gone::subscribed_in(&login.ctx, &ids).await?;
    let mut left = Left::default();
    for folders in writable {
        if let Some(gone) = gone.get(&folders.mailbox_id) {
            left = left.and(folders.left(gone));
        }
    }
    Ok(left)
}

/// Tells of a folder, if it is meant.
async fn one(
    session: &mut Session,
    login: &MailLogin,
    list: &List,
    folders: &Folders,
    folder: &Folder,
    left: &Left,
) -> Result<(), Trouble> {
    let name = folders.name_of(folder);
    let is_meant = is_selected(folder, list.select);
    // RFC 5258 §3.5: a folder that is not meant stands for those below it that are.
    let has_meant_below = list.select.recursive_match
        && (left.has_below(&name)
            || folders.all().iter().any(|below| {
                is_selected(below, list.select)
                    && below.path.strip_prefix(&folder.path).is_some_and(|rest| rest.starts_with(SEPARATOR))
            }));
    if !is_meant && !has_meant_below {
        return Ok(());
    }
    let attributes = attributes(folders, folder, list);
    let below = has_meant_below.then(|| child_info(list.select));
    line(session, "LIST", &attributes, &name, below);
    if let (true, Some(items)) = (is_meant, &list.give.status) {
        status::line(session, login, folders, folder, items).await?;
    }
    Ok(session.connection.spill().await?)
}

/// The names that the mailboxes of others lie below, which are no folders.
fn tops(everyones: &[Folders]) -> Vec<String> {
    let tops: Vec<String> = everyones.iter().filter_map(Folders::top).map(str::to_owned).collect();
    let all = tops.first().map(|_| OTHERS.trim_end_matches(SEPARATOR).to_owned());
    all.into_iter().chain(tops).collect()
}

/// Whether one that is meant lies below one of these.
fn has_meant_below(everyones: &[Folders], left: &Left, name: &str, select: ListSelect) -> bool {
    let is_below = |folders: &&Folders| folders.top().is_some_and(|top| below(top, name).is_some());
    let mut all = everyones.iter().filter(is_below).flat_map(Folders::all);
    left.has_below(name) || all.any(|folder| is_selected(folder, select))
}

/// Tells of one of these, for itself or for what is meant below it.
fn top(session: &mut Session, list: &List, name: &str, has_meant_below: bool) {
    let stands_for_some = list.select.recursive_match && has_meant_below;
    if stands_for_some || !(list.select.subscribed || list.select.special_use) {
        let below = stands_for_some.then(|| child_info(list.select));
        line(session, "LIST", &["\\Noselect", "\\HasChildren"], name, below);
    }
}

/// By which options a folder below is meant (RFC 5258 §6, RFC 6154 §2).
fn child_info(select: ListSelect) -> &'static [u8] {
    match (select.subscribed, select.special_use) {
        (true, true) => b"(\"CHILDINFO\" (\"SUBSCRIBED\" \"SPECIAL-USE\"))",
        (true, false) => b"(\"CHILDINFO\" (\"SUBSCRIBED\"))",
        (false, _) => b"(\"CHILDINFO\" (\"SPECIAL-USE\"))",
    }
}

fn is_selected(folder: &Folder, select: ListSelect) -> bool {
    (!select.subscribed || folder.is_subscribed)
        && (!select.special_use || folder.role.is_some_and(|role| special_use(role).is_some()))
}

/// What is said of a folder. A special use and whether some lie below it are said always, as RFC 6154 §2 and RFC 3348 allow: clients that do
/// not ask know what to do with it.
fn attributes(folders: &Folders, folder: &Folder, list: &List) -> Vec<&'static str> {
    let mut attributes = Vec::new();
    if folder.is_subscribed && (list.select.subscribed || list.give.subscribed) {
        attributes.push(SUBSCRIBED);
    }
    attributes.push(children(folders, folder));
    attributes.extend(folder.role.and_then(special_use));
    attributes
}

fn children(folders: &Folders, folder: &Folder) -> &'static str {
    if folders.has_children(folder.id) { "\\HasChildren" } else { NO_CHILDREN }
}

/// LSUB: those that are subscribed to, also where they are no more. `%` also tells of what is not, where one below it is.
pub(crate) async fn lsub(session: &mut Session, reference: &str, pattern: &str) -> Answer {
    let login = session.login()?;
    let matcher = [Pattern::new(reference, pattern)?];
    let everyones = Folders::everyones(&login, &matcher).await?;
    let left = left(&everyones, &login).await?;
    let [matcher] = matcher;
    for folders in &everyones {
        for folder in folders.all() {
            let name = folders.name_of(folder);
            let stands_for_one_below = || {
                let is_it = |below: &Folder| {
                    let rest = below.path.strip_prefix(&folder.path);
                    below.is_subscribed && rest.is_some_and(|rest| rest.starts_with(SEPARATOR))
                };
                pattern.ends_with('%') && (left.has_below(&name) || folders.all().iter().any(is_it))
            };
            if !matcher.is_of(&name) {
                continue;
            }
            if folder.is_subscribed {
                line(session, "LSUB", &[], &name, None);
            } else if stands_for_one_below() {
                line(session, "LSUB", &["\\Noselect"], &name, None);
            }
            session.connection.spill().await?;
        }
    }
    for name in left.names.iter().filter(|name| matcher.is_of(name)) {
        line(session, "LSUB", &[NON_EXISTENT], name, None);
        session.connection.spill().await?;
    }
    let select = ListSelect { subscribed: true, ..ListSelect::default() };
    let mut above = tops(&everyones);
    above.retain(|name| has_meant_below(&everyones, &left, name, select));
    for name in left.above.iter().chain(&above).filter(|name| pattern.ends_with('%') && matcher.is_of(name)) {
        line(session, "LSUB", &["\\Noselect"], name, None);
    }
    Ok(Status::ok("that is all"))
}

/// Tells of the folder that was opened by a name, as IMAP4rev2 has it (RFC 9051 §6.3.2).
pub(super) fn selected(session: &mut Session, folders: &Folders, folder: &Folder, name: &MailboxName) {
    let children = children(folders, folder);
    let given = name.given.as_deref().map(old_name);
    line(session, "LIST", &[children], &folders.name_of(folder), given.as_deref());
}

/// What is said of a folder that was renamed. Its subscription has gone with it, without the client's doing (RFC 9051 §6.3.6).
pub(super) fn renamed(folders: &Folders, folder: &Folder) -> Vec<&'static str> {
    let subscribed = folder.is_subscribed.then_some(SUBSCRIBED);
    let use_of = folder.role.and_then(special_use);
    [Some(children(folders, folder)), subscribed, use_of].into_iter().flatten().collect()
}

/// Tells a client of IMAP4rev2 what there is instead of a name that it gave, if that is another (RFC 9051 §6.3.9.7).
pub(super) fn instead(session: &mut Session, attributes: &[&str], name: &str, given: Option<&str>) {
    if let (true, Some(given)) = (session.enabled.rev2, given) {
        line(session, "LIST", attributes, name, Some(&old_name(given)));
    }
}

fn old_name(name: &str) -> BytesMut {
    let mut item = BytesMut::from("(\"OLDNAME\" (");
    // Clients of IMAP4rev2 alone are told of it.
    write::mailbox(&mut item, name, true);
    item.extend_from_slice(b"))");
    item
}

fn line(session: &mut Session, what: &str, attributes: &[&str], name: &str, extended: Option<&[u8]>) {
    let is_utf8 = session.enabled.is_utf8();
    let out = session.connection.out();
    out.extend_from_slice(format!("* {what} ({}) \"/\" ", attributes.join(" ")).as_bytes());
    write::mailbox(out, name, is_utf8);
    if let Some(extended) = extended {
        out.extend_from_slice(b" ");
        out.extend_from_slice(extended);
    }
    out.extend_from_slice(b"\r\n");
}
