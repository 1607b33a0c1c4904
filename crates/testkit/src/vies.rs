//! A register of numbers for value-added tax on loopback, which speaks VIES' API as far as Pillarbox asks it and plays
//! failures.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use crate::fake::{Fake, lock};

/// The consultation number that it gives to who says who asks.
pub const CONSULTATION: &str = "WAPIAAAAZtest001";

/// What goes wrong with one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error of VIES by this code.
    Error(&'static str),
    /// The code beside a `valid` that is false and says nothing.
    Beside(&'static str),
    /// 500 and no JSON.
    Broken,
    /// No answer for as long as the test runs.
    Slow,
    /// The connection is cut.
    Cut,
}

#[derive(Debug, Default)]
struct State {
    numbers: BTreeSet<(String, String)>,
    faults: VecDeque<Fault>,
    heard: Vec<Value>,
}

/// The register; it ends with the test, and has no number at first.
#[derive(Debug, Clone)]
pub struct FakeVies {
    fake: Arc<Fake<State>>,
}

impl FakeVies {
    /// Starts it.
    pub async fn start() -> Self {
        let each = |stream, state: Arc<Mutex<State>>| async move {
            converse(stream, &state).await.unwrap_or_default();
        };
        Self { fake: Fake::start(each).await }
    }

    /// Where it is.
    pub fn url(&self) -> Url {
        let Ok(url) = format!("http://127.0.0.1:{}/rest-api", self.fake.port).parse() else {
            panic!("a port's url")
        };
        url
    }

    /// Enters a number of a state.
    pub fn has(&self, state: &str, number: &str) {
        self.fake.state().numbers.insert((state.to_owned(), number.to_owned()));
    }

    /// What goes wrong with the next questions, one each.
    pub fn fail(&self, faults: &[Fault]) {
        self.fake.state().faults.extend(faults);
    }

    /// The questions so far.
    pub fn heard(&self) -> Vec<Value> {
        self.fake.state().heard.clone()
    }
}

async fn converse(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let (status, body) = if head.starts_with("post /rest-api/check-vat-number ") {
        let question = serde_json::from_slice(&body).ok()?;
        let (fault, answer) = answer(state, question);
        match fault {
            Some(Fault::Slow) => return std::future::pending().await,
            Some(Fault::Cut) => return stream.shutdown().await.ok(),
            Some(Fault::Broken) => (500, "<html>".to_owned()),
            Some(Fault::Error(_) | Fault::Beside(_)) | None => (200, answer.to_string()),
        }
    } else {
        (404, String::new())
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

fn answer(state: &Mutex<State>, question: Value) -> (Option<Fault>, Value) {
    let mut state = lock(state);
    let has = |state: &State, code: &str, number: &str| {
        let part = |name: &str| question[name].as_str().unwrap_or_default().to_owned();
        state.numbers.contains(&(part(code), part(number)))
    };
    let asks_by_name = question.get("requesterNumber").is_some();
    let is_requester = has(&state, "requesterMemberStateCode", "requesterNumber");
    let is_valid = has(&state, "countryCode", "vatNumber");
    state.heard.push(question.clone());
    let fault = state.faults.pop_front();
    let error = |code: &str| json!({"actionSucceed": false, "errorWrappers": [{"error": code}]});
    let answer = match fault {
        Some(Fault::Error(code)) => error(code),
        Some(Fault::Beside(code)) => json!({"valid": false, "userError": code, "requestIdentifier": ""}),
        _ if asks_by_name && !is_requester => error("INVALID_REQUESTER_INFO"),
        _ => json!({"countryCode": question["countryCode"], "vatNumber": question["vatNumber"],
            "requestDate": "2026-01-01T09:00:00.000Z", "valid": is_valid, "name": "---", "address": "---",
            "requestIdentifier": if asks_by_name { CONSULTATION } else { "" }}),
    };
    (fault, answer)
}
