//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use super::*;

/// An answer, whose status the first byte chooses: only a plain yes or no is one, and why there is none is text for a log.
pub fn answer(bytes: &[u8]) {
    let (first, body) = bytes.split_first().unwrap_or((&0, &[]));
    let statuses = [StatusCode::OK, StatusCode::ACCEPTED, StatusCode::BAD_REQUEST, StatusCode::BAD_GATEWAY];
    let status = statuses[usize::from(*first) % statuses.len()];
    match read(status, body) {
        Outcome::Answered { is_valid, consultation } => {
            assert_eq!(status, StatusCode::OK);
            // Not all that is passed over is looked at.
            if let Ok(raw) = serde_json::from_slice::<serde_json::Value>(body) {
                assert_eq!(raw["valid"], json!(is_valid));
                assert!(raw["actionSucceed"] != json!(false));
            }
            assert!(
                consultation.is_none_or(|text| text.len() <= MAX_CONSULTATION_CHARS && !text.contains(' '))
            );
        }
        Outcome::Unknown(why) => {
            assert!(
                (1..=64).contains(&why.len()) && why.bytes().all(|byte| matches!(byte, b' '..=b'~')),
                "{why}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("vies_answer", super::answer);
    }
}
