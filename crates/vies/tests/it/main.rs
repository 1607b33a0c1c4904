//! The client against a register on loopback that plays failures.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use serde_json::json;
use testkit::vies::{CONSULTATION, FakeVies, Fault};
use vies::{Client, Limits, Number, Outcome, SetupError};

const GOOD: Number<'_> = Number { state: "FR", number: "40303265045" };
const OURS: Number<'_> = Number { state: "DE", number: "136695976" };

async fn scene() -> (FakeVies, Client) {
    let register = FakeVies::start().await;
    register.has("FR", "40303265045");
    register.has("DE", "136695976");
    let limits = Limits { total: Duration::from_millis(500), ..Limits::default() };
    let client = Client::new(&register.url(), limits).unwrap();
    (register, client)
}

fn answered(is_valid: bool, consultation: Option<&str>) -> Outcome {
    Outcome::Answered { is_valid, consultation: consultation.map(Into::into) }
}

#[tokio::test]
async fn a_number_is_there_or_not_and_whoever_says_who_asks_gets_a_proof() {
    let (register, client) = scene().await;
    assert_eq!(client.check(GOOD, None).await, answered(true, None));
    assert_eq!(client.check(GOOD, Some(OURS)).await, answered(true, Some(CONSULTATION)));
    let gone = Number { number: "40303265046", ..GOOD };
    assert_eq!(client.check(gone, Some(OURS)).await, answered(false, Some(CONSULTATION)));
    let asked = register.heard();
    assert_eq!(asked[0], json!({"countryCode": "FR", "vatNumber": "40303265045"}));
    let whole = json!({"countryCode": "FR", "vatNumber": "40303265045", "requesterMemberStateCode": "DE", "requesterNumber": "136695976"});
    assert_eq!(asked[1], whole);
    // A requester that is none keeps nobody from an answer.
    let wrong = Number { number: "1", ..OURS };
    assert_eq!(client.check(GOOD, Some(wrong)).await, answered(true, None));
    assert_eq!(register.heard().len(), 5);
}

#[tokio::test]
async fn whatever_goes_wrong_nothing_is_known_of_the_number() {
    let (register, client) = scene().await;
    for (fault, why) in [
        (Fault::Error("MS_UNAVAILABLE"), "MS_UNAVAILABLE"),
        (Fault::Error("MS_MAX_CONCURRENT_REQ"), "MS_MAX_CONCURRENT_REQ"),
        (Fault::Beside("TIMEOUT"), "TIMEOUT"),
        (Fault::Broken, "answered 500 with what is no answer"),
        (Fault::Slow, "no answer in time"),
        (Fault::Cut, "the connection was cut"),
    ] {
        register.fail(&[fault]);
        assert_eq!(client.check(GOOD, Some(OURS)).await, Outcome::Unknown(why.into()), "{fault:?}");
    }
    assert_eq!(client.check(GOOD, Some(OURS)).await, answered(true, Some(CONSULTATION)));
    let nobody = Client::new(&"http://127.0.0.1:9".parse().unwrap(), Limits::default()).unwrap();
    assert_eq!(nobody.check(GOOD, None).await, Outcome::Unknown("no connection".into()));
    let open = Client::new(&"http://register.example".parse().unwrap(), Limits::default());
    assert!(matches!(open, Err(SetupError::Url)));
}
