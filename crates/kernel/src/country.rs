//! Countries.

use std::fmt;
use std::str::FromStr;

use crate::wire::text_on_the_wire;

/// Those that have an ISO 3166-1 alpha-2 code, by that.
const ALL: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI \
    BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN \
    CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK \
    FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM \
    HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN \
    KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK \
    ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP \
    NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF \
    TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI \
    VN VU WF WS YE YT ZA ZM ZW";
/// The member states of the European Union.
const EU: &str = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";

/// A country that has an ISO 3166-1 alpha-2 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(&'static str);

/// A text that is not a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 3166-1 country code of two capital letters")]
pub struct CountryError;

impl Country {
    /// The two letters.
    pub fn code(self) -> &'static str {
        self.0
    }

    /// Whether it is a member state of the European Union.
    pub fn is_in_eu(self) -> bool {
        EU.split(' ').any(|code| code == self.0)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Country {
    type Err = CountryError;
    fn from_str(code: &str) -> Result<Self, CountryError> {
        ALL.split(' ').find(|known| *known == code).map(Self).ok_or(CountryError)
    }
}

text_on_the_wire!(Country);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_a_code_of_the_list() {
        assert_eq!(ALL.split(' ').count(), 249);
        assert!(EU.split(' ').all(|code| code.parse::<Country>().is_ok_and(Country::is_in_eu)));
        assert_eq!(EU.split(' ').count(), 27);
        for code in ["", "de", "EL", "EU", "UK", "XI", "D", "DE FR", " DE"] {
            assert_eq!(code.parse::<Country>(), Err(CountryError), "{code:?}");
        }
        assert!(!"CH".parse::<Country>().unwrap().is_in_eu());
    }
}
