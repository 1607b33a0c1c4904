//! Events on their way to a receiver on loopback.

use ::webhook::{Guard, Received, Secret};
use secrecy::ExposeSecret as _;
use tenancy::event::Kind;
use tenancy::webhook_endpoint::{self, Delivery, DeliveryStatus, NewWebhookEndpoint, WebhookEndpoint};
use testkit::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::delivered::until;
use crate::{PATIENCE, Working};

/// A request as it came in: its header fields, by lower-case names, and its body.
pub(crate) struct Request {
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str()).unwrap()
    }
}

/// Takes one request and answers it with `status`.
pub(crate) async fn receive(listener: &TcpListener, status: &str) -> Request {
    let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let (mut bytes, mut block) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut block).await.unwrap();
        assert!(read > 0, "cut off after {bytes:?}");
        bytes.extend_from_slice(&block[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let header = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let fields: Vec<(String, String)> = header
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let request = Request { fields, body: bytes[end + 4..].to_vec() };
        if request.body.len() < request.field("content-length").parse().unwrap() {
            continue;
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        return request;
    }
}

struct Scene {
    working: Working,
    listener: TcpListener,
    endpoint: WebhookEndpoint,
    secret: Secret,
}

/// A working worker, and an endpoint of the operator's for new users.
async fn scene() -> Scene {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let new = NewWebhookEndpoint {
        url: format!("http://{}/in", listener.local_addr().unwrap()),
        kinds: [Kind::UserCreated].into(),
        description: None,
    };
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let (endpoint, secret) = webhook_endpoint::create(&world.operator, &guard, new).await.unwrap();
    let secret = Secret::parse(secret.expose_secret()).unwrap();
    let working = Working::new(world).await;
    Scene { working, listener, endpoint, secret }
}

impl Scene {
    /// The one delivery, once it is as asked.
    async fn delivery(&self, is_so: impl Fn(&Delivery) -> bool) -> Delivery {
        until(&self.working.world.operator, &self.endpoint, is_so).await
    }
}

#[tokio::test]
async fn an_event_arrives_signed_and_a_failed_attempt_is_made_again_under_the_same_id() {
    let scene = scene().await;
    let ada = scene.working.world.user("ada", None).await;
    let first = receive(&scene.listener, "500 Oops").await;
    let now = scene.working.world.test_db.db().env().now();
    let received = Received {
        id: first.field("webhook-id"),
        timestamp: first.field("webhook-timestamp"),
        signature: first.field("webhook-signature"),
        body: &first.body,
    };
    ::webhook::verify(std::slice::from_ref(&scene.secret), &received, now).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["subject"]),
        (&"user.created".into(), &ada.id.to_string().into())
    );
    let waiting =
        scene.delivery(|delivery| delivery.attempts == 1 && delivery.response_status.is_some()).await;
    assert_eq!((waiting.status, waiting.response_status), (DeliveryStatus::Pending, Some(500)));
    scene.working.world.test_db.clock().advance(chrono::TimeDelta::seconds(10));
    let second = receive(&scene.listener, "200 OK").await;
    assert_eq!(second.field("webhook-id"), first.field("webhook-id"));
    let done = scene.delivery(|delivery| delivery.status == DeliveryStatus::Delivered).await;
    assert_eq!(done.attempts, 2);
    scene.working.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_gets_no_more() {
    let scene = scene().await;
    scene.working.world.user("ada", None).await;
    receive(&scene.listener, "410 Gone").await;
    scene.delivery(|delivery| delivery.status == DeliveryStatus::Failed).await;
    let endpoint = webhook_endpoint::get(&scene.working.world.operator, scene.endpoint.id).await.unwrap();
    assert_eq!(endpoint.status, "disabled");
    scene.working.stop().await;
}
