//! Who gets in, and how.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use tenancy::app_password::{self, AppPassword, NewAppPassword};
use tenancy::auth::Grant;
use tenancy::policy::Capability;
use tenancy::user::User;
use testkit::client::imap::Imap as Client;
use testkit::client::scram::Scram;
use testkit::world::PASSWORD;

use crate::support::{Server, ok, quick, refused, say};

#[tokio::test]
async fn by_login_and_by_plain_with_and_without_an_initial_response() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let plain = STANDARD.encode(format!("\0{}\0{PASSWORD}", ada.address));

    let mut client = server.connect().await;
    assert!(
        client.greeting.contains("IMAP4rev1") && client.greeting.contains("AUTH=PLAIN"),
        "{}",
        client.greeting
    );
    client.login(&ada.address, PASSWORD).await.unwrap();
    refused(&mut client, "LOGIN a b", "BAD").await;

    let mut client = server.connect().await;
    let answer = say(&mut client, &format!("AUTHENTICATE PLAIN {plain}")).await;
    assert!(answer.status.starts_with("OK [CAPABILITY IMAP4rev1 "), "{answer:?}");

    let mut client = server.connect().await;
    let tag = client.begin("AUTHENTICATE plain").await.unwrap();
    assert_eq!(client.read_response().await.unwrap(), "+ ");
    client.send(format!("{plain}\r\n").as_bytes()).await.unwrap();
    assert!(client.answer(&tag).await.unwrap().status.starts_with("OK "));

    // A name and a password as literals, which are asked for.
    let mut client = server.connect().await;
    client.send(format!("x LOGIN {{{}}}\r\n", ada.address.as_str().len()).as_bytes()).await.unwrap();
    assert!(client.read_response().await.unwrap().starts_with("+ "));
    client
        .send(format!("{} {{{}+}}\r\n{PASSWORD}\r\n", ada.address, PASSWORD.len()).as_bytes())
        .await
        .unwrap();
    assert!(client.answer("x").await.unwrap().status.starts_with("OK "));
}

#[tokio::test]
async fn what_is_wrong_is_refused_alike_and_then_the_session_ends() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.connect().await;
    let refusals = [
        say(&mut client, &format!("LOGIN {} wrong", ada.address)).await,
        say(&mut client, "LOGIN nobody@acme.example wrong").await,
    ];
    assert_eq!(refusals[0].status, "NO [AUTHENTICATIONFAILED] wrong user name or password");
    assert_eq!(refusals[0], refusals[1]);
    // The last one is answered as well, and what comes after it is not.
    client.send(format!("x LOGIN {} wrong\r\ny NOOP\r\n", ada.address).as_bytes()).await.unwrap();
    assert_eq!(
        client.rest().await.unwrap(),
        format!("x {}\r\n* BYE too many failed logins\r\n", refusals[0].status)
    );

    let mut client = server.connect().await;
    for (command, status) in [
        ("SELECT INBOX", "BAD log in first"),
        ("FETCH 1 FLAGS", "BAD log in first"),
        ("IDLE", "BAD log in first"),
        ("AUTHENTICATE CRAM-MD5", "NO [CANNOT]"),
        ("AUTHENTICATE PLAIN !", "BAD"),
        ("NONSENSE", "BAD"),
        ("", "BAD"),
    ] {
        refused(&mut client, command, status).await;
    }
    ok(&mut client, "NOOP").await;
}

#[tokio::test]
async fn over_tls_from_the_first_byte_and_by_starttls() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = Client::connect_tls(server.tls_address).await.unwrap();
    assert!(!client.greeting.contains("STARTTLS"), "{}", client.greeting);
    client.login(&ada.address, PASSWORD).await.unwrap();
    refused(&mut client, "STARTTLS", "BAD").await;

    let client = server.connect().await;
    assert!(client.greeting.contains("STARTTLS"), "{}", client.greeting);
    let mut client = client.starttls().await.unwrap();
    client.login(&ada.address, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn what_is_sent_before_the_handshake_is_forgotten() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    // The second command and half of a third were not protected: were they answered, it would be so inside the encrypted session.
    client.send(b"a STARTTLS\r\nb CAPABILITY\r\nc ").await.unwrap();
    let answer = client.answer("a").await.unwrap();
    assert!(answer.status.starts_with("OK "), "{answer:?}");
    let mut client = client.handshake().await.unwrap();
    client.send(b"d NOOP\r\n").await.unwrap();
    // The first answer inside is to the first command inside.
    assert_eq!(client.read_response().await.unwrap(), "d OK done");
}

