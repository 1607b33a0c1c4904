//! Signing: from a key that is made to a signature that a reader verifies by the domain name system.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use chrono::TimeDelta;
use dns::Resolver;
use kernel::{DkimKeyId, DomainId, PageRequest};
use mail_auth::common::verify::VerifySignature as _;
use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};
use serde_json::json;
use submission::Error;
use submission::dkim::{self, DkimKey, Done, KeyState};
use tenancy::event::Kind;
use testkit::dns::DnsServer;

use crate::support::{Bench, Wish};

struct Signing {
    bench: Bench,
    dns: DnsServer,
    resolver: Resolver,
    domain_id: DomainId,
}

impl Signing {
    async fn new() -> Self {
        let (bench, dns) = (Bench::new().await, DnsServer::start().await);
        let resolver = Resolver::at(&[dns.addr()]);
        let page = PageRequest::new(None, None);
        let domains = tenancy::domain::list(&bench.world.ctx, &Default::default(), page).await.unwrap();
        Self { domain_id: domains.items[0].id, bench, dns, resolver }
    }

    async fn create(&self) -> Result<DkimKey, Error> {
        dkim::create(&self.bench.store, &self.bench.world.ctx, self.domain_id).await
    }

    async fn activate(&self, id: DkimKeyId) -> Result<DkimKey, Error> {
        dkim::activate(&self.bench.world.ctx, &self.resolver, self.domain_id, id).await
    }

    async fn state(&self, id: DkimKeyId) -> KeyState {
        dkim::get(&self.bench.world.ctx, self.domain_id, id).await.unwrap().state
    }

    fn publish(&self, key: &DkimKey) {
        for record in key.records() {
            self.dns.set_txt(&record.name, &[&record.value]);
        }
    }

    /// A message as the smarthost got it.
    async fn sent(&self) -> Vec<u8> {
        self.bench.accept(&["bob@b.example"]).await;
        self.bench.send_due().await;
        self.bench.smarthost.received().pop().unwrap().octets
    }

    /// What a reader makes of a message's signatures: of each, its algorithm and whether it holds.
    async fn verified(&self, message: &[u8]) -> Vec<(&'static str, bool)> {
        let mut udp = ConnectionConfig::udp();
        udp.port = self.dns.addr().port();
        let mut tcp = ConnectionConfig::tcp();
        tcp.port = self.dns.addr().port();
        let server = NameServerConfig::new(self.dns.addr().ip(), true, vec![udp, tcp]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let reader = MessageAuthenticator::new(config, ResolverOpts::default()).unwrap();
        let message = AuthenticatedMessage::parse(message).unwrap();
        let outputs = reader.verify_dkim(&message).await;
        let verdict = |output: &mail_auth::DkimOutput<'_>| {
            let signature = output.signature().unwrap();
            assert_eq!(signature.domain(), "acme.example", "aligned with From");
            (signature.algorithm().name(), *output.result() == DkimResult::Pass)
        };
        outputs.iter().map(verdict).collect()
    }
}

