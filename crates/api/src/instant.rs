//! Instants in a query or a body.

use chrono::{DateTime, Datelike as _, Utc};
use serde::{Deserialize, Deserializer};

/// A time as RFC 3339 has it, whose year has four digits in UTC too: what shows it again is RFC 3339 as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant(pub(crate) DateTime<Utc>);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc());
        at.filter(|at| (0..=9999).contains(&at.year())).map(Self).ok_or_else(|| {
            serde::de::Error::custom("must be a time that exists, such as 2026-02-01T09:00:00Z")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let read = serde_json::from_value::<Instant>(text.into()).ok();
        read.map(|Instant(at)| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    }

    #[test]
    fn are_of_rfc_3339_and_of_years_with_four_digits() {
        assert_eq!(read("2026-02-01T09:00:00+02:00").as_deref(), Some("2026-02-01T07:00:00Z"));
        assert_eq!(read("9999-12-31T23:59:59.5Z").as_deref(), Some("9999-12-31T23:59:59Z"));
        for wrong in [
            "",
            "2026-02-01",
            "2026-02-30T09:00:00Z",
            "2026-02-01T09:00:00",
            "+12026-02-01T09:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
            "yesterday",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
