//! Calendar days in a query.

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer};

/// A day in the years that can be billed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day(pub(crate) NaiveDate);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        billing::date(&text).map(Self).ok_or_else(|| serde::de::Error::custom(billing::NOT_A_DATE))
    }
}
