//! Asks VIES, the Commission's register of numbers for value-added tax, whether it has one.
//!
//! <https://ec.europa.eu/assets/taxud/vow-information/swagger_publicVAT.yaml>
//!
//! VIES passes a question on to the member state's own register, which often is not there. Only a plain yes or no is an
//! answer about the number: all else, whatever it says beside, means that nobody knows, and the same is to be asked again.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use outbound::{Failure, Transport};
use serde::Deserialize;
use serde_json::json;
use url::Url;

pub use outbound::{Limits, SetupError};

/// The most characters of a consultation number that is kept; they have sixteen.
const MAX_CONSULTATION_CHARS: usize = 64;

/// A number of a member state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<'a> {
    /// The state as numbers begin with it: `EL` for Greece.
    pub state: &'a str,
    /// What follows.
    pub number: &'a str,
}

/// What is known after asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The state's register answered.
    Answered {
        /// Whether the number may be used for trade within the EU.
        is_valid: bool,
        /// The number by which VIES proves that it was asked, for whoever asked under a number of its own.
        consultation: Option<String>,
    },
    /// It did not; why, as VIES' code such as `MS_UNAVAILABLE` or in words.
    Unknown(String),
}

/// Speaks to VIES. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// A client of VIES at `base`, such as `https://ec.europa.eu/taxation_customs/vies/rest-api`.
    ///
    /// # Errors
    /// As of [`Transport::new`].
    pub fn new(base: &Url, limits: Limits) -> Result<Self, SetupError> {
        Ok(Self { transport: Transport::new(base, limits)? })
    }

    /// Asks about a number, on behalf of who has a number itself, if that is known. Where VIES takes it for no requester's,
    /// it is asked without: then there is an answer and no consultation number.
    pub async fn check(&self, number: Number<'_>, requester: Option<Number<'_>>) -> Outcome {
        let outcome = self.ask(number, requester).await;
        match outcome {
            Outcome::Unknown(code) if code == "INVALID_REQUESTER_INFO" && requester.is_some() => {
                self.ask(number, None).await
            }
            outcome => outcome,
        }
    }

    async fn ask(&self, number: Number<'_>, requester: Option<Number<'_>>) -> Outcome {
        let mut question = json!({"countryCode": number.state, "vatNumber": number.number});
        if let Some(Number { state, number }) = requester {
            question["requesterMemberStateCode"] = json!(state);
            question["requesterNumber"] = json!(number);
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.transport.url(["check-vat-number"]).as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::from(question.to_string())));
        let Ok(request) = request else { return unknown("the question cannot be sent") };
        match self.transport.send(request).await {
            Ok((status, body)) => read(status, &body),
            Err(Failure::NotSent) => unknown("no connection"),
            Err(Failure::NoAnswer(why)) => unknown(why),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    valid: Option<bool>,
    request_identifier: Option<String>,
    user_error: Option<String>,
    action_succeed: Option<bool>,
    error_wrappers: Vec<RawError>,
}

#[derive(Debug, Deserialize)]
struct RawError {
    #[serde(default)]
    error: String,
}

fn unknown(why: &str) -> Outcome {
    Outcome::Unknown(why.to_owned())
}

/// An error stands in a body of its own, or beside a `valid` that says nothing then.
fn read(status: StatusCode, body: &[u8]) -> Outcome {
    // A list of values would be read as well, each for the field of its place.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let Some(raw) = serde_json::from_slice::<Raw>(body).ok().filter(|_| is_object) else {
        return Outcome::Unknown(format!("answered {} with what is no answer", status.as_u16()));
    };
    let beside = raw.user_error.filter(|code| !matches!(code.as_str(), "" | "VALID" | "INVALID"));
    let code = raw.error_wrappers.into_iter().next().map(|wrapper| wrapper.error).or(beside);
    if let Some(code) = code {
        let is_code =
            (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        return unknown(if is_code { &code } else { "an error without a code" });
    }
    match raw.valid {
        Some(is_valid) if status == StatusCode::OK && raw.action_succeed != Some(false) => {
            let consultation = raw.request_identifier.filter(|text| is_consultation(text));
            Outcome::Answered { is_valid, consultation }
        }
        _ => Outcome::Unknown(format!("answered {} without an answer", status.as_u16())),
    }
}

fn is_consultation(text: &str) -> bool {
    (1..=MAX_CONSULTATION_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_or_no_is_an_answer() {
        let ok = |body: &str| read(StatusCode::OK, body.as_bytes());
        let answered = |is_valid, consultation: Option<&str>| Outcome::Answered {
            is_valid,
            consultation: consultation.map(Into::into),
        };
        let yes = r#"{"countryCode": "FR", "vatNumber": "40303265045", "requestDate": "2026-01-01T10:00:00.000Z", "valid": true,
            "requestIdentifier": "WAPIAAAAW1aaaaaa", "name": "SA SODIMAS", "address": "---", "traderName": "---"}"#;
        assert_eq!(ok(yes), answered(true, Some("WAPIAAAAW1aaaaaa")));
        assert_eq!(
            ok(r#"{"valid": false, "requestIdentifier": "", "userError": "INVALID"}"#),
            answered(false, None)
        );
        assert_eq!(ok(r#"{"valid": true, "requestIdentifier": "a b"}"#), answered(true, None));
        let down = r#"{"actionSucceed": false, "errorWrappers": [{"error": "MS_UNAVAILABLE"}]}"#;
        assert_eq!(ok(down), Outcome::Unknown("MS_UNAVAILABLE".into()));
        assert_eq!(read(StatusCode::BAD_REQUEST, down.as_bytes()), Outcome::Unknown("MS_UNAVAILABLE".into()));
        // What is said beside an error says nothing of the number.
        for body in [
            r#"{"valid": false, "userError": "MS_MAX_CONCURRENT_REQ"}"#,
            r#"{"valid": false, "actionSucceed": false}"#,
            r#"{"valid": false, "errorWrappers": [{"error": "no such <thing>"}]}"#,
            r#"{"valid": null}"#,
            r#"{"valid": "yes"}"#,
            "{}",
            "[]",
            "<html>",
        ] {
            assert!(matches!(ok(body), Outcome::Unknown(_)), "{body}");
        }
        assert!(matches!(read(StatusCode::INTERNAL_SERVER_ERROR, yes.as_bytes()), Outcome::Unknown(_)));
    }
}
