//! Numbers for value-added tax: their form and check digits, and whether a register has them.
//!
//! The form is the one that the Commission publishes for VIES; the check digits are those of each member state. Where a
//! state has none, or for the persons that it has none for, the form alone is checked. Of a number from elsewhere than
//! the European Union nothing is known but that it is letters and digits.

mod checksum;
mod register;

use std::fmt;

pub(crate) use checksum::mod_97;
use chrono::{DateTime, Utc};
use kernel::{Country, named};
pub use register::{NoRegister, VatRegister, register_at};
use serde::{Deserialize, Serialize};
use vies::Number;

/// A number whose form is right, in capitals and without spaces; of a member state of the EU with the state before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VatId(String);

impl VatId {
    /// A number of somebody in a country; `None` if its form or check digit is wrong, or it is another state's.
    pub fn new(country: Country, text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !matches!(c, ' ' | '.' | '-')).collect();
        let text = text.to_ascii_uppercase();
        let is_alphanumeric = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_alphanumeric || !(4..=20).contains(&text.len()) {
            return None;
        }
        if country.is_in_eu() {
            let number = text.strip_prefix(prefix(country))?;
            checksum::holds(country.code(), number).then_some(())?;
        }
        Some(Self(text))
    }

    /// As VIES knows it, of somebody in a country; `None` outside the European Union, of which it knows nothing.
    pub(crate) fn in_vies(&self, country: Country) -> Option<Number<'_>> {
        let (state, number) = self.0.split_at_checked(2)?;
        country.is_in_eu().then_some(Number { state, number })
    }
}

impl fmt::Display for VatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Greece's numbers begin with its name in Greek.
fn prefix(country: Country) -> &'static str {
    match country.code() {
        "GR" => "EL",
        code => code,
    }
}

named! {
    /// Whether a register has a number.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    Registration {
        /// Nobody asked, or nobody answered.
        Unchecked = "unchecked",
        /// It has.
        Valid = "valid",
        /// It has not.
        Void = "void",
    }
}

/// What a register said, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterAnswer {
    /// Whether it has the number.
    pub registration: Registration,
    /// When it was asked; `None` if it has not answered.
    pub checked_at: Option<DateTime<Utc>>,
    /// The number by which it proves that it was asked, if it gave one.
    #[serde(default)]
    pub consultation: Option<String>,
}

impl RegisterAnswer {
    /// There is none.
    pub(crate) const NONE: Self =
        Self { registration: Registration::Unchecked, checked_at: None, consultation: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(country: &str, text: &str) -> Option<String> {
        VatId::new(country.parse().unwrap(), text).map(|id| id.to_string())
    }

    #[test]
    fn a_number_is_written_without_spaces_and_belongs_to_its_country() {
        assert_eq!(of("DE", "de 136 695 976").as_deref(), Some("DE136695976"));
        assert_eq!(of("GR", "EL 094259216").as_deref(), Some("EL094259216"));
        assert_eq!(of("GR", "GR094259216"), None);
        assert_eq!(of("FR", "DE136695976"), None);
        assert_eq!(of("DE", "136695976"), None);
        assert_eq!(of("CH", "CHE-123.456.788").as_deref(), Some("CHE123456788"));
        assert_eq!(of("CH", "CHE 123/456"), None);
        assert_eq!(of("US", "123"), None);
    }

    #[test]
    fn only_numbers_of_member_states_are_known_to_vies() {
        let country = |code: &str| code.parse::<Country>().unwrap();
        let greek = VatId::new(country("GR"), "EL094259216").unwrap();
        assert_eq!(greek.in_vies(country("GR")), Some(Number { state: "EL", number: "094259216" }));
        let swiss = VatId::new(country("CH"), "CHE-123.456.788").unwrap();
        assert_eq!(swiss.in_vies(country("CH")), None);
    }
}