#[tokio::test]
async fn mail_is_signed_once_the_records_are_published_and_a_reader_verifies_both() {
    let signing = Signing::new().await;
    assert_eq!(signing.verified(&signing.sent().await).await, [], "there is no key");
    let key = signing.create().await.unwrap();
    assert!(matches!(signing.create().await, Err(Error::KeyPending)));
    let missing = signing.activate(key.id).await;
    assert!(matches!(missing, Err(Error::KeyNotPublished(name)) if name == key.records()[0].name));
    let [rsa, _] = key.records();
    signing.dns.set_txt(&rsa.name, &[&rsa.value]);
    let half = signing.activate(key.id).await;
    assert!(matches!(half, Err(Error::KeyNotPublished(name)) if name == key.records()[1].name));
    assert_eq!(signing.state(key.id).await, KeyState::Pending);
    signing.publish(&key);
    assert_eq!(signing.activate(key.id).await.unwrap().state, KeyState::Active);
    assert_eq!(signing.activate(key.id).await.unwrap().version, 2, "it signs already");

    // Another process signs as soon as it looks.
    let signing = Signing { bench: signing.bench.with_new_process(), ..signing };
    let message = signing.sent().await;
    assert_eq!(signing.verified(&message).await, [("ed25519-sha256", true), ("rsa-sha256", true)]);
    let text = String::from_utf8(message).unwrap();
    let signatures: Vec<_> = text.split("DKIM-Signature: ").skip(1).collect();
    for signature in &signatures {
        let value = signature.split_once("; b=").unwrap().1.split_once(';').unwrap().0;
        assert_eq!(value, value.trim_end(), "what some readers leave out is the value alone");
    }
    for (from, to) in [("The news", "Other news"), ("hello", "hallo"), ("\r\nTo: bob", "\r\nTo: eve")] {
        let forged = text.replacen(from, to, 1);
        assert_ne!(forged, text);
        let verified = signing.verified(forged.as_bytes()).await;
        assert_eq!(verified, [("ed25519-sha256", false), ("rsa-sha256", false)], "{to}");
    }
    // Old syntax, which readers do not find by its name.
    let spaced =
        [&b"Subject : The news\r\nTo\t: bob@b.example\r\n"[..], b"From: ada@acme.example\r\n\r\nhello\r\n"]
            .concat();
    signing.bench.accept_as(&["bob@b.example"], &Wish::default(), &spaced).await;
    signing.bench.send_due().await;
    let spaced = signing.bench.smarthost.received().pop().unwrap().octets;
    assert!(String::from_utf8_lossy(&spaced).contains("\r\nSubject: The news\r\nTo: bob@b.example\r\n"));
    assert_eq!(signing.verified(&spaced).await, [("ed25519-sha256", true), ("rsa-sha256", true)]);
    let second_author = text.replacen("\r\nFrom:", "\r\nFrom: eve@e.example\r\nFrom:", 1);
    let verified = signing.verified(second_author.as_bytes()).await;
    assert_eq!(verified, [("ed25519-sha256", false), ("rsa-sha256", false)]);
    let handed_on = format!(
        "Received: from a by b;\r\n\tMon, 2 Mar 2026 09:00:00 +0000\r\nSender: list@l.example\r\n{text}"
    );
    let verified = signing.verified(handed_on.as_bytes()).await;
    assert_eq!(verified, [("ed25519-sha256", true), ("rsa-sha256", true)], "relays and lists add fields");
}

#[tokio::test]
async fn a_key_follows_another_and_its_private_half_is_gone() {
    let signing = Signing::new().await;
    let first = signing.create().await.unwrap();
    signing.publish(&first);
    signing.activate(first.id).await.unwrap();
    let old = signing.sent().await;
    let second = signing.create().await.unwrap();
    assert_ne!(first.selector, second.selector);
    let expected = dkim::expected(&signing.bench.world.ctx, signing.domain_id).await.unwrap();
    assert_eq!(expected.len(), 4, "both are to be published");
    signing.publish(&second);
    signing.activate(second.id).await.unwrap();

    let first = dkim::get(&signing.bench.world.ctx, signing.domain_id, first.id).await.unwrap();
    assert_eq!(first.state, KeyState::Retired);
    assert_eq!(first.records_needed_until(), first.retired_at.map(|at| at + TimeDelta::days(7)));
    let sealed = signing.bench.count("select count(*) from dkim_keys where sealed is not null").await;
    assert_eq!(sealed, 1, "what signs no more is not kept");
    assert_eq!(signing.verified(&old).await.len(), 2);
    assert!(
        signing.verified(&old).await.iter().all(|(_, holds)| *holds),
        "mail on its way is verified still"
    );
    assert!(matches!(signing.activate(first.id).await, Err(Error::KeyState("retired"))));

    let ctx = &signing.bench.world.ctx;
    let active = dkim::delete(ctx, signing.domain_id, second.id, None).await;
    assert!(matches!(active, Err(Error::KeyState("active"))));
    dkim::delete(ctx, signing.domain_id, first.id, Some(first.version)).await.unwrap();
    let left = dkim::list(ctx, signing.domain_id, PageRequest::new(None, None)).await.unwrap();
    assert_eq!(left.items.iter().map(|key| key.id).collect::<Vec<_>>(), [second.id]);
}

