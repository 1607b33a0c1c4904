//! Postfix's socketmap (socketmap_table(5)): a request `map key` and its answer, each a netstring `length:text,`.

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest request taken, in octets: twice the longest line that Postfix takes (`line_length_limit`), so that whatever it may ask gets an answer.
pub const REQUEST_LIMIT: usize = 4096;
/// As many digits as [`REQUEST_LIMIT`] has.
const DIGITS: usize = 4;

/// What a client asks. Of any bytes: not all that Postfix takes for an address is UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which map; without a space.
    pub map: Bytes,
    /// What is looked up in it.
    pub key: Bytes,
}

/// Why what came is no request. Where the next one begins is not known: the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a netstring of the form length:map key,")]
pub struct Malformed;

/// Takes the next request off the front of `input`; `None` when more bytes are needed. `input` then holds at most a request's frame and its limit.
///
/// # Errors
/// [`Malformed`], as soon as it is known.
pub fn next(input: &mut BytesMut) -> Result<Option<Request>, Malformed> {
    let Some((digits, length)) = length(input)? else { return Ok(None) };
    let Some(&end) = input.get(digits + 1 + length) else { return Ok(None) };
    if end != b',' {
        return Err(Malformed);
    }
    input.advance(digits + 1);
    let mut text = input.split_to(length).freeze();
    input.advance(1);
    let space = text.iter().position(|&byte| byte == b' ').ok_or(Malformed)?;
    let map = text.split_to(space);
    text.advance(1);
    Ok(Some(Request { map, key: text }))
}

/// How many digits come before the colon, and their number; `None` when the colon has not come yet.
fn length(input: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let digits = input.iter().take(DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    // A netstring's length has no zeros before it.
    let is_plain = digits <= DIGITS && (digits < 2 || input[0] != b'0');
    match input.get(digits) {
        None if is_plain => Ok(None),
        Some(b':') if is_plain && digits > 0 => {
            let number =
                input[..digits].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
            if number > REQUEST_LIMIT { Err(Malformed) } else { Ok(Some((digits, number))) }
        }
        _ => Err(Malformed),
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is there, with this value: one line.
    Found(String),
    /// It is not there.
    NotFound,
    /// It cannot be looked up for the time being. Postfix answers its client with 451.
    Later(&'static str),
    /// It never can be. Postfix answers its client with 451 as well, and logs the reason.
    Never(&'static str),
}

impl Answer {
    /// Appends the answer's netstring.
    pub fn render(&self, out: &mut BytesMut) {
        let text = match self {
            Self::Found(value) => format!("OK {value}"),
            // With its space, also where nothing follows it.
            Self::NotFound => "NOTFOUND ".to_owned(),
            Self::Later(why) => format!("TEMP {why}"),
            Self::Never(why) => format!("PERM {why}"),
        };
        out.extend_from_slice(format!("{}:{text},", text.len()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(map: &'static str, key: &'static str) -> Request {
        Request { map: map.into(), key: key.into() }
    }

    fn rendered(answer: &Answer) -> String {
        let mut out = BytesMut::new();
        answer.render(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn reads_what_postfix_sends() {
        let mut input = BytesMut::from("25:recipients good@b.example,17:domains a.example,1");
        assert_eq!(next(&mut input), Ok(Some(request("recipients", "good@b.example"))));
        assert_eq!(next(&mut input), Ok(Some(request("domains", "a.example"))));
        assert_eq!(next(&mut input), Ok(None));
        let mut spaces = BytesMut::from("9:m \"a b\"@c,");
        assert_eq!(next(&mut spaces), Ok(Some(request("m", "\"a b\"@c"))));
    }

    #[test]
    fn refuses_what_is_no_request() {
        for text in [
            ":", "a", "-1:", " 1:a,", "01:a,", "00", "4097:", "9999:", "12345", "1,", "3:a b;", "1:a,", "0:,",
        ] {
            assert_eq!(next(&mut BytesMut::from(text)), Err(Malformed), "{text:?}");
        }
        let longest = format!("{REQUEST_LIMIT}:m {},", "k".repeat(REQUEST_LIMIT - 2));
        assert!(next(&mut BytesMut::from(longest.as_str())).unwrap().is_some());
    }

    #[test]
    fn answers_are_what_socketmap_table_5_has() {
        assert_eq!(rendered(&Answer::Found("x".into())), "4:OK x,");
        assert_eq!(rendered(&Answer::NotFound), "9:NOTFOUND ,");
        assert_eq!(rendered(&Answer::Later("try again")), "14:TEMP try again,");
        assert_eq!(rendered(&Answer::Never("no such map")), "16:PERM no such map,");
    }

    proptest! {
        #[test]
        fn however_requests_are_cut_they_come_out(
            requests in prop::collection::vec(("[a-z]{1,12}", prop::collection::vec(any::<u8>(), 0..300)), 1..6),
            cuts in prop::collection::vec(1_usize..50, 1..40),
        ) {
            let mut wire = Vec::new();
            for (map, key) in &requests {
                wire.extend(format!("{}:{map} ", map.len() + 1 + key.len()).into_bytes());
                wire.extend(key);
                wire.push(b',');
            }
            let (mut input, mut found) = (BytesMut::new(), Vec::new());
            for piece in testkit::pieces(&wire, &cuts) {
                input.extend_from_slice(piece);
                while let Some(request) = next(&mut input).unwrap() {
                    found.push((String::from_utf8(request.map.to_vec()).unwrap(), request.key.to_vec()));
                }
            }
            prop_assert_eq!(found, requests);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn nothing_makes_it_panic_or_wait_for_more_than_the_limit(bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'1'), Just(b'9'), Just(b':'), Just(b' '), Just(b',')], 0..6000)) {
            let mut input = BytesMut::from(bytes.as_slice());
            while let Ok(taken) = next(&mut input) {
                if taken.is_none() {
                    prop_assert!(input.len() <= REQUEST_LIMIT + DIGITS + 1);
                    break;
                }
            }
        }
    }
}
