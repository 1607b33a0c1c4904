//! What a client has asked for with ENABLE (RFC 5161), or by using it.

use crate::session::Session;

/// Extensions that change what the server says. None is given up again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// The client wants to hear of modification sequences (RFC 7162 §3.1).
    pub(crate) condstore: bool,
    /// It wants to hear of UIDs that are gone, not of numbers (RFC 7162 §3.2.3).
    pub(crate) qresync: bool,
    /// It speaks IMAP4rev2 (RFC 9051 §6.3.1).
    pub(crate) rev2: bool,
    /// It takes UTF-8 (RFC 9755 §3).
    pub(crate) utf8: bool,
}

impl Enabled {
    /// Whether names of folders are UTF-8 and quoted strings may be (RFC 9051 appendix A, RFC 9755 §3); they are modified UTF-7 otherwise.
    pub(crate) fn is_utf8(self) -> bool {
        self.rev2 || self.utf8
    }
}

impl Session {
    /// Enables an extension by its name in upper case, and what it brings along; whether there is one of that name.
    pub(crate) fn enable(&mut self, name: &str) -> bool {
        match name {
            "CONDSTORE" => self.enable_condstore(),
            "QRESYNC" => {
                self.enabled.qresync = true;
                // RFC 7162 §3.2.3.
                self.enable_condstore();
            }
            "IMAP4REV2" => self.enabled.rev2 = true,
            "UTF8=ACCEPT" => self.enabled.utf8 = true,
            _ => return false,
        }
        true
    }

    /// The client wants to hear of modification sequences. The first time, it is told the highest of the folder that is open (RFC 7162 §3.1).
    pub(crate) fn enable_condstore(&mut self) {
        let was_enabled = std::mem::replace(&mut self.enabled.condstore, true);
        if let (false, Some(selected)) = (was_enabled, &self.selected) {
            let line = format!("OK [HIGHESTMODSEQ {}] changes so far", selected.highest_modseq());
            self.connection.untagged(&line);
        }
    }
}