#[tokio::test]
async fn what_is_no_handshake_ends_the_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    ok(&mut client, "STARTTLS").await;
    client.send(b"b CAPABILITY\r\n").await.unwrap();
    // A TLS alert may come.
    let rest = client.rest().await.unwrap_or_default();
    assert!(!rest.contains("CAPABILITY"), "{rest:?}");
}

#[tokio::test]
async fn who_may_not_sign_in_any_more_is_shown_out() {
    let server = Server::with(quick()).await;
    let ada = server.user_with("ada", &[]).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "NOOP").await;
    let imap = [tenancy::policy::Capability::Imap];
    tenancy::user::suspend(&server.world.ctx, ada.id, None, &imap).await.unwrap();
    client.send(b"x NOOP\r\n").await.unwrap();
    assert_eq!(client.rest().await.unwrap(), "* BYE [EXPIRED] the login is not good any more\r\n");
    let mut client = server.connect().await;
    refused(&mut client, &format!("LOGIN {} \"{PASSWORD}\"", ada.address), "NO [AUTHENTICATIONFAILED]").await;
}

/// An app password of a user's for one protocol, and its secret.
async fn app_password(server: &Server, user: &User, protocol: Capability) -> (AppPassword, String) {
    let new = NewAppPassword { name: "phone".to_owned(), protocols: vec![protocol], expires_at: None };
    let (password, secret) = app_password::create(&server.world.ctx, user.id, new).await.unwrap();
    (password, secret.expose_secret().to_owned())
}

/// Plays SCRAM to its end: the status.
async fn scram(client: &mut Client, mechanism: &str, mut scram: Scram) -> String {
    let tag = client.begin(&format!("AUTHENTICATE {mechanism} {}", scram.first())).await.unwrap();
    let challenge = client.read_response().await.unwrap();
    let Some(challenge) = challenge.strip_prefix("+ ") else {
        return challenge.strip_prefix(&format!("{tag} ")).unwrap().to_owned();
    };
    let last = scram.last(challenge).unwrap();
    client.send(format!("{last}\r\n").as_bytes()).await.unwrap();
    let answer = client.read_response().await.unwrap();
    let Some(proof) = answer.strip_prefix("+ ") else {
        return answer.strip_prefix(&format!("{tag} ")).unwrap().to_owned();
    };
    assert!(scram.is_known(proof), "the server does not know the password");
    client.send(b"\r\n").await.unwrap();
    client.answer(&tag).await.unwrap().status
}

