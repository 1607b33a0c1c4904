//! A payment provider on loopback that speaks Stripe's API as far as Pillarbox asks it, remembers what it was asked
//! under which idempotency key, and plays failures.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::{Url, form_urlencoded};

use crate::fake::{Fake, lock};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and never answered.
    SilentAfter,
    /// It is done, and the connection is cut before the answer.
    CutAfter,
    /// It is done, and answered with what is no JSON.
    GarbledAfter,
    /// It is done, and answered with 500.
    BrokenAfter,
    /// It is not done, and answered with 500.
    Broken,
    /// It is not done, and the connection is cut.
    Cut,
    /// It is not done: too many requests.
    RateLimited,
    /// It is not done: the request is no good.
    Refused,
    /// The payment arrives just before it is to be given up.
    ArrivesFirst,
    /// The bank declines.
    Declined,
    /// The bank wants to see the customer.
    AuthenticationRequired,
    /// The money is on its way.
    Processing,
    /// The customer has to do something.
    RequiresAction,
    /// Half of it is received.
    Half,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// By lower-case names.
    pub headers: HashMap<String, String>,
    /// The form.
    pub form: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<Fault>,
    is_revoked: bool,
    heard: Vec<Heard>,
    /// By idempotency key: what was answered, and would be again.
    answered: HashMap<String, (u16, Value)>,
    intents: BTreeMap<String, Value>,
    refunds: BTreeMap<String, Value>,
    disputes: BTreeMap<String, Value>,
    /// What each dispute from now on costs, in which currency, and whether that is given back to who wins.
    dispute_fee: Option<(i64, String, bool)>,
}

impl State {
    /// A booking of a dispute's: what it moves, and what is charged (1) or given back (-1) beside.
    fn booking(&self, id: String, amount: i64, currency: &Value, sign: i64) -> Value {
        let (fee, currency) = match &self.dispute_fee {
            Some((fee, currency, is_returned)) if sign > 0 || *is_returned => (sign * fee, json!(currency)),
            _ => (0, currency.clone()),
        };
        json!({"id": id, "object": "balance_transaction", "type": "adjustment", "amount": amount, "currency": currency, "fee": fee,
            "net": amount - fee})
    }
}

/// The provider; it ends with the test. Its only good key is `sk_test_good`.
#[derive(Debug, Clone)]
pub struct FakeStripe {
    fake: Arc<Fake<State>>,
}

/// The key that it takes.
pub const SECRET_KEY: &str = "sk_test_good";

impl FakeStripe {
    /// Starts it.
    pub async fn start() -> Self {
        let each = |stream, state: Arc<Mutex<State>>| async move {
            converse(stream, &state).await.unwrap_or_default();
        };
        Self { fake: Fake::start(each).await }
    }

    /// Where it is.
    pub fn url(&self) -> Url {
        let Ok(url) = format!("http://127.0.0.1:{}", self.fake.port).parse() else { panic!("a port's url") };
        url
    }

    /// What goes wrong with the next requests that change something, one each.
    pub fn fail(&self, faults: &[Fault]) {
        self.fake.state().faults.extend(faults);
    }

    /// Its good key is good no longer.
    pub fn revoke(&self) {
        self.fake.state().is_revoked = true;
    }

    /// Its good key is good again.
    pub fn restore(&self) {
        self.fake.state().is_revoked = false;
    }

