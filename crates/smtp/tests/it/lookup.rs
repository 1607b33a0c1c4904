//! What Postfix asks, and that it is told what LMTP says.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::MailboxId;
use smtp::lookup::{self, Limits, Lookup};
use tenancy::address::{self, Target};
use tenancy::domain::{self, DomainChange};
use tenancy::group::{self, Member, NewGroup};
use tenancy::policy::Capability;
use tenancy::recipient::Recipients;
use tenancy::{Ctx, tenant, user};
use testkit::world;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::served::{Served, code};

/// How long nothing may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lookup server beside an LMTP server.
struct Asked {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Asked {
    async fn of(served: &Served, limits: Limits) -> Self {
        let service = Lookup { recipients: Recipients::new(served.world.test_db.db()), limits };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(lookup::serve(listener, Arc::new(service), shutdown.clone()));
        Self { address, shutdown, task }
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next answer's text; `None` where the connection was closed.
    async fn answer(&mut self) -> Option<String> {
        let read = async {
            let mut length = 0;
            loop {
                match self.0.read_u8().await {
                    Ok(b':') => break,
                    Ok(digit) => length = length * 10 + usize::from(digit - b'0'),
                    Err(_) => return None,
                }
            }
            let mut text = vec![0; length + 1];
            self.0.read_exact(&mut text).await.ok()?;
            assert_eq!(text.pop(), Some(b','));
            Some(String::from_utf8(text).unwrap())
        };
        timeout(PATIENCE, read).await.unwrap()
    }

    async fn ask(&mut self, map: &str, key: &str) -> String {
        self.send(&format!("{}:{map} {key},", map.len() + 1 + key.len())).await;
        self.answer().await.unwrap()
    }
}

async fn group(served: &Served, local: &str, members: Vec<MailboxId>) {
    let new = NewGroup {
        display_name: local.into(),
        address: Some(format!("{local}@acme.example")),
        members: members.into_iter().map(Member::Mailbox).collect(),
        ..NewGroup::default()
    };
    group::create(&served.world.ctx, new).await.unwrap();
}

async fn suspend(ctx: &Ctx, id: kernel::UserId) {
    user::suspend(ctx, id, None, &[Capability::Receive]).await.unwrap();
}

/// A neighbour of the tenant, with a domain and a user.
async fn neighbour(served: &Served, name: &str) -> Ctx {
    let of = &served.world;
    let tenant = world::tenant(&of.operator, &of.reseller, name).await;
    let ctx = of.operator.enter(tenant.id).await.unwrap();
    world::domain(&ctx, &format!("{name}.example")).await;
    world::user(&ctx, &format!("bob@{name}.example"), None).await;
    ctx
}

/// Whether LMTP takes mail for it, and whether the map has it; they agree.
async fn is_taken(served: &Served, asked: &Asked, address: &str) -> bool {
    let mut lmtp = served.client().await;
    assert_eq!(code(&mut lmtp, "MAIL FROM:<> SMTPUTF8").await, "250 2.1.0");
    let told = code(&mut lmtp, &format!("RCPT TO:<{address}>")).await;
    let is_taken = told == "250 2.1.5";
    assert!(is_taken || told == "550 5.1.1", "{address}: {told}");
    let answer = asked.client().await.ask("recipients", address).await;
    assert!(answer.starts_with("OK ") || answer == "NOTFOUND ", "{answer}");
    assert_eq!(answer.starts_with("OK "), is_taken, "{address}: {answer}, but {told}");
    is_taken
}

#[tokio::test]
async fn postfix_is_told_what_lmtp_says_at_rcpt() {
    let served = Served::new().await;
    let asked = Asked::of(&served, Limits::default()).await;
    let ctx = &served.world.ctx;
    let (ada, eve) = (served.world.user("ada", None).await, served.world.user("eve", None).await);
    served.world.user("jürgen", None).await;
    suspend(ctx, eve.id).await;
    address::create(ctx, "boss@acme.example", Target::Mailbox(ada.mailbox_id)).await.unwrap();
    group(&served, "all", vec![ada.mailbox_id, eve.mailbox_id]).await;
    group(&served, "hushed", vec![eve.mailbox_id]).await;
    group(&served, "empty", vec![]).await;
    world::domain(ctx, "müller.example").await;
    let all = world::domain(ctx, "all.example").await;
    let change =
        DomainChange { plus_addressing: Some(false), catch_all_mailbox_id: Some(Some(ada.mailbox_id)) };
    domain::update(ctx, all.id, None, change).await.unwrap();
    world::user(ctx, "ada@müller.example", None).await;
    domain::create(ctx, "pending.example").await.unwrap();
    let hushed = neighbour(&served, "hushed").await;
    tenant::suspend(&hushed, None, &[Capability::Receive]).await.unwrap();
    let gone = neighbour(&served, "gone").await;
    tenant::delete(&gone, None).await.unwrap();
    neighbour(&served, "there").await;

    for address in [
        "ada@acme.example",
        "Ada@ACME.Example",
        "\"ada\"@acme.example",
        "ada+lists@acme.example",
        "ada+a+b@acme.example",
        "boss@acme.example",
        "boss+x@acme.example",
        "all@acme.example",
        "all+x@acme.example",
        "jürgen@acme.example",
        "JÜRGEN@acme.example",
        "ada@müller.example",
        "ada@xn--mller-kva.example",
        "ada@MÜLLER.example",
        "postmaster@acme.example",
        "Abuse@acme.example",
        "hostmaster@all.example",
        "nobody+x@all.example",
        "postmaster@müller.example",
        "bob@there.example",
        "postmaster@there.example",
    ] {
        assert!(is_taken(&served, &asked, address).await, "{address}");
    }
    for address in [
        "nobody@acme.example",
        "nobody+ada@acme.example",
        "+ada@acme.example",
        "eve@acme.example",
        "eve+x@acme.example",
        "hushed@acme.example",
        "empty@acme.example",
        "postmaster+x@acme.example",
        "\"a b\"@acme.example",
        "\"ada\\\\\"@acme.example",
        "ada@[127.0.0.1]",
        "ada@localhost",
        "ada@elsewhere.example",
        "ada@sub.acme.example",
        "postmaster@pending.example",
        "bob@hushed.example",
        "postmaster@hushed.example",
        "bob@gone.example",
        "postmaster@gone.example",
    ] {
        assert!(!is_taken(&served, &asked, address).await, "{address}");
    }
    // What is not the path of a RCPT at all.
    let mut client = asked.client().await;
    for key in [
        "",
        "ada",
        "@acme.example",
        "ada@acme.example>",
        "ada@acme.example> <ada@acme.example",
        " ada@acme.example",
    ] {
        assert_eq!(client.ask("recipients", key).await, "NOTFOUND ", "{key:?}");
    }
    assert_eq!(client.ask("recipients", "ada@acme.example").await, format!("OK {}", ada.mailbox_id));
    assert_eq!(client.ask("recipients", "all@all.example").await, format!("OK {}", ada.mailbox_id));
}

#[tokio::test]
async fn domains_are_those_that_somebody_has_proven() {
    let served = Served::new().await;
    let asked = Asked::of(&served, Limits::default()).await;
    world::domain(&served.world.ctx, "müller.example").await;
    domain::create(&served.world.ctx, "pending.example").await.unwrap();
    let hushed = neighbour(&served, "hushed").await;
    tenant::suspend(&hushed, None, &[Capability::Receive]).await.unwrap();
    let mut client = asked.client().await;
    for (key, name) in [
        ("acme.example", "acme.example"),
        ("ACME.example", "acme.example"),
        ("müller.example", "xn--mller-kva.example"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        // Its mail is refused, and sent to nobody else.
        ("hushed.example", "hushed.example"),
    ] {
        assert_eq!(client.ask("domains", key).await, format!("OK {name}"), "{key}");
    }
    for key in
        ["", "elsewhere.example", "sub.acme.example", "example", "pending.example", "[127.0.0.1]", "*", "a b"]
    {
        assert_eq!(client.ask("domains", key).await, "NOTFOUND ", "{key}");
    }
}

#[tokio::test]
async fn what_cannot_be_looked_up_now_is_no_no() {
    let served = Served::new().await;
    let asked = Asked::of(&served, Limits::default()).await;
    let mut client = asked.client().await;
    assert_eq!(client.ask("aliases", "acme.example").await, "PERM there are the maps domains and recipients");
    assert_eq!(client.ask("domains", "acme.example").await, "OK acme.example");
    served.world.test_db.db().close().await;
    for (map, key) in [("domains", "acme.example"), ("recipients", "ada@acme.example")] {
        assert_eq!(client.ask(map, key).await, "TEMP the directory cannot be read now", "{map}");
    }
}

#[tokio::test]
async fn requests_may_come_together_or_in_pieces() {
    let served = Served::new().await;
    let asked = Asked::of(&served, Limits::default()).await;
    let mut client = asked.client().await;
    client.send("20:domains acme.example,17:domains b.example,20:domains acme.exa").await;
    for answer in ["OK acme.example", "NOTFOUND "] {
        assert_eq!(client.answer().await.as_deref(), Some(answer));
    }
    client.send("mple,").await;
    assert_eq!(client.answer().await.as_deref(), Some("OK acme.example"));
    client.0.write_all(b"15:recipients a@\xff\xfe,").await.unwrap();
    assert_eq!(client.answer().await.as_deref(), Some("NOTFOUND "), "not UTF-8");
    client.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(client.answer().await, None, "not asked by socketmap");
}

#[tokio::test]
async fn connections_are_bounded_in_number() {
    let served = Served::new().await;
    let asked = Asked::of(&served, Limits { max_connections: 1, ..Limits::default() }).await;
    let mut first = asked.client().await;
    assert_eq!(first.ask("domains", "acme.example").await, "OK acme.example");
    let mut second = asked.client().await;
    assert_eq!(second.answer().await.as_deref(), Some("TEMP too many connections"));
    assert_eq!(second.answer().await, None);
    assert_eq!(first.ask("domains", "acme.example").await, "OK acme.example");
}

#[tokio::test]
async fn a_request_that_trickles_in_is_not_waited_for() {
    let served = Served::new().await;
    let limits = Limits { command_timeout: Duration::from_millis(500), ..Limits::default() };
    let mut client = Asked::of(&served, limits).await.client().await;
    client.send("900:domains ").await;
    let began = Instant::now();
    loop {
        // Each octet comes well within the limit, all of them do not.
        let _ = client.0.write_all(b"a").await;
        match timeout(Duration::from_millis(50), client.0.read_u8()).await {
            Err(_) => assert!(began.elapsed() < PATIENCE),
            Ok(closed) => break assert!(closed.is_err(), "it was answered"),
        }
    }
}

#[tokio::test]
async fn at_the_end_idle_connections_are_closed() {
    let served = Served::new().await;
    let asked = Asked::of(&served, Limits::default()).await;
    let mut client = asked.client().await;
    assert_eq!(client.ask("domains", "acme.example").await, "OK acme.example");
    asked.shutdown.cancel();
    assert_eq!(client.answer().await, None);
    timeout(PATIENCE, asked.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(asked.address).await.is_err());
}
