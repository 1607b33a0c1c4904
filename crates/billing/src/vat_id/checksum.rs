//! The form and the check digits of the member states' numbers, as their tax offices define them.

use std::ops::RangeInclusive;

/// Whether a number, without its state before it, has the form of the state and its check digits.
pub(super) fn holds(country: &str, number: &str) -> bool {
    match country {
        "ES" => spanish(number),
        "FR" => french(number),
        "IE" => irish(number),
        "CY" => cypriot(number),
        "NL" => dutch(number),
        "AT" => number.strip_prefix('U').and_then(digits).is_some_and(|of| of.len() == 8 && austrian(&of)),
        _ => digits(number).is_some_and(|of| of_digits(country, &of)),
    }
}

/// Those that are of digits alone.
fn of_digits(country: &str, of: &[u32]) -> bool {
    let has = |lengths: RangeInclusive<usize>| lengths.contains(&of.len());
    match country {
        "BE" => {
            has(10..=10)
                && of.first().is_some_and(|first| *first < 2)
                && pair(of, 8) == 97 - value(of, 8) % 97
        }
        "BG" => has(9..=10) && (of.len() == 10 || bulgarian(of)),
        "CZ" => has(8..=10) && (of.len() > 8 || czech(of)),
        "DE" => has(9..=9) && of.first() != Some(&0) && mod_11_10(of),
        "DK" => has(8..=8) && weighted(of, &[2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11),
        "EE" => has(9..=9) && weighted(of, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10),
        "GR" => has(9..=9) && last(of) == weighted(of, &[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10,
        "FI" => has(8..=8) && weighted(of, &[7, 9, 10, 5, 8, 4, 2, 1]).is_multiple_of(11),
        "HR" => has(11..=11) && mod_11_10(of),
        "HU" => has(8..=8) && weighted(of, &[9, 7, 3, 1, 9, 7, 3, 1]).is_multiple_of(10),
        "IT" => has(11..=11) && luhn(of),
        "LT" => (has(9..=9) || has(12..=12)) && of.iter().rev().nth(1) == Some(&1) && lithuanian(of),
        "LU" => has(8..=8) && pair(of, 6) == value(of, 6) % 89,
        // Of persons only the form.
        "LV" => {
            has(11..=11)
                && (of.first().is_some_and(|first| *first < 4)
                    || weighted(of, &[9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1]) % 11 == 3)
        }
        "MT" => has(8..=8) && weighted(of, &[3, 4, 6, 7, 8, 9, 10, 1]).is_multiple_of(37),
        "PL" => has(10..=10) && last(of) == weighted(of, &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11,
        "PT" => has(9..=9) && last(of) == (11 - weighted(of, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11 % 10,
        "RO" => has(2..=10) && romanian(of),
        "SE" => has(12..=12) && pair(of, 10) == 1 && luhn(of.get(..10).unwrap_or_default()),
        "SI" => has(8..=8) && of.first() != Some(&0) && slovenian(of),
        "SK" => has(10..=10) && of.iter().fold(0, |rest, digit| (rest * 10 + digit) % 11) == 0,
        _ => false,
    }
}

fn digits(text: &str) -> Option<Vec<u32>> {
    text.chars().map(|c| c.to_digit(10)).collect()
}

/// The digits from the first on, each times its weight.
fn weighted(of: &[u32], weights: &[u32]) -> u32 {
    of.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn last(of: &[u32]) -> u32 {
    of.last().copied().unwrap_or(10)
}

/// The first `count` digits, at most 9, as a number.
fn value(of: &[u32], count: usize) -> u32 {
    of.iter().take(count).fold(0, |value, digit| value * 10 + digit)
}

/// The two digits from a place on, as a number.
fn pair(of: &[u32], from: usize) -> u32 {
    value(of.get(from..).unwrap_or_default(), 2)
}

/// ISO 7064 MOD 11,10.
fn mod_11_10(of: &[u32]) -> bool {
    let Some((check, others)) = of.split_last() else { return false };
    let product = others.iter().fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (product + check) % 10 == 1
}

fn luhn(of: &[u32]) -> bool {
    let doubled = |digit: u32| digit * 2 / 10 + digit * 2 % 10;
    let sum: u32 = of
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit })
        .sum();
    sum.is_multiple_of(10)
}

fn austrian(of: &[u32]) -> bool {
    let doubled = |digit: u32| digit * 2 / 10 + digit * 2 % 10;
    let first = of.iter().take(7).enumerate();
    let sum: u32 = first.map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit }).sum();
    last(of) == (10 - (sum + 4) % 10) % 10
}

fn bulgarian(of: &[u32]) -> bool {
    let mut check = weighted(of, &[1, 2, 3, 4, 5, 6, 7, 8]) % 11;
    if check == 10 {
        check = weighted(of, &[3, 4, 5, 6, 7, 8, 9, 10]) % 11 % 10;
    }
    last(of) == check
}

fn czech(of: &[u32]) -> bool {
    let check = (11 - weighted(of, &[8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    of.first() != Some(&9) && last(of) == if check == 0 { 1 } else { check % 10 }
}

fn lithuanian(of: &[u32]) -> bool {
    let others = of.get(..of.len() - 1).unwrap_or_default();
    let by = |first: u32| -> u32 { others.iter().zip(first..).map(|(digit, at)| digit * (1 + at % 9)).sum() };
    let check = match by(0) % 11 {
        10 => by(2) % 11 % 10,
        check => check,
    };
    last(of) == check
}

fn romanian(of: &[u32]) -> bool {
    let others = of.iter().rev().skip(1).zip([2, 3, 5, 7, 1, 2, 3, 5, 7]);
    let sum: u32 = others.map(|(digit, weight)| digit * weight).sum();
    of.first() != Some(&0) && last(of) == sum * 10 % 11 % 10
}

fn slovenian(of: &[u32]) -> bool {
    match 11 - weighted(of, &[8, 7, 6, 5, 4, 3, 2]) % 11 {
        11 => false,
        check => last(of) == check % 10,
    }
}

/// Two characters, and nine digits of the company's register. Of a key with letters only the form.
fn french(number: &str) -> bool {
    let Some((key, company)) = number.split_at_checked(2) else { return false };
    let Some(company) = digits(company).filter(|company| company.len() == 9) else { return false };
    // Those of Monaco begin with 000 and have no check digit of their own.
    let is_company = company.starts_with(&[0, 0, 0]) || luhn(&company);
    let of_key = match digits(key) {
        Some(key) => pair(&key, 0) == (u64::from(value(&company, 9)) * 100 + 12).rem_euclid(97) as u32,
        None => key.bytes().all(|byte| byte.is_ascii_alphanumeric() && !b"IO".contains(&byte)),
    };
    is_company && of_key
}

/// Seven digits and one or two letters, or of the old form with a letter in the second place.
fn irish(number: &str) -> bool {
    let Some((body, letters)) = number.split_at_checked(7) else { return false };
    let Some(of) = digits(body).or_else(|| old_irish(body)) else { return false };
    let letter = |byte: u8| u32::from(byte.wrapping_sub(b'A')) + 1;
    let (check, second) = match letters.as_bytes() {
        [check] => (*check, 0),
        [check, b'W'] => (*check, 0),
        [check, second @ b'A'..=b'I'] => (*check, letter(*second)),
        _ => return false,
    };
    let rest = (weighted(&of, &[8, 7, 6, 5, 4, 3, 2]) + second * 9) % 23;
    u32::from(check) == if rest == 0 { u32::from(b'W') } else { u32::from(b'A') + rest - 1 }
}

fn old_irish(body: &str) -> Option<Vec<u32>> {
    let (first, rest) = body.split_at_checked(1)?;
    let (letter, rest) = rest.split_at_checked(1)?;
    let is_letter = letter.bytes().all(|byte| byte.is_ascii_uppercase());
    let of = [vec![0], digits(rest)?, digits(first)?].concat();
    is_letter.then_some(of)
}

fn cypriot(number: &str) -> bool {
    let Some((body, letter)) = number.split_at_checked(8) else { return false };
    let Some(of) = digits(body) else { return false };
    let odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
    let sum: u32 = of
        .iter()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 0 { *odd.get(*digit as usize).unwrap_or(&0) } else { *digit })
        .sum();
    let [letter] = letter.as_bytes() else { return false };
    !body.starts_with("12") && u32::from(*letter) == u32::from(b'A') + sum % 26
}

/// Nine digits, `B` and two: of companies the ninth is a check digit, of persons the last two are, by ISO 7064 MOD 97-10.
fn dutch(number: &str) -> bool {
    let Some((body, branch)) = number.split_once('B') else { return false };
    let (Some(of), Some(branch_of)) = (digits(body), digits(branch)) else { return false };
    if of.len() != 9 || branch_of.len() != 2 {
        return false;
    }
    let by_company = weighted(&of, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 == last(&of);
    by_company || mod_97(&format!("NL{number}")) == Some(1)
}

/// A text of letters and digits, A being 10, as a number modulo 97.
pub(crate) fn mod_97(text: &str) -> Option<u32> {
    text.chars().try_fold(0_u32, |rest, c| {
        let value = c.to_digit(36)?;
        Some((rest * if value < 10 { 10 } else { 100 } + value) % 97)
    })
}

/// A person's number, or a letter for the kind of a legal person, seven digits and a check digit or letter.
fn spanish(number: &str) -> bool {
    let (Some(first), Some(check)) = (number.chars().next(), number.chars().last()) else { return false };
    if number.len() != 9 {
        return false;
    }
    let body = |from: usize| number.get(from..8).and_then(digits);
    let is_persons =
        |of: Vec<u32>| "TRWAGMYFPDXBNJZSQVHLCKE".chars().nth((value(&of, 8) % 23) as usize) == Some(check);
    match first {
        '0'..='9' => body(0).is_some_and(is_persons),
        'X' | 'Y' | 'Z' => {
            let stands_for = first as u32 - u32::from(b'X');
            body(1).is_some_and(|of| is_persons([vec![stands_for], of].concat()))
        }
        'K' | 'L' | 'M' => body(1).is_some_and(is_persons),
        'A'..='H' | 'J' | 'N' | 'P'..='S' | 'U' | 'V' | 'W' => body(1).is_some_and(|of| {
            let wanted = (0..10).find(|digit| luhn(&[of.as_slice(), &[*digit]].concat())).unwrap_or(0);
            check.to_digit(10) == Some(wanted) || "JABCDEFGHI".chars().nth(wanted as usize) == Some(check)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published examples and numbers that companies print on their pages.
    const KNOWN: &[&str] = &[
        "ATU13585627",
        "BE0428759497",
        "BG175074752",
        "CY10259033P",
        "CZ25123891",
        "DE136695976",
        "DK13585628",
        "EE100931558",
        "GR094259216",
        "ESB58378431",
        "ES54362315K",
        "ESX2482300W",
        "FI20774740",
        "FR40303265045",
        "HR33392005961",
        "HU12892312",
        "IE6433435F",
        "IE6433435OA",
        "IE8D79739I",
        "IT00743110157",
        "LT119511515",
        "LT100001919017",
        "LU15027442",
        "LV40003521600",
        "MT11679112",
        "NL004495445B01",
        "PL8567346215",
        "PT501964843",
        "RO18547290",
        "SE123456789701",
        "SI50223054",
        "SK2022749619",
    ];

    #[test]
    fn known_numbers_hold_and_each_wrong_digit_is_found() {
        let mut states = std::collections::BTreeSet::new();
        for known in KNOWN {
            let (country, number) = known.split_at(2);
            states.insert(country);
            assert!(holds(country, number), "{known}");
            for at in 0..number.len() {
                let Some(digit) = number[at..=at].parse::<u32>().ok() else { continue };
                let mut changed = number.to_owned();
                changed.replace_range(at..=at, &((digit + 1) % 10).to_string());
                // The first digit of some says whose number it is, and those of persons have no check digit.
                let is_kind = at == 0 && ["LV", "BE"].contains(&country);
                assert!(
                    !holds(country, &changed) || is_kind || (country == "NL" && at > 9),
                    "{country}{changed}"
                );
            }
            for wrong in [String::new(), format!("{number}0"), number[1..].to_owned(), format!("{number}Ä")]
            {
                assert!(!holds(country, &wrong) || ["RO", "CZ", "BG"].contains(&country), "{country}{wrong}");
            }
        }
        assert_eq!(states.len(), 27);
        assert!(!holds("US", "123456789"));
    }
}
