//! A tenant's calendar: the time zone in which its days begin and end, and those in which they did before.

use std::iter;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::{ParseError, Tz};

/// In which time zones a tenant's days are counted over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    zone: Tz,
    /// Where they were counted before, the oldest first, each with the last day that had begun there: of a later one that is
    /// a later day.
    former: Vec<(NaiveDate, Tz)>,
}

impl Calendar {
    /// Of a row of `tenants`: its zone, and those before with their last days.
    ///
    /// # Errors
    /// [`ParseError`] for a name that no zone has.
    pub fn of_row(zone: &str, former: &[String], until: &[NaiveDate]) -> Result<Self, ParseError> {
        let former = until.iter().zip(former).map(|(last, name)| Ok((*last, name.parse::<Tz>()?)));
        Ok(Self { zone: zone.parse()?, former: former.collect::<Result<_, ParseError>>()? })
    }

    /// The present zone.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The zone in which a day began, or will if nothing changes.
    pub fn zone_on(&self, day: NaiveDate) -> Tz {
        self.former.iter().find(|(last, _)| day <= *last).map_or(self.zone, |(_, zone)| *zone)
    }

    /// The zone in which an instant of a day is counted: that in which the day began, or the next in which it is not over at that
    /// instant. For who moves to where it is still to come a day lasts on.
    pub fn zone_of(&self, day: NaiveDate, at: DateTime<Utc>) -> Tz {
        let former = self.former.iter().filter(|(last, _)| day <= *last).map(|(_, zone)| *zone);
        let mut zones = former.chain(iter::once(self.zone));
        zones.find(|zone| at.with_timezone(zone).date_naive() <= day).unwrap_or_else(|| self.zone_on(day))
    }

    /// Each zone that there is or was.
    pub fn zones(&self) -> impl Iterator<Item = Tz> {
        self.former.iter().map(|(_, zone)| *zone).chain(iter::once(self.zone))
    }

    /// Whether there was another zone before.
    pub fn has_changed(&self) -> bool {
        !self.former.is_empty()
    }

    /// The day that it is. It never goes back: who moves across the date line to where it is still the day before lives on in the
    /// day that had begun, until that is over there as well.
    pub fn today(&self, now: DateTime<Utc>) -> NaiveDate {
        let here = now.with_timezone(&self.zone).date_naive();
        self.former.last().map_or(here, |(last, _)| here.max(*last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
    }

    #[test]
    fn a_day_is_of_the_zone_in_which_it_began() {
        let former = ["Pacific/Auckland", "Europe/Berlin"].map(str::to_owned);
        let calendar = Calendar::of_row("UTC", &former, &[day(3), day(7)]).unwrap();
        let zones = [1, 3, 4, 7, 8].map(|n| calendar.zone_on(day(n)));
        let (first, second) = (Tz::Pacific__Auckland, Tz::Europe__Berlin);
        assert_eq!(zones, [first, first, second, second, Tz::UTC]);
        assert!(calendar.zones().eq([first, second, Tz::UTC]) && calendar.has_changed());
    }

    #[test]
    fn no_day_comes_twice() {
        // In Los Angeles it is the second, at one o'clock on the third in Auckland.
        let former = ["Pacific/Auckland".to_owned()];
        let calendar = Calendar::of_row("America/Los_Angeles", &former, &[day(3)]).unwrap();
        let at = |text: &str| calendar.today(text.parse().unwrap());
        assert_eq!(at("2026-03-02T12:00:00Z"), day(3));
        assert_eq!(at("2026-03-04T07:59:59Z"), day(3));
        assert_eq!(at("2026-03-04T08:00:00Z"), day(4));
        let zone = |text: &str| calendar.zone_of(day(3), text.parse().unwrap());
        // The third is over in Auckland, and lasts on.
        assert_eq!(zone("2026-03-03T10:59:59Z"), Tz::Pacific__Auckland);
        assert_eq!(zone("2026-03-03T11:00:00Z"), Tz::America__Los_Angeles);
        assert_eq!(zone("2026-03-04T07:59:59Z"), Tz::America__Los_Angeles);
        let unmoved = Calendar::of_row("America/Los_Angeles", &[], &[]).unwrap();
        assert_eq!(unmoved.today("2026-03-02T12:00:00Z".parse().unwrap()), day(2));
        assert!(!unmoved.has_changed());
        assert!(Calendar::of_row("UTC", &["Mars/Base".to_owned()], &[day(3)]).is_err());
    }
}
