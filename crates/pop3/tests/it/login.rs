//! USER and PASS, AUTH PLAIN, and what is refused.

use std::time::{Duration, Instant};

use base64::Engine as _;
use pop3::Limits;
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::app_password::{self, NewAppPassword};
use tenancy::policy::Capability;
use testkit::client::pop3::Reply;
use testkit::client::scram::Scram;
use testkit::world::{PASSWORD, new_user};

use crate::support::{Server, plain, quick};

fn ok(reply: &Reply) -> bool {
    reply.ok
}

#[tokio::test]
async fn user_and_pass_log_in() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[b"a\r\n"]).await;
    let mut client = server.connect().await;
    assert!(client.command(&format!("user {}", user.address.to_uppercase())).await.unwrap().ok);
    let reply = client.command(&format!("Pass {PASSWORD}")).await.unwrap();
    assert_eq!(reply, Reply { ok: true, text: "maildrop has 1 messages (3 octets)".into() });
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_password_may_have_spaces_and_beyond_ascii() {
    let server = Server::start().await;
    let password = " zwei  Wörter ";
    let mut new = new_user("ada@acme.example", None);
    new.password = Some(SecretString::from(password));
    tenancy::user::create(&server.world.ctx, new).await.unwrap();
    let mut client = server.connect().await;
    client.login("ada@acme.example", password).await.unwrap();
    client.quit().await.unwrap();
    let mut client = server.connect().await;
    assert!(client.login("ada@acme.example", password.trim()).await.is_err());
    assert!(ok(&client.auth_plain("ada@acme.example", password).await.unwrap()));
    client.quit().await.unwrap();
}

#[tokio::test]
async fn pass_comes_right_after_user() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[]).await;
    let (user, pass) = (format!("USER {}", user.address), format!("PASS {PASSWORD}"));
    let mut client = server.connect().await;
    assert!(!client.command(&pass).await.unwrap().ok);
    for between in ["NOOP", "STAT", "nonsense", "AUTH NOSUCH", "USER"] {
        assert!(client.command(&user).await.unwrap().ok);
        assert!(!client.command(between).await.unwrap().ok, "{between}");
        let reply = client.command(&pass).await.unwrap();
        assert_eq!(reply.text, "PASS comes right after USER", "after {between}");
    }
    assert!(client.command("USER nobody@acme.example").await.unwrap().ok);
    assert!(client.command(&user).await.unwrap().ok, "the second USER counts");
    assert!(client.command(&pass).await.unwrap().ok);
    client.quit().await.unwrap();
}

#[tokio::test]
async fn auth_plain_in_one_step_and_in_two() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[]).await;
    let message = plain("", &user.address, PASSWORD);
    let mut raw = server.raw().await;
    assert!(raw.command(&format!("AUTH PLAIN {message}")).await.starts_with("+OK"));
    assert!(raw.command("QUIT").await.starts_with("+OK"));

    let mut raw = server.raw().await;
    assert_eq!(raw.command("auth plain").await, "+ \r\n");
    assert!(raw.command(&plain(&user.address, &user.address, PASSWORD)).await.starts_with("+OK"));
    assert!(raw.command("QUIT").await.starts_with("+OK"));
}

