//! Signing in by SASL, as every mail protocol does it.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sasl::SaslError;
use sasl::exchange::{Ask, Opening};
use secrecy::ExposeSecret as _;
use tenancy::app_password::{self, NewAppPassword};
use tenancy::auth::{Auth, Grant, SaslLoginError};
use tenancy::policy::Capability;
use tenancy::user::User;
use tenancy::{Error, MailLogin, Origin};
use testkit::client::scram::Scram;
use testkit::{World, world};

/// A client that answers challenges, both without their base64, until it hangs up.
struct Client<F> {
    answer: F,
    /// What it was asked.
    asked: Vec<String>,
}

/// It hung up.
#[derive(Debug, PartialEq)]
struct HungUp;

impl<F: FnMut(&str) -> Answer + Send> Ask for Client<F> {
    type End = HungUp;

    async fn ask(&mut self, challenge: &[u8]) -> Result<Result<Vec<u8>, SaslError>, HungUp> {
        let challenge = String::from_utf8(challenge.to_vec()).unwrap();
        let answer = (self.answer)(&challenge);
        self.asked.push(challenge);
        answer.ok_or(HungUp)
    }
}

/// What a client says to a challenge; nothing when it has hung up.
type Answer = Option<Result<Vec<u8>, SaslError>>;
/// What comes of an exchange.
type Came = Result<Result<MailLogin, SaslLoginError>, HungUp>;

/// Plays for POP3: what came of it, and what the client was asked. `first`: its first message, in base64; it comes with the command.
async fn played(
    auth: &Auth,
    origin: Origin,
    (mechanism, first): (&str, String),
    answer: impl FnMut(&str) -> Answer + Send,
) -> (Came, Vec<String>) {
    let opening = Opening::new(mechanism, Some(&first.into()), None).unwrap();
    let mut client = Client { answer, asked: Vec::new() };
    let came = auth.sasl(Capability::Pop3, opening, origin, &mut client).await;
    (came, client.asked)
}

fn plain(password: &str) -> (&'static str, String) {
    ("PLAIN", STANDARD.encode(format!("\0ada@acme.example\0{password}")))
}

fn xoauth2(name: &str, token: &str) -> (&'static str, String) {
    ("XOAUTH2", STANDARD.encode(format!("user={name}\x01auth=Bearer {token}\x01\x01")))
}

