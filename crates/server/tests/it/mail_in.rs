//! Mail on its way in: what an MTA asks and hands over, and where people find it.

use std::net::SocketAddr;

use testkit::client::imap::Imap;
use testkit::client::lmtp::Lmtp;
use testkit::story::server::Server;
use testkit::{World, world};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{BINARY, data_dir};

const MARKED: &[u8] = b"Subject: winnings\r\nX-Spam: Yes\r\n\r\nbuy\r\n";

async fn asked(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn deliver(server: &Server, message: &[u8]) {
    let mut lmtp = Lmtp::connect(server.listening().lmtp).await.unwrap();
    let delivery = lmtp.deliver("eve@example.org", &["ada@acme.example"], message).await.unwrap();
    assert!(delivery.is_complete(), "{delivery:?}");
}

async fn subjects(server: &Server, folder: &str) -> String {
    let mut imap = Imap::connect(server.listening().imap).await.unwrap();
    imap.login("ada@acme.example", world::PASSWORD).await.unwrap();
    imap.command(&format!("SELECT {folder}")).await.unwrap().ok().unwrap();
    format!("{:?}", imap.command("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_mail_is_in_junk_and_postfix_is_answered() {
    let (world, data) = (World::new().await, data_dir());
    let ada = world.user("ada", None).await;
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let server = Server::start(BINARY.as_ref(), data.path(), &settings).await.unwrap();
    let lookup = server.listening().lookup;
    assert_eq!(asked(lookup, "20:domains acme.example,").await, "15:OK acme.example,");
    let found = format!("OK {}", ada.mailbox_id);
    let answer = asked(lookup, "27:recipients ADA@acme.example,").await;
    assert_eq!(answer, format!("{}:{found},", found.len()));

    deliver(&server, MARKED).await;
    deliver(&server, b"Subject: minutes\r\n\r\nX-Spam: Yes\r\n").await;
    let (inbox, junk) = (subjects(&server, "INBOX").await, subjects(&server, "Junk").await);
    assert!(inbox.contains("minutes") && !inbox.contains("winnings"), "{inbox}");
    assert!(junk.contains("winnings") && !junk.contains("minutes"), "{junk}");
    server.stop().await.unwrap();

    // Where nobody is believed, nothing is junk.
    let settings = [settings[0], ("PILLARBOX_SPAM_HEADER", "none")];
    let server = Server::start(BINARY.as_ref(), data.path(), &settings).await.unwrap();
    deliver(&server, MARKED).await;
    assert!(subjects(&server, "INBOX").await.contains("winnings"));
    server.stop().await.unwrap();
}