    /// The requests so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.fake.state().heard.clone()
    }

    /// What it charges for each dispute from now on, and whether it gives that back to who wins.
    pub fn charge_disputes(&self, fee: i64, currency: &str, is_returned: bool) {
        self.fake.state().dispute_fee = Some((fee, currency.into(), is_returned));
    }

    /// What it has been paid, over all payments that succeeded, less what it paid back, in its own units, without fees.
    pub fn balance(&self) -> i64 {
        let state = self.fake.state();
        let sum = |rows: &BTreeMap<String, Value>, field: &str| {
            let good = rows.values().filter(|row| row["status"] == "succeeded");
            good.map(|row| row[field].as_i64().unwrap_or_default()).sum::<i64>()
        };
        let moves =
            state.disputes.values().filter_map(|one| one["balance_transactions"].as_array()).flatten();
        let disputed = moves.filter_map(|one| one["amount"].as_i64()).sum::<i64>();
        sum(&state.intents, "amount_received") - sum(&state.refunds, "amount") + disputed
    }

    /// The payments that it has.
    pub fn intents(&self) -> Vec<Value> {
        self.fake.state().intents.values().cloned().collect()
    }

    /// The refunds that it has.
    pub fn refunds(&self) -> Vec<Value> {
        self.fake.state().refunds.values().cloned().collect()
    }

    /// Forgets what was asked under which idempotency key, as the provider does after a day.
    pub fn forget_keys(&self) {
        self.fake.state().answered.clear();
    }

    /// What becomes of a refund later, such as `failed`.
    pub fn settle_refund(&self, refund: &str, status: &str) {
        if let Some(refund) = self.fake.state().refunds.get_mut(refund) {
            refund["status"] = json!(status);
        }
    }

    /// Somebody pays back in the provider's own console: the refund, as events show it.
    pub fn refund_by_hand(&self, intent: &str, amount: i64) -> Value {
        let mut state = self.fake.state();
        let id = format!("re_{}", state.refunds.len() + 1);
        let refund = json!({"id": id, "object": "refund", "payment_intent": intent, "status": "succeeded",
            "currency": state.intents.get(intent).map(|intent| intent["currency"].clone()), "amount": amount, "metadata": {}});
        state.refunds.insert(id, refund.clone());
        refund
    }

    /// The customer's bank takes an amount: the dispute, as events show it.
    pub fn dispute(&self, intent: &str, amount: i64) -> Value {
        let mut state = self.fake.state();
        let id = format!("du_{}", state.disputes.len() + 1);
        let currency = state.intents.get(intent).map_or(Value::Null, |intent| intent["currency"].clone());
        let booking = state.booking(format!("txn_{id}_out"), -amount, &currency, 1);
        let dispute = json!({"id": id, "object": "dispute", "payment_intent": intent, "status": "needs_response", "reason": "fraudulent",
            "currency": currency, "amount": amount, "balance_transactions": [booking]});
        state.disputes.insert(id, dispute.clone());
        dispute
    }

    /// How a dispute ends, `won` or `lost`: as events show it then.
    pub fn decide(&self, dispute: &str, status: &str) -> Value {
        let mut state = self.fake.state();
        let Some(mut decided) = state.disputes.get(dispute).cloned() else { return Value::Null };
        decided["status"] = json!(status);
        if status == "won" {
            let amount = decided["amount"].as_i64().unwrap_or_default();
            let back = state.booking(format!("txn_{dispute}_in"), amount, &decided["currency"], -1);
            decided["balance_transactions"] = json!([decided["balance_transactions"][0], back]);
        }
        state.disputes.insert(dispute.to_owned(), decided.clone());
        decided
    }

    /// What becomes of a payment later, such as `succeeded`.
    pub fn settle(&self, intent: &str, status: &str) {
        if let Some(intent) = self.fake.state().intents.get_mut(intent) {
            settle(intent, status);
        }
    }
}

fn settle(intent: &mut Value, status: &str) {
    intent["status"] = json!(status);
    let received = if status == "succeeded" { intent["amount"].clone() } else { json!(0) };
    intent["amount_received"] = received;
}

