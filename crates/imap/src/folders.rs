//! The folders of a mailbox by the names that clients know them by: the Inbox and what lies below it as `INBOX` (RFC 9051 §5.1);
//! and those of others that one may read, or change too.

use std::collections::BTreeSet;

use kernel::{ErrorKind, FolderId, MailboxId};
use mailstore::folder::{self, Folder, Role, SEPARATOR, in_one_form};
use tenancy::MailLogin;
use tenancy::delegate::Right;
use tenancy::mailbox::{self, Mailbox};

use crate::codec::command::MailboxName;
use crate::codec::normalised;
use crate::session::{Session, Trouble};
use crate::status::{self, Status};

/// The name of the Inbox.
const INBOX: &str = "INBOX";
/// How long a pattern with wildcards may be, and how many of them it may have: each is tried at every place of every name.
const MAX_PATTERN_BYTES: usize = 1_024;
const MAX_WILDCARDS: usize = 16;

/// What the mailboxes of others lie below, each by its address (RFC 2342).
pub(crate) use mailstore::folder::OTHERS;

/// The folders of a mailbox.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) mailbox_id: MailboxId,
    /// What its names begin with; nothing for one's own.
    prefix: String,
    /// Whether its user may change what is in it.
    is_writable: bool,
    all: Vec<Folder>,
    /// As the mail store calls it.
    inbox: String,
}

impl Folders {
    /// Those of one's own mailbox.
    pub(crate) async fn own(login: &MailLogin) -> Result<Self, mailstore::Error> {
        Self::load(login, login.mailbox_id, String::new()).await
    }

    /// Those of the mailbox that a name is in, for a command that changes something under it, and the login to do that by.
    ///
    /// # Errors
    /// What to answer where its user may not, at this very moment.
    pub(crate) async fn to_change(
        session: &mut Session,
        name: &MailboxName,
    ) -> Result<(MailLogin, Self), Trouble> {
        let (login, folders) = Self::at_present(session, name).await?;
        if !folders.may_have(name) {
            return Err(status::not_permitted().into());
        }
        Ok((login, folders))
    }

    /// As [`Self::of`], with what its user may do there at this very moment, and the login that says so.
    pub(crate) async fn at_present(
        session: &mut Session,
        name: &MailboxName,
    ) -> Result<(MailLogin, Self), Trouble> {
        let login = session.login()?;
        let own = Self::own(&login).await?;
        if !own.leaves(name) {
            return Ok((login, own));
        }
        let login = session.present_login().await?;
        let other = Self::of_others(&login, name).await?;
        Ok((login, other.unwrap_or(own)))
    }

    /// Those of the mailbox that a name is in.
    pub(crate) async fn of(login: &MailLogin, name: &MailboxName) -> Result<Self, mailstore::Error> {
        let own = Self::own(login).await?;
        if !own.leaves(name) {
            return Ok(own);
        }
        Ok(Self::of_others(login, name).await?.unwrap_or(own))
    }

    /// Whether a name is none of one's own mailbox, but leads to those of others.
    fn leaves(&self, name: &MailboxName) -> bool {
        let is_others = name.name.starts_with(OTHERS) || name.name == OTHERS.trim_end_matches(SEPARATOR);
        is_others && self.find(name).is_none()
    }

    /// Whether its user may have a folder of a name in it.
    fn may_have(&self, name: &MailboxName) -> bool {
        match self.is_own() {
            true => !self.leaves(name),
            false => {
                self.is_writable && name.name.strip_prefix(&self.prefix).is_some_and(|rest| !rest.is_empty())
            }
        }
    }

    /// Those of the other's mailbox that a name is in, if it is one that its user may read.
    async fn of_others(login: &MailLogin, name: &MailboxName) -> Result<Option<Self>, mailstore::Error> {
        let Some(rest) = name.name.strip_prefix(OTHERS) else { return Ok(None) };
        let others = mailbox::of_others(&login.ctx).await?;
        let is_it = |other: &&Mailbox| below(rest, &in_one_form(other.primary_address.as_str())).is_some();
        match others.iter().find(is_it) {
            Some(other) => Ok(Some(Self::of_other(login, other).await?)),
            None => Ok(None),
        }
    }