#[tokio::test]
async fn by_a_proof_of_an_app_password() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[]).await;
    app_password(&server, &ada, Capability::Imap).await;
    let (second, secret) = app_password(&server, &ada, Capability::Imap).await;
    let (_, for_pop3) = app_password(&server, &ada, Capability::Pop3).await;
    let name = ada.address.as_str();
    for shown in [secret.clone(), secret.replace('-', "")] {
        let mut client = server.connect().await;
        assert!(client.greeting.contains("AUTH=SCRAM-SHA-256 ") && !client.greeting.contains("PLUS"));
        let status = scram(&mut client, "SCRAM-SHA-256", Scram::new(name, &shown, None)).await;
        assert!(status.starts_with("OK [CAPABILITY "), "{status}");
        ok(&mut client, "SELECT INBOX").await;
    }
    // Bound to its TLS.
    let mut client = Client::connect_tls(server.tls_address).await.unwrap();
    assert!(client.greeting.contains("AUTH=SCRAM-SHA-256-PLUS"), "{}", client.greeting);
    let channel = client.exported();
    assert!(channel.is_some());
    let status = scram(&mut client, "SCRAM-SHA-256-PLUS", Scram::new(name, &secret, channel)).await;
    assert!(status.starts_with("OK"), "{status}");
    // Somebody in between has another TLS to either side.
    let mut client = Client::connect_tls(server.tls_address).await.unwrap();
    let status = scram(&mut client, "SCRAM-SHA-256-PLUS", Scram::new(name, &secret, Some([7; 32]))).await;
    assert!(status.starts_with("BAD"), "{status}");

    // Who is challenged and proves nothing has failed, as often as who is wrong.
    let mut client = server.connect().await;
    for _ in 0..2 {
        let tag =
            client.begin(&format!("AUTHENTICATE SCRAM-SHA-256 {}", Scram::new(name, "", None).first())).await;
        assert!(client.read_response().await.unwrap().starts_with("+ "));
        client.send(b"*\r\n").await.unwrap();
        let answer = client.answer(&tag.unwrap()).await.unwrap();
        assert!(answer.status.starts_with("BAD authentication cancelled"), "{answer:?}");
    }
    let tag = client
        .begin(&format!("AUTHENTICATE SCRAM-SHA-256 {}", Scram::new(name, "", None).first()))
        .await
        .unwrap();
    assert!(client.read_response().await.unwrap().starts_with("+ "));
    client.send(b"*\r\n").await.unwrap();
    let rest = client.rest().await.unwrap();
    assert!(rest.starts_with(&format!("{tag} BAD authentication cancelled")), "{rest}");
    assert!(rest.ends_with("\r\n* BYE too many failed logins\r\n"), "{rest}");
    // The server's proof is to be answered by nothing.
    let mut client = server.connect().await;
    let mut proof = Scram::new(name, &secret, None);
    let tag = client.begin(&format!("AUTHENTICATE SCRAM-SHA-256 {}", proof.first())).await.unwrap();
    let challenge = client.read_response().await.unwrap();
    let last = proof.last(challenge.strip_prefix("+ ").unwrap()).unwrap();
    client.send(format!("{last}\r\n").as_bytes()).await.unwrap();
    assert!(client.read_response().await.unwrap().starts_with("+ "));
    client.send(b"eA==\r\n").await.unwrap();
    assert!(client.answer(&tag).await.unwrap().status.starts_with("BAD"));

    // What is wrong, for another protocol, or of nobody, looks alike.
    let wrong =
        [(name, "wrong"), (name, for_pop3.as_str()), (name, PASSWORD), ("nobody@acme.example", "wrong")];
    for (name, password) in wrong {
        let mut client = server.connect().await;
        let status = scram(&mut client, "SCRAM-SHA-256", Scram::new(name, password, None)).await;
        assert_eq!(status, "NO [AUTHENTICATIONFAILED] wrong user name or password", "{name} {password}");
    }
    app_password::revoke(&server.world.ctx, ada.id, second.id).await.unwrap();
    let mut client = server.connect().await;
    let status = scram(&mut client, "SCRAM-SHA-256", Scram::new(name, &secret, None)).await;
    assert!(status.starts_with("NO [AUTHENTICATIONFAILED]"), "{status}");
}

