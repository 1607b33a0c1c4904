//! An API over a database of its own, and the objects that most tests need.

use std::sync::OnceLock;

use api::{Limits, Means};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use mailstore::MailStore;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tenancy::Caller;
use tenancy::auth::Auth;
use testkit::TestDb;
use testkit::dns::DnsServer;
use testkit::stripe::FakeStripe;
use tower::ServiceExt as _;

pub(crate) const MESSAGE: &str = "From: Ada <ada@example.org>\r\nTo: bob@example.org\r\nSubject: Hello\r\n\
    Date: Mon, 02 Mar 2026 10:00:00 +0100\r\nMessage-ID: <1@example.org>\r\n\r\nHow are you?\r\n";

/// The API in this process.
pub(crate) struct App {
    pub(crate) db: TestDb,
    pub(crate) api: Means,
    pub(crate) operator: String,
    pub(crate) dns: DnsServer,
    /// Where charges are taken; it ends with the test.
    _payments: FakeStripe,
    router: Router,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body, if the status is this one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"), "{body}");
        body
    }

    /// An error of RFC 7644 §3.12.
    #[track_caller]
    pub(crate) fn expect_scim(&self, status: u16, scim_type: Option<&str>) -> Value {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/scim+json"), "{self:?}");
        assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{body}");
        assert_eq!(body["status"], status.to_string(), "{body}");
        assert_eq!(body["scimType"].as_str(), scim_type, "{body}");
        assert!(body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        body
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A request to fill in.
pub(crate) struct Call<'a> {
    app: &'a App,
    builder: axum::http::request::Builder,
    body: Body,
}

impl Call<'_> {
    pub(crate) fn token(mut self, token: &str) -> Self {
        self.builder = self.builder.header("authorization", format!("Bearer {token}"));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.bytes("application/json", body.to_string())
    }

    pub(crate) fn bytes(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.builder = self.builder.header("content-type", content_type);
        self.body = Body::from(body.into());
        self
    }

    /// A body of which it is not said what it is.
    pub(crate) fn untyped(mut self, body: &'static str) -> Self {
        self.body = Body::from(body);
        self
    }

    /// The answer with its body still to come.
    pub(crate) async fn response(self) -> Response<Body> {
        let request: Request<Body> = self.builder.body(self.body).unwrap();
        self.app.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.response().await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

impl App {
    pub(crate) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    /// Has somebody send a message to themselves, which nobody takes out of the queue; its id.
    pub(crate) async fn submit(&self, address: &str, password: &str) -> Value {
        let origin = tenancy::Origin::local(self.db.db().env().new_id());
        let login = self
            .api
            .auth
            .mail_login(tenancy::policy::Capability::Send, address, password.to_owned().into(), origin)
            .await
            .unwrap();
        let submission =
            submission::Submission::new(self.db.db(), self.api.store.clone(), "mx.example", None);
        let to =
            submission::Addressee { address: address.to_owned(), domain: None, notify: None, original: None };
        let envelope = submission::Envelope {
            sender: Some(address.parse().unwrap()),
            is_utf8: false,
            envelope_id: None,
            returned: None,
            recipients: vec![to],
        };
        let message = format!("From: {address}\r\n\r\nhello\r\n");
        let secured = submission::Secured::Tls;
        let accepted = submission.accept(&login, envelope, message.into(), secured, origin.request_id).await;
        json!(accepted.unwrap())
    }

    /// As if what was asked for had been done.
    pub(crate) async fn forget_restores(&self) {
        let mut connection = sqlx::PgConnection::connect(&self.db.url()).await.unwrap();
        let forget = "set role pillarbox_system; delete from restores";
        sqlx::raw_sql(forget).execute(&mut connection).await.unwrap();
    }

    /// As if the journal had begun on a day.
    pub(crate) async fn journal_from(&self, day: &str) {
        let mut connection = sqlx::PgConnection::connect(&self.db.url()).await.unwrap();
        let base = format!(
            "set role pillarbox_system; insert into journal_bases (number, taken_at) values (1, '{day}')"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(base)).execute(&mut connection).await.unwrap();
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let db = TestDb::new().await;
        let auth = Auth::new(db.db()).await.unwrap();
        let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
        let caller = Caller::local_operator(db.db(), db.db().env().new_id());
        let (_, secret) = tenancy::api_key::create_for_operator(&caller).await.unwrap();
        let dns_server = DnsServer::start().await;
        let payments = FakeStripe::start().await;
        let api = Means {
            auth,
            store: MailStore::new(db.db(), blobs, testkit::kek::encryption()),
            metrics: recorder(),
            limits,
            trusted_proxies: Vec::new(),
            dns: dns::Resolver::at(&[dns_server.addr()]),
            webhooks: webhook::Guard::default(),
            payments: billing::payment::provider_at(payments.url().as_str()).unwrap(),
            vat_register: std::sync::Arc::new(billing::vat_id::NoRegister),
            expected_dns: dns::health::Expected { dmarc: true, ..Default::default() },
        };
        let router = api::router(api.clone());
        Self {
            db,
            api,
            operator: secret.expose_secret().to_owned(),
            dns: dns_server,
            _payments: payments,
            router,
        }
    }

    /// The same, with its bodies elsewhere.
    pub(crate) fn with_store(self, store: MailStore) -> Self {
        let api = Means { store, ..self.api };
        Self { router: api::router(api.clone()), api, ..self }
    }

    /// The same, with so many requests a minute for each credential, none of them used.
    pub(crate) fn with_requests_per_minute(mut self, requests: u32) -> Self {
        self.api.limits.requests_per_minute = requests.try_into().unwrap();
        Self { router: api::router(self.api.clone()), ..self }
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call { app: self, builder: Request::builder().method(method).uri(path), body: Body::empty() }
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.call(Method::GET, path).token(token).send().await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path).token(token).json(body).send().await
    }

    pub(crate) async fn put(&self, token: &str, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path).token(token).json(body).send().await
    }

    pub(crate) async fn patch(&self, token: &str, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path).token(token).json(body).send().await
    }

    pub(crate) async fn delete(&self, token: &str, path: &str) -> Answer {
        self.call(Method::DELETE, path).token(token).send().await
    }

    pub(crate) async fn deliver(&self, token: &str, mailbox: &str, message: &str) -> Answer {
        let call = self.call(Method::POST, &format!("{mailbox}/messages")).token(token);
        call.bytes("message/rfc822", message.to_owned()).send().await
    }

    /// A reseller and its admin's secret.
    pub(crate) async fn reseller(&self, name: &str) -> (String, String) {
        let reseller = self.post(&self.operator, "/v1/resellers", json!({"name": name})).await.expect(201);
        let id = text(&reseller["id"]);
        let path = format!("/v1/resellers/{id}/api-keys");
        let key = self.post(&self.operator, &path, json!({"role": "reseller_admin"})).await.expect(201);
        (id, text(&key["secret"]))
    }

    /// A reseller's tenant with a domain; returns the tenant's path.
    pub(crate) async fn tenant(&self, token: &str, domain: &str, more: Value) -> String {
        let mut body = json!({"name": "Bakery Ltd", "country": "DE", "currency": "EUR"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let tenant = self.post(token, "/v1/tenants", body).await.expect(201);
        let path = format!("/v1/tenants/{}", text(&tenant["id"]));
        self.domain(token, &path, domain).await;
        path
    }

    /// A domain of the tenant, verified by the operator's word.
    pub(crate) async fn domain(&self, token: &str, tenant: &str, name: &str) -> Value {
        let domain = self.post(token, &format!("{tenant}/domains"), json!({"name": name})).await.expect(201);
        let verify = format!("{tenant}/domains/{}/verify", text(&domain["id"]));
        self.post(&self.operator, &verify, json!({"vouch": true})).await.expect(200)
    }

    /// A user; returns it and its mailbox's path.
    pub(crate) async fn user(&self, token: &str, tenant: &str, body: Value) -> (Value, String) {
        let user = self.post(token, &format!("{tenant}/users"), body).await.expect(201);
        let mailbox = format!("{tenant}/mailboxes/{}", text(&user["mailbox_id"]));
        (user, mailbox)
    }

    /// Opens a mailbox for a key from above its tenant.
    pub(crate) async fn open_for_support(&self, token: &str, mailbox: &str) -> Value {
        let body = json!({"reason": "Ticket 4711"});
        self.post(token, &format!("{mailbox}/support-accesses"), body).await.expect(201)
    }

    /// Has a deleted sandbox tenant's time come to destroy it.
    pub(crate) async fn destroy(&self, token: &str, tenant: &str) {
        let shown = self.get(token, tenant).await.expect(200);
        let clock: chrono::DateTime<chrono::Utc> = text(&shown["test_clock"]).parse().unwrap();
        let due = json!({"now": clock + chrono::TimeDelta::days(32)});
        self.put(token, &format!("{tenant}/test-clock"), due).await.expect(200);
        let (db, terms) = (self.db.db(), mailstore::purge::Terms::default());
        let due = mailstore::purge::due_tenants(&db).await.unwrap();
        let purged = mailstore::purge::run(&self.api.store, &db, &self.api.auth, terms, &due).await.unwrap();
        assert_eq!((purged.tenants, purged.failed), (1, 0));
    }

    /// A person's access token.
    pub(crate) async fn sign_in(&self, username: &str, password: &str) -> String {
        let form = format!("grant_type=password&username={username}&password={password}");
        let call = self.call(Method::POST, "/v1/auth/token").bytes("application/x-www-form-urlencoded", form);
        text(&call.send().await.expect(200)["access_token"])
    }
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// One recorder for the whole process, as in the server.
fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).clone()
}