    /// Those of all mailboxes that one may read, one's own before others; of others only if a pattern may be of their names.
    pub(crate) async fn everyones(
        login: &MailLogin,
        patterns: &[Pattern],
    ) -> Result<Vec<Self>, mailstore::Error> {
        let mut everyones = vec![Self::own(login).await?];
        if !patterns.iter().any(|pattern| pattern.may_lead_to(OTHERS)) {
            return Ok(everyones);
        }
        for other in mailbox::of_others(&login.ctx).await? {
            match Self::of_other(login, &other).await {
                Ok(folders) => everyones.push(folders),
                // It is gone meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(everyones)
    }

    /// Another's folders have no use for a client, which would take their drafts for its user's. All of them count as subscribed to for whoever may only read
    /// them, and so can subscribe to none.
    async fn of_other(login: &MailLogin, other: &Mailbox) -> Result<Self, mailstore::Error> {
        let prefix = in_one_form(&format!("{OTHERS}{}{SEPARATOR}", other.primary_address));
        let mut folders = Self::load(login, other.id, prefix).await?;
        for folder in &mut folders.all {
            folder.role = None;
            folder.is_subscribed |= !folders.is_writable;
        }
        Ok(folders)
    }

    async fn load(
        login: &MailLogin,
        mailbox_id: MailboxId,
        prefix: String,
    ) -> Result<Self, mailstore::Error> {
        let is_writable = login.right_to(mailbox_id) == Some(Right::FullAccess);
        let all = folder::list(&login.ctx, mailbox_id).await?;
        let inbox = all.iter().find(|folder| folder.role == Some(Role::Inbox));
        let inbox = inbox.map(|folder| folder.path.clone()).unwrap_or_default();
        Ok(Self { mailbox_id, prefix, is_writable, all, inbox })
    }

    /// Whether it is one's own mailbox.
    pub(crate) fn is_own(&self) -> bool {
        self.prefix.is_empty()
    }

    /// Whether its user may change what is in it: it is their own, or they have full access to it.
    pub(crate) fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Whether a folder of it is its Inbox.
    pub(crate) fn is_inbox(&self, folder: &Folder) -> bool {
        folder.path == self.inbox
    }

    /// What all its names lie below; nothing for one's own.
    pub(crate) fn top(&self) -> Option<&str> {
        self.prefix.strip_suffix(SEPARATOR)
    }

    /// All of them, each after the one that it lies in.
    pub(crate) fn all(&self) -> &[Folder] {
        &self.all
    }

    /// What clients call a folder.
    pub(crate) fn name_of(&self, folder: &Folder) -> String {
        self.name_of_path(&folder.path)
    }

    fn name_of_path(&self, path: &str) -> String {
        let prefix = &self.prefix;
        match below(path, &self.inbox) {
            Some(rest) => format!("{prefix}{INBOX}{rest}"),
            None => format!("{prefix}{path}"),
        }
    }

    /// The names in it that are subscribed to and have no folder any more, of the paths that deleted folders have left.
    pub(crate) fn left(&self, gone: &BTreeSet<String>) -> Left {
        let there: BTreeSet<String> = self.all.iter().map(|folder| self.name_of(folder)).collect();
        let names = gone.iter().map(|path| self.name_of_path(path));
        Left::new(names.filter(|name| !there.contains(name)).collect(), &there, &self.prefix)
    }

    /// What the mail store calls a folder.
    pub(crate) fn path_of(&self, name: &MailboxName) -> String {
        let name = name.name.strip_prefix(&self.prefix).unwrap_or(&name.name);
        match below(name, INBOX) {
            Some(rest) => format!("{}{rest}", self.inbox),
            None => name.to_owned(),
        }
    }

    pub(crate) fn find(&self, name: &MailboxName) -> Option<&Folder> {
        let path = self.path_of(name);
        self.all.iter().find(|folder| folder.path == path)
    }

    /// The folder of a name.
    ///
    /// # Errors
    /// What to answer when there is none.
    pub(crate) fn get(&self, name: &MailboxName) -> Result<&Folder, Status> {
        self.find(name).ok_or_else(|| Status::no("there is no such folder").with("NONEXISTENT"))
    }

    /// As [`Self::get`], for a command that could make it first.
    pub(crate) fn target(&self, name: &MailboxName) -> Result<&Folder, Status> {
        self.find(name).ok_or_else(|| Status::no("there is no such folder").with("TRYCREATE"))
    }

    pub(crate) fn has_children(&self, id: FolderId) -> bool {
        self.all.iter().any(|folder| folder.parent_id == Some(id))
    }

    /// The path of the folder that a path lies in, and its own name there.
    pub(crate) fn split(path: &str) -> (Option<&str>, &str) {
        match path.rsplit_once(SEPARATOR) {
            Some((parent, name)) => (Some(parent), name),
            None => (None, path),
        }
    }
}

/// Names that are subscribed to and have no folder any more (RFC 9051 §6.3.7).
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The names, as clients know them.
    pub(crate) names: BTreeSet<String>,
    /// All that one of them lies below.
    tops: BTreeSet<String>,
    /// Of these, what is neither a folder nor one of the names.
    pub(crate) above: BTreeSet<String>,
}

impl Left {
    /// Of a mailbox whose folders' names begin with a prefix.
    fn new(names: BTreeSet<String>, folders: &BTreeSet<String>, prefix: &str) -> Self {
        let tops_of = |name: &String| {
            name.match_indices(SEPARATOR).map(|(end, _)| name[..end].to_owned()).collect::<Vec<_>>()
        };
        let tops: BTreeSet<String> = names.iter().flat_map(tops_of).collect();
        let is_nothing = |top: &&String| !folders.contains(*top) && !names.contains(*top);
        // What the mailbox itself lies below is told of anyway.
        let above = tops.iter().filter(|top| top.starts_with(prefix)).filter(is_nothing).cloned().collect();
        Self { names, tops, above }
    }

