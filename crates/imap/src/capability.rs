//! What the server says it can do.

use sasl::Mechanism;

use crate::session::Session;

/// What is offered before a login and after it.
const ALWAYS: &str = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE";
/// What is offered after a login.
const LOGGED_IN: &str = "NAMESPACE UNSELECT UIDPLUS MOVE SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS CHILDREN \
                         STATUS=SIZE IDLE ESEARCH SEARCHRES WITHIN CONDSTORE QRESYNC MULTIAPPEND BINARY UTF8=ACCEPT SORT SORT=DISPLAY \
                         THREAD=ORDEREDSUBJECT THREAD=REFERENCES ESORT ACL RIGHTS=kxte QUOTA QUOTA=RES-STORAGE OBJECTID PREVIEW";

/// What can be done in the session's state, on its connection (RFC 9051 §6.1.1).
pub(crate) fn of(session: &Session) -> String {
    let mut all = String::from(ALWAYS);
    if session.is_logged_in() {
        all += " ";
        all += LOGGED_IN;
        all += &format!(" APPENDLIMIT={}", mailstore::MAX_MESSAGE_BYTES);
        if !session.connection.is_deflated() {
            all += " COMPRESS=DEFLATE";
        }
        return all;
    }
    if !session.connection.is_tls() {
        all += " STARTTLS";
    }
    if session.login_allowed() {
        for mechanism in Mechanism::offered(session.connection.exported().is_some()) {
            all += &format!(" AUTH={}", mechanism.as_str());
        }
    } else {
        all += " LOGINDISABLED";
    }
    all
}