/// Hears one request and answers. `None` if the other end has gone, which is its right.
async fn converse(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let mut line = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (line.next()?, line.next()?);
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let form = form_urlencoded::parse(&body).into_owned().collect();
    let heard = Heard { method, target, headers, form };
    let (fault, status, body) = answer(state, &heard);
    let body = match fault {
        Some(Fault::SilentAfter) => return std::future::pending().await,
        Some(Fault::CutAfter | Fault::Cut) => return stream.shutdown().await.ok(),
        Some(Fault::GarbledAfter) => "{\"id\": \"pi_".to_owned(),
        _ => body.to_string(),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

fn problem(kind: &str, code: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": format!("the test says {code}")}})
}

fn answer(state: &Mutex<State>, heard: &Heard) -> (Option<Fault>, u16, Value) {
    let mut state = lock(state);
    state.heard.push(heard.clone());
    let is_good = heard.headers.get("authorization").map(String::as_str) == Some("Bearer sk_test_good");
    if !is_good || state.is_revoked {
        return (None, 401, problem("invalid_request_error", "invalid_api_key"));
    }
    let (path, query) = heard.target.split_once('?').unwrap_or((&heard.target, ""));
    let segments: Vec<_> = path.split('/').skip(2).collect();
    if heard.method == "GET" {
        let (status, body) = look(&state, &segments, query);
        return (None, status, body);
    }
    let Some(key) = heard.headers.get("idempotency-key").cloned() else {
        return (None, 400, problem("invalid_request_error", "no_idempotency_key_in_a_test"));
    };
    let fault = state.faults.pop_front();
    match fault {
        Some(Fault::RateLimited) => return (fault, 429, problem("invalid_request_error", "rate_limit")),
        Some(Fault::Refused) => return (fault, 400, problem("invalid_request_error", "refused_in_a_test")),
        Some(Fault::Cut) => return (fault, 0, Value::Null),
        _ => {}
    }
    if let Some((status, body)) = state.answered.get(&key).cloned() {
        return (fault, status, body);
    }
    let (status, body) = match fault {
        Some(Fault::Broken) => (500, problem("api_error", "broken")),
        _ => change(&mut state, &segments, &heard.form, fault),
    };
    let (status, body) = match fault {
        Some(Fault::BrokenAfter) => (500, problem("api_error", "broken")),
        _ => (status, body),
    };
    // As the provider does: an error of its own is kept under the key, too.
    state.answered.insert(key, (status, body.clone()));
    (fault, status, body)
}

fn look(state: &State, segments: &[&str], query: &str) -> (u16, Value) {
    match segments {
        ["payment_intents"] => {
            let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let all = state.intents.values();
            let data: Vec<_> = all
                .filter(|intent| intent["customer"].as_str() == query.get("customer").map(String::as_str))
                .collect();
            (200, json!({"object": "list", "data": data, "has_more": false}))
        }
        ["payment_intents", id] => match state.intents.get(*id) {
            Some(intent) => (200, intent.clone()),
            None => (404, problem("invalid_request_error", "resource_missing")),
        },
        ["refunds"] => {
            let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let of = query.get("payment_intent").map(String::as_str);
            let data: Vec<_> = state
                .refunds
                .values()
                .filter(|refund| refund["payment_intent"].as_str() == of)
                .cloned()
                .collect();
            (200, json!({"object": "list", "data": data, "has_more": false}))
        }
        ["refunds", id] => match state.refunds.get(*id) {
            Some(refund) => (200, refund.clone()),
            None => (404, problem("invalid_request_error", "resource_missing")),
        },
        _ => (404, problem("invalid_request_error", "unknown_path")),
    }
}

fn change(
    state: &mut State,
    segments: &[&str],
    form: &BTreeMap<String, String>,
    fault: Option<Fault>,
) -> (u16, Value) {
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    match segments {
        ["payment_intents"] => {
            let id = format!("pi_{}", state.intents.len() + 1);
            let mut intent = json!({"id": id, "object": "payment_intent", "customer": field("customer"),
                "amount": field("amount").parse::<i64>().unwrap_or_default(), "amount_received": 0,
                "currency": field("currency"), "metadata": {"payment": field("metadata[payment]")},
                "last_payment_error": null});
            let status = match fault {
                Some(Fault::Declined | Fault::AuthenticationRequired) => "requires_payment_method",
                Some(Fault::Processing) => "processing",
                Some(Fault::RequiresAction) => "requires_action",
                _ => "succeeded",
            };
            settle(&mut intent, status);
            if fault == Some(Fault::Half) {
                intent["amount_received"] = json!(intent["amount"].as_i64().unwrap_or_default() / 2);
            }
            state.intents.insert(id, intent.clone());
            match fault {
                Some(Fault::Declined) => declined(intent, "card_declined"),
                Some(Fault::AuthenticationRequired) => declined(intent, "authentication_required"),
                _ => (200, intent),
            }
        }
        ["payment_intents", id, "cancel"] => match state.intents.get_mut(*id) {
            Some(intent) if fault == Some(Fault::ArrivesFirst) || intent["status"] == "succeeded" => {
                settle(intent, "succeeded");
                (400, problem("invalid_request_error", "payment_intent_unexpected_state"))
            }
            Some(intent) => {
                settle(intent, "canceled");
                (200, intent.clone())
            }
            None => (404, problem("invalid_request_error", "resource_missing")),
        },
        ["refunds"] => {
            let Some(intent) = state.intents.get(&field("payment_intent")) else {
                return (404, problem("invalid_request_error", "resource_missing"));
            };
            let id = format!("re_{}", state.refunds.len() + 1);
            let status = if fault == Some(Fault::Processing) { "pending" } else { "succeeded" };
            let refund = json!({"id": id, "object": "refund", "payment_intent": field("payment_intent"), "status": status, "currency": intent["currency"],
                "amount": field("amount").parse::<i64>().unwrap_or_default(),
                "metadata": {"refund": field("metadata[refund]")}});
            state.refunds.insert(id, refund.clone());
            (200, refund)
        }
        _ => (404, problem("invalid_request_error", "unknown_path")),
    }
}

fn declined(mut intent: Value, code: &str) -> (u16, Value) {
    let mut body = problem("card_error", code);
    intent["last_payment_error"] = body["error"].clone();
    body["error"]["payment_intent"] = intent;
    (402, body)
}