#[tokio::test]
async fn the_duty_makes_keys_and_has_them_sign_when_they_are_published() {
    let signing = Signing::new().await;
    let (db, store) = (signing.bench.world.test_db.db(), &signing.bench.store);
    let run = async || dkim::run(&db, store, &signing.resolver).await.unwrap();
    assert_eq!(run().await, Done { created: 1, ..Done::default() });
    assert_eq!(run().await, Done { waiting: 1, ..Done::default() });
    let ctx = &signing.bench.world.ctx;
    let keys = dkim::list(ctx, signing.domain_id, PageRequest::new(None, None)).await.unwrap().items;
    signing.dns.fail(&keys[0].records()[0].name);
    assert!(matches!(signing.activate(keys[0].id).await, Err(Error::DnsUnavailable)));
    assert_eq!(run().await, Done { waiting: 1, ..Done::default() }, "nobody knows yet");
    signing.publish(&keys[0]);
    assert_eq!(run().await, Done { activated: 1, ..Done::default() });
    assert_eq!(run().await, Done::default(), "there is one that signs");
    signing.create().await.unwrap();
    assert_eq!(run().await, Done { waiting: 1, ..Done::default() }, "its successor waits");
}

#[tokio::test]
async fn it_is_told_once_that_records_of_a_key_that_signs_vanish_and_once_that_they_are_back() {
    let signing = Signing::new().await;
    let (db, store) = (signing.bench.world.test_db.db(), &signing.bench.store);
    let run = async || dkim::run(&db, store, &signing.resolver).await.unwrap();
    let key = signing.create().await.unwrap();
    signing.publish(&key);
    signing.activate(key.id).await.unwrap();
    let told = async || {
        let events = signing.bench.events(Kind::DkimKeyUnpublished).await;
        events.into_iter().map(|event| (event.subject, event.data)).collect::<Vec<_>>()
    };
    assert_eq!(run().await, Done::default());
    let [rsa, ed25519] = key.records();
    signing.dns.fail(&rsa.name);
    assert_eq!((run().await, told().await), (Done::default(), vec![]), "nobody knows");
    signing.dns.set_txt(&rsa.name, &["v=DKIM1; k=rsa; p="]);
    signing.dns.remove(&ed25519.name);
    let missing = Done { unpublished: 1, ..Done::default() };
    assert_eq!((run().await, run().await), (missing, missing));
    let data = |is_published: bool, missing: &[&str]| json!({"domain": "acme.example", "selector": key.selector, "published": is_published, "missing": missing});
    let vanished = (key.id.to_string(), data(false, &[&rsa.name, &ed25519.name]));
    assert_eq!(told().await, std::slice::from_ref(&vanished));
    signing.publish(&key);
    assert_eq!((run().await, run().await), (Done::default(), Done::default()));
    assert_eq!(told().await, [vanished, (key.id.to_string(), data(true, &[]))]);
}

#[tokio::test]
async fn mail_is_not_taken_unsigned_when_the_key_cannot_be_opened() {
    let signing = Signing::new().await;
    let key = signing.create().await.unwrap();
    signing.publish(&key);
    signing.activate(key.id).await.unwrap();
    signing
        .bench
        .execute("update dkim_keys set sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40))")
        .await;
    let refused = signing.bench.try_accept(&["bob@b.example"]).await;
    assert!(matches!(refused, Err(Error::Keys(_))), "{refused:?}");
    assert_eq!(signing.bench.count("select count(*) from outgoing_messages").await, 0);
}