#[tokio::test]
async fn auth_by_a_proof_of_an_app_password() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[]).await;
    let new =
        NewAppPassword { name: "phone".to_owned(), protocols: vec![Capability::Pop3], expires_at: None };
    let (_, secret) = app_password::create(&server.world.ctx, user.id, new).await.unwrap();
    let mut raw = server.raw().await;
    let mut scram = Scram::new(&user.address, secret.expose_secret(), None);
    let challenge = raw.command(&format!("AUTH SCRAM-SHA-256 {}", scram.first())).await;
    let proof = raw.command(&scram.last(challenge.strip_prefix("+ ").unwrap()).unwrap()).await;
    assert!(scram.is_known(proof.strip_prefix("+ ").unwrap()));
    assert!(raw.command("").await.starts_with("+OK"));
    assert!(raw.command("QUIT").await.starts_with("+OK"));

    let mut raw = server.raw().await;
    let mut scram = Scram::new(&user.address, "wrong", None);
    let challenge = raw.command(&format!("AUTH SCRAM-SHA-256 {}", scram.first())).await;
    let refused = raw.command(&scram.last(challenge.strip_prefix("+ ").unwrap()).unwrap()).await;
    assert_eq!(refused, "-ERR [AUTH] wrong user name or password\r\n");
    // A token that is none: told why, and refused.
    let token =
        base64::engine::general_purpose::STANDARD.encode("user=ada@acme.example\x01auth=Bearer x\x01\x01");
    assert!(raw.command(&format!("AUTH XOAUTH2 {token}")).await.starts_with("+ "));
    assert_eq!(raw.command("").await, "-ERR [AUTH] wrong user name or password\r\n");
    // One of a real length, all in one line, as neomutt sends it.
    let token = format!("user=ada@acme.example\x01auth=Bearer {}\x01\x01", "x".repeat(900));
    let token = base64::engine::general_purpose::STANDARD.encode(token);
    assert!(raw.command(&format!("USER {token}")).await.starts_with("-ERR line too long"));
    assert!(raw.command(&format!("auth XOAUTH2 {token}")).await.starts_with("+ "));
    assert_eq!(raw.command("").await, "-ERR [AUTH] wrong user name or password\r\n");
}

#[tokio::test]
async fn a_session_ends_with_its_login_and_deletes_nothing() {
    let renewal = Duration::from_millis(20);
    for (limits, ends_by_itself) in [(Limits { lease_renewal: renewal, ..quick() }, true), (quick(), false)] {
        let server = Server::with_limits(limits).await;
        let user = server.user_with("ada", &[b"a\r\n"]).await;
        let mut raw = server.raw().await;
        assert!(
            raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD)))
                .await
                .starts_with("+OK")
        );
        assert!(raw.command("DELE 1").await.starts_with("+OK"));
        tenancy::user::reset_password(&server.world.ctx, user.id, "another long passphrase of hers".into())
            .await
            .unwrap();
        if ends_by_itself {
            assert!(raw.rest().await.is_empty());
        } else {
            assert!(raw.command("QUIT").await.starts_with("-ERR [AUTH] the login is not good any more"));
        }
        let mut again = server.raw().await;
        let login = plain("", &user.address, "another long passphrase of hers");
        assert!(again.command(&format!("AUTH PLAIN {login}")).await.starts_with("+OK maildrop has 1 "));
    }
}

#[tokio::test]
async fn auth_alone_lists_what_there_is() {
    let server = Server::start().await;
    let listed = server.connect().await.command_multi("AUTH").await.unwrap();
    assert_eq!(listed, b"SCRAM-SHA-256\r\nOAUTHBEARER\r\nXOAUTH2\r\nPLAIN\r\nLOGIN\r\n");
}

#[tokio::test]
async fn broken_exchanges_are_refused_and_the_session_goes_on() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[]).await;
    let mut raw = server.raw().await;
    for (response, refusal) in [
        ("*", "authentication cancelled"),
        ("!!!!", "the response is not valid base64"),
        ("AGEAYg", "the response is not valid base64"),
        ("", "a PLAIN message is [authzid] NUL authcid NUL passwd"),
        ("YQ==", "a PLAIN message is [authzid] NUL authcid NUL passwd"),
        (&"A".repeat(20_000), "the response is too long"),
    ] {
        assert_eq!(raw.command("AUTH PLAIN").await, "+ \r\n");
        assert_eq!(raw.command(response).await, format!("-ERR {refusal}\r\n"), "{response:.20}");
    }
    for initial in ["=", "*", "====", "YQ=="] {
        assert!(raw.command(&format!("AUTH PLAIN {initial}")).await.starts_with("-ERR "), "{initial}");
    }
    assert!(raw.command("AUTH CRAM-MD5").await.starts_with("-ERR no such mechanism"));
    // A response longer than any command may be.
    let long = plain("", &user.address, &"p".repeat(400));
    assert_eq!(raw.command("AUTH PLAIN").await, "+ \r\n");
    assert_eq!(raw.command(&long).await, "-ERR [AUTH] wrong user name or password\r\n");
    assert!(
        raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await.starts_with("+OK")
    );
    assert!(raw.command("QUIT").await.starts_with("+OK"));
}