/// A client of SCRAM: its first message, and how it goes on.
fn scram(name: &str, password: &str) -> ((&'static str, String), impl FnMut(&str) -> Answer) {
    let mut scram = Scram::new(name, password, None);
    let first = scram.first();
    let answer = move |challenge: &str| {
        let encoded = STANDARD.encode(challenge);
        if challenge.starts_with("v=") {
            assert!(scram.is_known(&encoded), "the server does not know the password");
            return Some(Ok(Vec::new()));
        }
        Some(Ok(STANDARD.decode(scram.last(&encoded).unwrap()).unwrap()))
    };
    (("SCRAM-SHA-256", first), answer)
}

fn silent(_: &str) -> Answer {
    None
}

async fn app_password(world: &World, user: &User, protocol: Capability) -> (kernel::AppPasswordId, String) {
    let new = NewAppPassword { name: "phone".into(), protocols: vec![protocol], expires_at: None };
    let (password, secret) = app_password::create(&world.ctx, user.id, new).await.unwrap();
    (password.id, secret.expose_secret().to_owned())
}

async fn token(world: &World, auth: &Auth, user: &User) -> String {
    let grant = Grant::Password { username: user.address.to_string(), password: world::PASSWORD.into() };
    let tokens = auth.token(grant, world.origin()).await.unwrap();
    tokens.access.token.expose_secret().to_owned()
}

#[tokio::test]
async fn a_password_a_key_and_a_token_sign_in_and_the_login_says_by_what() {
    let world = World::new().await;
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let ada = world.user("ada", None).await;
    let (id, secret) = app_password(&world, &ada, Capability::Pop3).await;
    let token = token(&world, &auth, &ada).await;
    let (by_scram, answer) = scram(&ada.address, &secret);
    let logins = [
        (played(&auth, world.origin(), plain(world::PASSWORD), silent).await, None, false),
        (played(&auth, world.origin(), plain(&secret), silent).await, Some(id), false),
        (played(&auth, world.origin(), by_scram, answer).await, Some(id), false),
        (played(&auth, world.origin(), xoauth2(&ada.address, &token), silent).await, None, true),
    ];
    for ((came, asked), app_password, ends) in logins {
        let login = came.unwrap().unwrap();
        assert_eq!((login.user_id, login.mailbox_id), (ada.id, ada.mailbox_id), "{asked:?}");
        assert_eq!((login.app_password, login.good_until.is_some()), (app_password, ends), "{asked:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_so_first() {
    let world = World::new().await;
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let token = token(&world, &auth, &ada).await;
    for refused in [xoauth2(&ada.address, "x.y.z"), xoauth2(&bob.address, &token)] {
        for answer in [Ok(vec![1]), Err(SaslError::Cancelled)] {
            let (came, asked) =
                played(&auth, world.origin(), refused.clone(), |_| Some(answer.clone())).await;
            assert!(matches!(came, Ok(Err(SaslLoginError::Login(Error::Unauthenticated)))), "{came:?}");
            assert_eq!(asked, ["{\"status\":\"invalid_token\"}"]);
        }
        assert_eq!(played(&auth, world.origin(), refused, silent).await.0.unwrap_err(), HungUp);
    }
}

#[tokio::test]
async fn a_name_is_challenged_alike_whoever_has_it_and_never_twice_the_same() {
    let world = World::new().await;
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    app_password(&world, &ada, Capability::Pop3).await;
    let (_, for_imap) = app_password(&world, &bob, Capability::Imap).await;
    let (mut nonces, mut rest) = (HashSet::new(), HashSet::new());
    for name in [ada.address.as_str(), &bob.address, "nobody@acme.example", "no address", &ada.address] {
        let (first, answer) = scram(name, &for_imap);
        let (came, asked) = played(&auth, world.origin(), first, answer).await;
        assert!(matches!(came, Ok(Err(SaslLoginError::Login(Error::Unauthenticated)))), "{came:?}");
        let (nonce, others) = asked[0].split_once(',').unwrap();
        assert!(nonces.insert(nonce.to_owned()), "{nonce} again");
        rest.insert(others.to_owned());
    }
    assert_eq!(rest.len(), 1, "{rest:?}");
}

#[tokio::test]
async fn what_is_broken_unproven_and_throttled_is_told_apart() {
    let world = World::new().await;
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let ada = world.user("ada", None).await;
    let cancel = |_: &str| Some(Err(SaslError::Cancelled));
    let (came, _) = played(&auth, world.origin(), ("LOGIN", STANDARD.encode("ada")), cancel).await;
    assert!(matches!(came, Ok(Err(SaslLoginError::Broken(SaslError::Cancelled)))), "{came:?}");
    let (first, _) = scram(&ada.address, "wrong");
    let (came, _) = played(&auth, world.origin(), first, cancel).await;
    assert!(matches!(came, Ok(Err(SaslLoginError::Unproven(SaslError::Cancelled)))), "{came:?}");
    let origin = Origin { network: Some("203.0.113.5".parse().unwrap()), ..world.origin() };
    for is_throttled in [false, false, false, false, false, true] {
        let (came, _) = played(&auth, origin, plain("wrong"), silent).await;
        let Ok(Err(SaslLoginError::Login(error))) = came else { panic!("{came:?}") };
        assert_eq!(matches!(error, Error::Throttled { .. }), is_throttled, "{error}");
        assert_eq!(error.refuses_login(), !is_throttled, "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_checked_is_not_refused() {
    let world = World::new().await;
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let ada = world.user("ada", None).await;
    let token = token(&world, &auth, &ada).await;
    auth.db().close().await;
    let (by_scram, _) = scram(&ada.address, "wrong");
    for first in [plain(world::PASSWORD), by_scram, xoauth2(&ada.address, &token)] {
        // Nobody is asked for anything, and told nothing of their token.
        let (came, asked) = played(&auth, world.origin(), first, silent).await;
        let Ok(Err(SaslLoginError::Login(error))) = came else { panic!("{came:?}") };
        assert!(!error.refuses_login() && asked.is_empty(), "{error} {asked:?}");
    }
}
