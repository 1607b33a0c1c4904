//! Words of a closed list, with one text for what is none of them.

use billing::export::Level;
use billing::invoice::{self, DocumentKind};
use billing::payment::PaymentStatus;
use mailstore::{folder, message};
use serde::{Deserialize as _, Deserializer};
use submission::outgoing;
use tenancy::delegate::Right;
use tenancy::policy::Capability;
use tenancy::webhook_endpoint::DeliveryStatus;
use tenancy::{Role, domain, mailbox, tenant, user};

/// One of a few words.
pub(crate) trait Word: Copy + 'static {
    /// Those that a request may have.
    const WORDS: &'static [Self];

    /// It, as it is written.
    fn written(self) -> &'static str;

    /// The one that is written so.
    ///
    /// # Errors
    /// What is wrong, for the caller.
    fn named(text: &str) -> Result<Self, String> {
        Self::WORDS.iter().copied().find(|word| word.written() == text).ok_or_else(must_be_one::<Self>)
    }
}

macro_rules! words {
    ($($word:ty: $all:expr;)*) => {$(
        impl Word for $word {
            const WORDS: &'static [Self] = $all;

            fn written(self) -> &'static str {
                self.as_str()
            }
        }
    )*};
}

words! {
    tenant::Status: tenant::Status::ALL;
    user::Status: user::Status::ALL;
    // Of a user.
    Role: &[Role::TenantAdmin, Role::TenantBilling, Role::Helpdesk, Role::User];
    domain::Status: domain::Status::ALL;
    mailbox::Kind: mailbox::Kind::ALL;
    Right: Right::ALL;
    Capability: Capability::ALL;
    DeliveryStatus: DeliveryStatus::ALL;
    folder::Role: folder::Role::ALL;
    message::State: message::State::ALL;
    outgoing::State: outgoing::State::ALL;
    invoice::Status: invoice::Status::ALL;
    DocumentKind: DocumentKind::ALL;
    PaymentStatus: PaymentStatus::ALL;
    Level: Level::ALL;
}

/// What is wrong with a text that is none of the words.
pub(crate) fn must_be_one<T: Word>() -> String {
    must_be(T::WORDS.iter().map(|word| word.written()))
}

/// The same of any words: `must be a, b or c`.
pub(crate) fn must_be<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    format!("must be {}", listed(words, "or"))
}

/// Words as a sentence has them, with this before the last.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>, joint: &str) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [before @ .., last] => format!("{} {joint} {last}", before.join(", ")),
    }
}

/// Reads a word.
pub(crate) fn word<'de, D: Deserializer<'de>, T: Word>(deserializer: D) -> Result<T, D::Error> {
    T::named(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Reads a word that may be left out.
pub(crate) fn maybe<'de, D: Deserializer<'de>, T: Word>(deserializer: D) -> Result<Option<T>, D::Error> {
    word(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_word_is_told_which_there_are() {
        assert_eq!(DocumentKind::named("credit_note"), Ok(DocumentKind::CreditNote));
        assert_eq!(DocumentKind::named("receipt"), Err("must be invoice or credit_note".to_owned()));
        assert_eq!(invoice::Status::named("foo"), Err("must be draft, final, paid or void".to_owned()));
        assert_eq!(
            Role::named("operator").unwrap_err(),
            "must be tenant_admin, tenant_billing, helpdesk or user"
        );
        assert_eq!(must_be(["deleted"]), "must be deleted");
        assert_eq!(listed([], "and"), "");
    }
}