#[tokio::test]
async fn refusals_look_alike() {
    let server = Server::with_limits(Limits { max_failed_logins: 100, ..quick() }).await;
    let user = server.user_with("ada", &[]).await;
    let other = server.user_with("bob", &[]).await;
    let refusal = "-ERR [AUTH] wrong user name or password\r\n";
    let mut raw = server.raw().await;
    for name in [
        &user.address,
        "nobody@acme.example",
        "nobody@elsewhere.example",
        "not an address",
        "a'; drop table users",
    ] {
        assert!(raw.command(&format!("USER {name}")).await.starts_with("+OK"), "{name}");
        assert_eq!(raw.command("PASS wrong").await, refusal, "{name}");
        assert_eq!(raw.command(&format!("AUTH PLAIN {}", plain("", name, "wrong"))).await, refusal, "{name}");
    }
    // Right credentials, to act for somebody else.
    let as_other = plain(&other.address, &user.address, PASSWORD);
    assert_eq!(raw.command(&format!("AUTH PLAIN {as_other}")).await, refusal);
}

#[tokio::test]
async fn too_many_refused_logins_end_the_connection() {
    let server = Server::with_limits(Limits { max_failed_logins: 3, ..quick() }).await;
    let user = server.user_with("ada", &[]).await;
    let mut raw = server.raw().await;
    // Guesses sent in one go, by both commands, share one count.
    let guess =
        format!("USER {}\r\nPASS wrong\r\nAUTH PLAIN {}\r\n", user.address, plain("", &user.address, "bad"));
    raw.send(format!("{guess}{guess}{guess}")).await;
    let answers = String::from_utf8(raw.rest().await).unwrap();
    assert_eq!(answers.matches("-ERR [AUTH]").count(), 3, "{answers}");
    assert_eq!(answers.matches("+OK").count(), 2, "{answers}");
    server.login(&user).await.quit().await.unwrap();
}

#[tokio::test]
async fn a_login_within_a_pause_is_to_come_later() {
    let server = Server::with_limits(Limits { max_failed_logins: 100, ..quick() }).await;
    let user = server.user_with("ada", &[]).await;
    let mut raw = server.raw().await;
    for _ in 0..5 {
        let refused = raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, "wrong"))).await;
        assert_eq!(refused, "-ERR [AUTH] wrong user name or password\r\n");
    }
    // Also with the right password.
    let refused = raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await;
    assert_eq!(refused, "-ERR [SYS/TEMP] too many failed logins, try again later\r\n");
}

#[tokio::test]
async fn a_refusal_is_held_back() {
    let delay = Duration::from_millis(500);
    let server = Server::with_limits(Limits { failed_login_delay: delay, ..quick() }).await;
    let mut raw = server.raw().await;
    // Refused before any password is hashed, which takes time of its own.
    let as_other = format!("AUTH PLAIN {}", plain("bob@acme.example", "ada@acme.example", PASSWORD));
    let started = Instant::now();
    assert!(raw.command(&as_other).await.starts_with("-ERR [AUTH]"));
    assert!(started.elapsed() >= delay);
}

#[tokio::test]
async fn quit_before_login_is_answered() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    assert_eq!(raw.command("QUIT").await, "+OK goodbye\r\n");
    assert_eq!(raw.rest().await, b"");
}
