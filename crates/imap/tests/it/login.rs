//! Who gets in, and how.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::client::imap::Imap as Client;
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
    client.send(format!("x LOGIN {} wrong\r\n", ada.address).as_bytes()).await.unwrap();
    assert_eq!(client.rest().await.unwrap(), "* BYE too many failed logins\r\n");

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
    // The second command was not protected: were it answered, it would be so inside the encrypted session.
    client.send(b"a STARTTLS\r\nb CAPABILITY\r\n").await.unwrap();
    let answer = client.answer("a").await.unwrap();
    assert!(answer.status.starts_with("OK "), "{answer:?}");
    // What follows is no handshake, so the server hangs up, and says nothing to b.
    client.send(b"c NOOP\r\n").await.unwrap();
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

#[tokio::test]
async fn a_session_ends_with_the_app_password_that_began_it() {
    let server = Server::with(quick()).await;
    let ada = server.user_with("ada", &[]).await;
    let new = tenancy::app_password::NewAppPassword {
        name: "phone".to_owned(),
        protocols: vec![tenancy::policy::Capability::Imap],
        expires_at: None,
    };
    let ctx = &server.world.ctx;
    let (password, secret) = tenancy::app_password::create(ctx, ada.id, new).await.unwrap();
    let mut client = server.connect().await;
    client.login(&ada.address, secrecy::ExposeSecret::expose_secret(&secret)).await.unwrap();
    ok(&mut client, "SELECT INBOX").await;
    client.begin("IDLE").await.unwrap();
    assert!(client.read_response().await.unwrap().starts_with("+ "));
    tenancy::app_password::revoke(ctx, ada.id, password.id).await.unwrap();
    assert_eq!(client.rest().await.unwrap(), "* BYE [EXPIRED] the login is not good any more\r\n");
}