#[tokio::test]
async fn by_a_token() {
    let server = Server::start().await;
    let (ada, bob) = (server.user_with("ada", &[]).await, server.user_with("bob", &[]).await);
    let auth = tenancy::auth::Auth::new(server.world.test_db.db()).await.unwrap();
    let grant =
        tenancy::auth::Grant::Password { username: ada.address.to_string(), password: PASSWORD.into() };
    let tokens = auth.token(grant, server.world.origin()).await.unwrap();
    let token = tokens.access.token.expose_secret();
    let xoauth2 = |user: &User, token: &str| {
        STANDARD.encode(format!("user={}\x01auth=Bearer {token}\x01\x01", user.address))
    };
    let bearer = |name: &str| STANDARD.encode(format!("n,{name},\x01host=h\x01auth=Bearer {token}\x01\x01"));
    for login in [
        format!("XOAUTH2 {}", xoauth2(&ada, token)),
        format!("OAUTHBEARER {}", bearer("")),
        format!("OAUTHBEARER {}", bearer(&format!("a={}", ada.address))),
    ] {
        let mut client = server.connect().await;
        ok(&mut client, &format!("AUTHENTICATE {login}")).await;
        ok(&mut client, "SELECT INBOX").await;
    }
    // A token that proves nothing, or that it is somebody else: the client is told why, and then refused.
    for login in [xoauth2(&ada, "x.y.z"), xoauth2(&bob, token)] {
        let mut client = server.connect().await;
        let tag = client.begin(&format!("AUTHENTICATE XOAUTH2 {login}")).await.unwrap();
        let told = client.read_response().await.unwrap();
        let told = STANDARD.decode(told.strip_prefix("+ ").unwrap()).unwrap();
        assert_eq!(String::from_utf8(told).unwrap(), "{\"status\":\"invalid_token\"}");
        client.send(b"\r\n").await.unwrap();
        let status = client.answer(&tag).await.unwrap().status;
        assert!(status.starts_with("NO [AUTHENTICATIONFAILED]"), "{status}");
    }
    // What it began ends with it.
    let mut client = server.connect().await;
    ok(&mut client, &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(&ada, token))).await;
    server.world.test_db.clock().advance(chrono::TimeDelta::minutes(14));
    ok(&mut client, "NOOP").await;
    server.world.test_db.clock().advance(chrono::TimeDelta::minutes(1));
    client.send(b"x NOOP\r\n").await.unwrap();
    assert!(client.rest().await.unwrap().contains("BYE [EXPIRED]"));
    let grant = Grant::Password { username: ada.address.to_string(), password: PASSWORD.into() };
    let tokens = auth.token(grant, server.world.origin()).await.unwrap();
    let token = tokens.access.token.expose_secret();
    // It ends with the sessions of the person, and what it began ends with them.
    let mut client = server.connect().await;
    ok(&mut client, &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(&ada, token))).await;
    tenancy::user::reset_password(&server.world.ctx, ada.id, "another long passphrase of hers".into())
        .await
        .unwrap();
    client.send(b"x NOOP\r\n").await.unwrap();
    assert!(client.rest().await.unwrap().contains("BYE [EXPIRED]"));
    let mut client = server.connect().await;
    client.begin(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2(&ada, token))).await.unwrap();
    assert!(client.read_response().await.unwrap().starts_with("+ "));
}

#[tokio::test]
async fn by_login_of_old() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[]).await;
    let mut client = server.connect().await;
    let tag = client.begin("AUTHENTICATE LOGIN").await.unwrap();
    for (asked, said) in [("Username:", ada.address.as_str()), ("Password:", PASSWORD)] {
        assert_eq!(client.read_response().await.unwrap(), format!("+ {}", STANDARD.encode(asked)));
        client.send(format!("{}\r\n", STANDARD.encode(said)).as_bytes()).await.unwrap();
    }
    assert!(client.answer(&tag).await.unwrap().status.starts_with("OK "));
}

#[tokio::test]
async fn a_session_ends_with_the_app_password_that_began_it() {
    let server = Server::with(quick()).await;
    let ada = server.user_with("ada", &[]).await;
    let (password, secret) = app_password(&server, &ada, Capability::Imap).await;
    let ctx = &server.world.ctx;
    let mut client = server.connect().await;
    client.login(&ada.address, &secret).await.unwrap();
    ok(&mut client, "SELECT INBOX").await;
    client.begin("IDLE").await.unwrap();
    assert!(client.read_response().await.unwrap().starts_with("+ "));
    app_password::revoke(ctx, ada.id, password.id).await.unwrap();
    assert_eq!(client.rest().await.unwrap(), "* BYE [EXPIRED] the login is not good any more\r\n");
}

#[tokio::test]
async fn whoever_introduces_themselves_is_told_the_name_and_no_more() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[]).await;
    let (mut stranger, mut known) = (server.connect().await, server.login(&ada).await);
    for client in [&mut stranger, &mut known] {
        for command in ["ID NIL", "ID ()", "ID (\"name\" \"Thunderbird\" \"version\" NIL)"] {
            assert_eq!(ok(client, command).await, ["ID (\"name\" \"Pillarbox\")"], "{command}");
        }
        refused(client, "ID Thunderbird", "BAD").await;
    }
}
