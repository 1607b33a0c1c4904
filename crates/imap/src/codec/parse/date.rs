//! Dates, as search keys and APPEND have them.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime};

use super::token::{Cursor, Fail, Result};

const DATE: &str = "a date such as 1-Jan-2026";
const DATE_TIME: &str = "a date-time such as \" 1-Jan-2026 10:00:00 +0100\"";

impl Cursor {
    /// `date`, in quotes or not.
    pub(super) fn date(&mut self) -> Result<NaiveDate> {
        let is_quoted = self.eat(b'"');
        let date = self.date_text(DATE)?;
        if is_quoted && !self.eat(b'"') {
            return Err(Fail::Expected("a closing quote"));
        }
        Ok(date)
    }

    /// `date-time`. A day of one digit may stand there without a space or a zero before it.
    pub(super) fn date_time(&mut self) -> Result<DateTime<FixedOffset>> {
        let is_there = |is_there: bool| if is_there { Ok(()) } else { Err(Fail::Expected(DATE_TIME)) };
        is_there(self.eat(b'"'))?;
        let date = self.date_text(DATE_TIME)?;
        is_there(self.eat(b' '))?;
        let hour = self.digits(1..=2, DATE_TIME)?;
        is_there(self.eat(b':'))?;
        let minute = self.digits(2..=2, DATE_TIME)?;
        is_there(self.eat(b':'))?;
        // A leap second is the second before it: nothing here counts them.
        let second = match self.digits(2..=2, DATE_TIME)? {
            60 => 59,
            second => second,
        };
        is_there(self.eat(b' '))?;
        let offset = self.zone()?;
        is_there(self.eat(b'"'))?;
        let time = NaiveTime::from_hms_opt(hour, minute, second).ok_or(Fail::Expected(DATE_TIME))?;
        date.and_time(time).and_local_timezone(offset).single().ok_or(Fail::Expected(DATE_TIME))
    }

    fn zone(&mut self) -> Result<FixedOffset> {
        let is_west = self.eat(b'-');
        if !is_west && !self.eat(b'+') {
            return Err(Fail::Expected(DATE_TIME));
        }
        let digits = self.digits(4..=4, DATE_TIME)?;
        let (hours, minutes) = (digits / 100, digits % 100);
        let seconds = i32::try_from(hours * 3600 + minutes * 60).map_err(|_| Fail::Expected(DATE_TIME))?;
        let offset = FixedOffset::east_opt(if is_west { -seconds } else { seconds });
        offset.filter(|_| minutes < 60).ok_or(Fail::Expected(DATE_TIME))
    }

    fn date_text(&mut self, what: &'static str) -> Result<NaiveDate> {
        self.eat(b' ');
        let day = self.digits(1..=2, what)?;
        let dash = |is_there: bool| if is_there { Ok(()) } else { Err(Fail::Expected(what)) };
        dash(self.eat(b'-'))?;
        let month = self.month(what)?;
        dash(self.eat(b'-'))?;
        let year = self.digits(4..=4, what)?;
        let year = i32::try_from(year).map_err(|_| Fail::Expected(what))?;
        NaiveDate::from_ymd_opt(year, month, day).ok_or(Fail::Expected(what))
    }

    fn month(&mut self, what: &'static str) -> Result<u32> {
        let name = self.take_while(|byte| byte.is_ascii_alphabetic()).to_ascii_lowercase();
        let number = match name.as_slice() {
            b"jan" => 1,
            b"feb" => 2,
            b"mar" => 3,
            b"apr" => 4,
            b"may" => 5,
            b"jun" => 6,
            b"jul" => 7,
            b"aug" => 8,
            b"sep" => 9,
            b"oct" => 10,
            b"nov" => 11,
            b"dec" => 12,
            _ => return Err(Fail::Expected(what)),
        };
        Ok(number)
    }

    /// A number of so many digits.
    fn digits(&mut self, count: std::ops::RangeInclusive<usize>, what: &'static str) -> Result<u32> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(&digits).ok().filter(|digits| count.contains(&digits.len()));
        number.and_then(|digits| digits.parse().ok()).ok_or(Fail::Expected(what))
    }
}
