//! STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3).

use mailstore::change::UidSet;
use mailstore::message::{Flag, FlagChange, Flags};
use mailstore::view::{self, Marking};

use crate::codec::command::{FlagName, Store, StoreHow};
use crate::codec::write;
use crate::render;
use crate::session::{Answer, Session};
use crate::status::Status;

/// How many messages are marked in one transaction: their mailbox is locked meanwhile.
const AT_ONCE: usize = 5_000;

pub(crate) async fn run(session: &mut Session, command: &Store) -> Answer {
    let mut login = session.login_to_change().await?;
    let selected = session.selected()?;
    let (mailbox_id, folder) = (selected.mailbox_id, selected.folder);
    let uids = selected.resolve(&command.set, command.by_uid)?;
    let flags = flags(&command.flags)?;
    let change = match command.how {
        StoreHow::Replace => FlagChange::replacing(flags),
        StoreHow::Add => FlagChange::adding(flags),
        StoreHow::Remove => FlagChange::removing(flags),
    };
    if command.unchanged_since.is_some() {
        session.enable_condstore();
    }
    let condstore = session.enabled.condstore;
    // RFC 7162 §3.1.3: who wants to hear of modification sequences hears of the new ones, also where the flags are no news.
    let tells = !command.is_silent || condstore;
    let marking = Marking { change, unchanged_since: command.unchanged_since, tells };
    let mut unmet = Vec::new();
    for (at, uids) in uids.chunks(AT_ONCE).enumerate() {
        if at > 0 {
            // The right may have been taken away while the others were marked.
            login = session.login_to_change().await?;
        }
        let wanted: UidSet = uids.iter().copied().map(u64::from).collect();
        let store = session.store();
        let done = view::flag(&store, &login.ctx, mailbox_id, folder, wanted.ranges(), &marking).await?;
        let Some(selected) = &mut session.selected else { continue };
        if let Some(modseq) = done.modseq {
            selected.note_own(modseq);
            selected.is_stale = true;
        }
        unmet.extend(done.unmet.iter().filter_map(|uid| selected.name_of(*uid, command.by_uid)));
        for row in done.rows {
            session.introduce(&row.flags);
            let number = session.selected.as_ref().and_then(|selected| selected.number_of(row.uid));
            let Some(number) = number else { continue };
            let out = session.connection.out();
            match command.is_silent {
                true => out.extend_from_slice(
                    format!("* {number} FETCH (UID {} MODSEQ ({}))\r\n", row.uid, row.modseq).as_bytes(),
                ),
                // RFC 7162 §3.2.4: with the UID as well.
                false => render::flags_line(out, number, &row, condstore, command.by_uid || condstore),
            }
            session.connection.spill().await?;
        }
    }
    if unmet.is_empty() {
        return Ok(Status::ok("done"));
    }
    let mut set = bytes::BytesMut::new();
    write::set(&mut set, unmet.into_iter().map(|number| number..=number));
    let set = String::from_utf8_lossy(&set).into_owned();
    Ok(Status::ok("some had been changed before").with(format!("MODIFIED {set}")))
}

/// The flags that a client names.
///
/// # Errors
/// What to answer to one that is none.
pub(super) fn flags(names: &[FlagName]) -> Result<Flags, Status> {
    let mut flags = Flags::default();
    for name in names {
        match name {
            FlagName::System(name) => match system(name) {
                Some(flag) => {
                    flags.flags.insert(flag);
                }
                // Clients copy it from elsewhere; it is the server's alone (RFC 3501 §2.3.2).
                None if name == "RECENT" => {}
                None => return Err(Status::bad(format!("there is no flag \\{name}"))),
            },
            FlagName::Keyword(word) => {
                let keyword = word.parse().map_err(|_| {
                    Status::no("a keyword is too long, or has a character that none has").with("CANNOT")
                })?;
                flags.keywords.insert(keyword);
            }
        }
    }
    Ok(flags)
}

/// A flag by its name in the protocol, in upper case without its backslash.
pub(super) fn system(name: &str) -> Option<Flag> {
    Flag::ALL.iter().copied().find(|flag| render::name(*flag)[1..].eq_ignore_ascii_case(name))
}