    /// Those of another mailbox beside them.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.tops.extend(other.tops);
        self.above.extend(other.above);
        self
    }

    /// Whether one lies below a name.
    pub(crate) fn has_below(&self, name: &str) -> bool {
        self.tops.contains(name)
    }
}

/// What follows a path's beginning: nothing, or a separator and more.
pub(crate) fn below<'a>(path: &'a str, top: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(top)?;
    (rest.is_empty() || rest.starts_with(SEPARATOR)).then_some(rest)
}

/// The special use of a role (RFC 6154 §2).
pub(crate) fn special_use(role: Role) -> Option<&'static str> {
    match role {
        Role::Inbox => None,
        Role::Drafts => Some("\\Drafts"),
        Role::Sent => Some("\\Sent"),
        Role::Junk => Some("\\Junk"),
        Role::Trash => Some("\\Trash"),
        Role::Archive => Some("\\Archive"),
    }
}

/// A pattern of LIST and LSUB: `*` stands for anything, `%` for anything without a separator.
#[derive(Debug)]
pub(crate) struct Pattern(Vec<char>);

impl Pattern {
    /// A pattern relative to a reference.
    ///
    /// # Errors
    /// What to answer to one that is too much work.
    pub(crate) fn new(reference: &str, pattern: &str) -> Result<Self, Status> {
        let text = normalised(&format!("{reference}{pattern}"));
        let wildcards = text.chars().filter(|char| matches!(char, '*' | '%')).count();
        if wildcards > MAX_WILDCARDS || (wildcards > 0 && text.len() > MAX_PATTERN_BYTES) {
            return Err(Status::bad("the pattern has too many wildcards, or is too long"));
        }
        Ok(Self(text.chars().collect()))
    }

    /// Whether the pattern may be of a name that begins so, or of what such names lie in.
    fn may_lead_to(&self, beginning: &str) -> bool {
        let literal: String = self.0.iter().take_while(|char| !matches!(char, '*' | '%')).collect();
        literal.starts_with(beginning.trim_end_matches(SEPARATOR)) || beginning.starts_with(&literal)
    }

    /// Whether a name is of the pattern.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        // Places of the pattern that the name's beginning may have come to.
        let mut at = vec![0];
        self.skip(&mut at);
        for char in name.chars() {
            let mut next: Vec<usize> = Vec::with_capacity(at.len());
            for place in at {
                match self.0.get(place) {
                    Some('*') => next.push(place),
                    Some('%') if char != SEPARATOR => next.push(place),
                    Some(&wanted) if wanted == char => next.push(place + 1),
                    _ => {}
                }
            }
            self.skip(&mut next);
            if next.is_empty() {
                return false;
            }
            at = next;
        }
        at.contains(&self.0.len())
    }

    /// A wildcard may stand for nothing.
    fn skip(&self, at: &mut Vec<usize>) {
        let mut index = 0;
        while let Some(&place) = at.get(index) {
            if matches!(self.0.get(place), Some('*' | '%')) && !at.contains(&(place + 1)) {
                at.push(place + 1);
            }
            index += 1;
        }
        at.sort_unstable();
        at.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_without_a_folder_lie_below_is_known() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let left = Left::new(set(&["a/b/c", "a/b", "d", "e/f/g"]), &set(&["INBOX", "a", "e"]), "");
        assert_eq!(left.above, set(&["e/f"]));
        assert!(["a", "a/b", "e", "e/f"].iter().all(|name| left.has_below(name)));
        assert!(["", "d", "a/b/c", "INBOX", "e/"].iter().all(|name| !left.has_below(name)));
        let left = left.and(Left::new(set(&["o/bob/x/y"]), &set(&["o/bob/INBOX"]), "o/bob/"));
        assert_eq!(left.above, set(&["e/f", "o/bob/x"]));
        assert!(["a", "o", "o/bob", "o/bob/x"].iter().all(|name| left.has_below(name)));
    }

    #[test]
    fn patterns_are_those_of_the_rfc() {
        let is = |pattern: &str, name: &str| Pattern::new("", pattern).unwrap().is_of(name);
        assert!(is("*", "a/b/c") && is("%", "a") && !is("%", "a/b") && is("%/%", "a/b"));
        assert!(is("a*c", "a/b/c") && is("a*c", "ac") && !is("a%c", "a/c") && is("", ""));
        assert!(is("inbox", "INBOX") && is("InBox/%", "INBOX/a") && !is("inboxes", "INBOX"));
        assert!(is("**a%%", "xxa") && !is("*a", "ab") && is("Ü%", "Übung") && !is("a", "A"));
        assert!(Pattern::new("Mail/", "%").unwrap().is_of("Mail/a"));
        assert!(Pattern::new("", &"*".repeat(MAX_WILDCARDS + 1)).is_err());
    }
}
