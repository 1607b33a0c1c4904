//! What a client has asked for with ENABLE (RFC 5161), or by using it.

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
    /// Enables an extension by its name in upper case, and what it brings along; whether there is one of that name.
    pub(crate) fn enable(&mut self, name: &str) -> bool {
        match name {
            "CONDSTORE" => self.condstore = true,
            // RFC 7162 §3.2.3.
            "QRESYNC" => (self.condstore, self.qresync) = (true, true),
            "IMAP4REV2" => self.rev2 = true,
            "UTF8=ACCEPT" => self.utf8 = true,
            _ => return false,
        }
        true
    }

    /// Whether names of folders are UTF-8 and quoted strings may be (RFC 9051 appendix A, RFC 9755 §3); they are modified UTF-7 otherwise.
    pub(crate) fn is_utf8(self) -> bool {
        self.rev2 || self.utf8
    }
}
