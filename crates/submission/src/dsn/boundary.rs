//! The boundary between parts.

/// How much of the base is used: with what may be added it stays within the 70 characters of RFC 2046 §5.1.1.
const BASE_CHARS: usize = 40;
/// What is added.
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A boundary that begins with `base` and occurs nowhere in `parts`, not even within a line: some readers look there.
///
/// Where it occurs, the character is added that follows the fewest of the places, so that at most a 36th of them is
/// left each time: a message made for the purpose costs a few passes over it and not one for each of its attempts.
pub(super) fn absent_from(base: &str, parts: &[Vec<u8>]) -> String {
    let is_fit = |c: &char| c.is_ascii_alphanumeric() || "'()+_,-./:=?".contains(*c);
    let mut boundary: String = base.chars().filter(is_fit).take(BASE_CHARS).collect();
    while let Some(next) = rarest_follower(boundary.as_bytes(), parts) {
        boundary.push(char::from(next));
    }
    boundary
}

/// The character of [`ALPHABET`] that follows `needle` least often; none where `needle` does not occur.
fn rarest_follower(needle: &[u8], parts: &[Vec<u8>]) -> Option<u8> {
    let mut counts = [0_usize; ALPHABET.len()];
    let mut is_found = false;
    for part in parts {
        for at in 0..=part.len() {
            let Some(rest) = part[at..].strip_prefix(needle) else { continue };
            is_found = true;
            let index = rest.first().and_then(|byte| ALPHABET.iter().position(|known| known == byte));
            if let Some(index) = index {
                counts[index] += 1;
            }
        }
    }
    let rarest = counts.iter().zip(ALPHABET).min_by_key(|(count, _)| **count).map(|(_, byte)| *byte);
    rarest.filter(|_| is_found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(base: &str, text: &str) -> String {
        absent_from(base, &[text.as_bytes().to_vec()])
    }

    #[test]
    fn is_the_base_where_that_is_free() {
        assert_eq!(of("0192-abcd", "nothing of it"), "0192-abcd");
        assert_eq!(of("a b\"\r\n\\c", ""), "abc");
    }

    #[test]
    fn grows_until_it_is_free() {
        assert_eq!(of("b", "--b\r\n"), "b0");
        assert_eq!(of("b", "--b0\r\n--b1\r\n--b3"), "b2");
        // Each single addition is taken once: one of them, and then one more.
        let all: String = ALPHABET.iter().map(|byte| format!("b{} ", char::from(*byte))).collect();
        assert_eq!(of("b", &all), "b00");
        assert_eq!(of("", "x"), "0");
    }

    #[test]
    fn stays_within_seventy_characters() {
        let base = "b".repeat(100);
        let text = base.repeat(50) + &base[..BASE_CHARS] + "0";
        let boundary = of(&base, &text);
        assert!(boundary.len() <= 70 && !text.contains(&boundary), "{boundary}");
    }
}
