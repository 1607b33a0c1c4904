//! What may follow what (RFC 5321 §4.1.4): the state of one session, without its socket.

use kernel::RequestId;
use tenancy::recipient::Recipient;

use crate::codec::envelope::Mail;
use crate::codec::path::ClientName;
use crate::reply::Reply;

/// The state of one session.
#[derive(Default)]
pub(crate) struct Session {
    client: Option<ClientName>,
    transaction: Option<Transaction>,
    faults: u32,
}

/// One message on its way, from MAIL on.
pub(crate) struct Transaction {
    /// The id under which it is logged and which stands in its Received field.
    pub(crate) id: RequestId,
    pub(crate) client: ClientName,
    pub(crate) mail: Mail,
    /// In the order of their RCPT: replies follow it.
    pub(crate) recipients: Vec<Recipient>,
}

impl Session {
    /// LHLO starts over (RFC 5321 §4.1.4).
    pub(crate) fn greet(&mut self, client: ClientName) {
        self.client = Some(client);
        self.transaction = None;
    }

    /// RSET, or a MAIL that is refused after all.
    pub(crate) fn reset(&mut self) {
        self.transaction = None;
    }

    /// MAIL opens a transaction.
    pub(crate) fn open(&mut self, id: RequestId, mail: Mail) -> Result<(), Reply> {
        let client = self.client.clone().ok_or_else(|| Reply::out_of_sequence("say LHLO first"))?;
        if self.transaction.is_some() {
            return Err(Reply::out_of_sequence("a transaction is open; RSET ends it"));
        }
        self.transaction = Some(Transaction { id, client, mail, recipients: Vec::new() });
        Ok(())
    }

    /// The open transaction, for RCPT.
    pub(crate) fn transaction(&mut self) -> Result<&mut Transaction, Reply> {
        self.transaction.as_mut().ok_or_else(|| Reply::out_of_sequence("say MAIL first"))
    }

    /// Ends the transaction and hands it to DATA, which needs a recipient (RFC 2033 §4.2: 503 without one). A
    /// transaction without recipients stays open, as RFC 5321 §4.1.4 has it for any command that fails.
    pub(crate) fn take(&mut self) -> Result<Transaction, Reply> {
        self.transaction()?;
        let ready = self.transaction.take_if(|transaction| !transaction.recipients.is_empty());
        let transaction = ready.ok_or_else(|| Reply::out_of_sequence("no valid recipients"))?;
        self.faults = 0;
        Ok(transaction)
    }

    /// Counts a mistake; whether there have been more than `limit` of them since the last message.
    pub(crate) fn is_fault_too_many(&mut self, limit: u32) -> bool {
        self.faults = self.faults.saturating_add(1);
        self.faults > limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::path::ReversePath;
    use uuid::Uuid;

    fn open(session: &mut Session) -> Result<(), u16> {
        let mail = Mail {
            from: ReversePath::Null,
            size_bytes: None,
            is_utf8: false,
            returned: None,
            envelope_id: None,
        };
        session.open(RequestId::from_uuid(Uuid::nil()), mail).map_err(|reply| reply.code())
    }

    #[test]
    fn one_thing_after_another() {
        let mut session = Session::default();
        assert_eq!(open(&mut session), Err(503));
        session.greet(ClientName::parse("a").unwrap());
        assert_eq!(session.transaction().err().map(|reply| reply.code()), Some(503));
        assert_eq!(open(&mut session), Ok(()));
        assert_eq!(open(&mut session), Err(503));
        assert_eq!(session.take().err().map(|reply| reply.code()), Some(503));
        assert!(session.transaction().is_ok(), "a refused DATA leaves the transaction");
        session.reset();
        assert_eq!(open(&mut session), Ok(()));
        session.greet(ClientName::parse("b").unwrap());
        assert!(session.transaction().is_err(), "LHLO ends a transaction");
    }

    #[test]
    fn mistakes_are_counted() {
        let mut session = Session::default();
        assert!(!session.is_fault_too_many(2) && !session.is_fault_too_many(2));
        assert!(session.is_fault_too_many(2));
    }
}
