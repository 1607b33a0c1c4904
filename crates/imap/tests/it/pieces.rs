//! A long message that is fetched in pieces.

use std::time::Duration;

use blob::{BlobKey, KeyPrefix};
use bytes::Bytes;
use testkit::client::imap::Imap as Client;

use crate::support::{Server, message, ok, refused};

/// So many lines are so long, compressed, that the cache of bodies does not take them.
const LINES: usize = 160_000;
const PIECE: usize = 1 << 20;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A message of one part in base64 that says nothing; where the part begins.
fn long() -> (Vec<u8>, usize) {
    let head = "Subject: long\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let (mut bytes, mut state) = (head.as_bytes().to_vec(), 0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..LINES {
        for _ in 0..76 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.push(ALPHABET[(state % 64) as usize]);
        }
        bytes.extend(b"\r\n");
    }
    (bytes, head.len())
}

/// One piece of a section of the first message, from a byte on.
async fn piece(client: &mut Client, section: &str, from: usize) -> Vec<u8> {
    let told = ok(client, &format!("UID FETCH 1 ({section}<{from}.{PIECE}>)")).await;
    let (label, text) = told[0].split_once("}\r\n").unwrap();
    assert!(label.contains(&format!("<{from}>")), "{label}");
    let length: usize = label.rsplit_once('{').unwrap().1.parse().unwrap();
    text.as_bytes()[..length].to_vec()
}

/// From here on no body is to be had: what there was.
async fn take_bodies_away(server: &Server) -> Vec<(BlobKey, Bytes)> {
    let (blobs, mut taken) = (server.store.blobs(), Vec::new());
    for key in blobs.list(&KeyPrefix::All, None).await.unwrap().keys {
        if key.to_string().contains("packs/") {
            taken.push((key.clone(), blobs.get(&key).await.unwrap()));
            blobs.delete(&key).await.unwrap();
        }
    }
    taken
}

#[tokio::test]
async fn it_is_read_once_and_its_pieces_are_all_of_it() {
    let server = Server::start().await;
    let (mail, body_at) = long();
    let ada = server.user_with("ada", &[&mail]).await;
    let mut client = server.inbox(&ada).await;
    let mut whole = piece(&mut client, "BODY.PEEK[1]", 0).await;
    take_bodies_away(&server).await;
    while whole.len() < mail.len() - body_at {
        whole.extend(piece(&mut client, "BODY.PEEK[1]", whole.len()).await);
    }
    assert!(whole == mail[body_at..]);
    // With the last piece it was forgotten.
    refused(&mut client, "UID FETCH 1 (BODY.PEEK[1]<0.10>)", "NO").await;
}

#[tokio::test]
async fn anything_else_makes_it_forgotten() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&long().0, &message("short")]).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "UID FETCH 2 (BODY.PEEK[])").await;
    for other in [
        "UID FETCH 2 (BODY.PEEK[]<0.4>)",
        "UID FETCH 1:2 (FLAGS)",
        "UID FETCH 1 (BODY.PEEK[1]<0.10> BODY.PEEK[HEADER])",
        "UID FETCH 1 (BODY.PEEK[]<0.10>)",
        "NOOP",
    ] {
        piece(&mut client, "BODY.PEEK[1]", 0).await;
        ok(&mut client, other).await;
        let taken = take_bodies_away(&server).await;
        let answer = client.command("UID FETCH 1 (BODY.PEEK[1]<1048576.10>)").await.unwrap();
        assert!(answer.status.starts_with("NO"), "{other}: {}", answer.status);
        for (key, bytes) in taken {
            server.store.blobs().put(&key, bytes).await.unwrap();
        }
    }
    piece(&mut client, "BODY.PEEK[1]", 0).await;
    take_bodies_away(&server).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    refused(&mut client, "UID FETCH 1 (BODY.PEEK[1]<1048576.10>)", "NO").await;
}

#[tokio::test]
async fn a_decoded_part_comes_in_pieces_and_one_that_is_gone_does_not() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&long().0]).await;
    let mut client = server.inbox(&ada).await;
    let size = ok(&mut client, "UID FETCH 1 (BINARY.SIZE[1])").await;
    assert_eq!(size, [format!("1 FETCH (UID 1 BINARY.SIZE[1] {})", LINES * 57)]);
    for from in [0, PIECE, 2 * PIECE] {
        let told = ok(&mut client, &format!("UID FETCH 1 (BINARY.PEEK[1]<{from}.12>)")).await;
        assert!(told[0].contains(&format!("BINARY[1]<{from}> ")), "{told:?}");
        if from == 0 {
            take_bodies_away(&server).await;
        }
    }
    let mut other = server.inbox(&ada).await;
    ok(&mut other, "UID STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut other, "EXPUNGE").await;
    let told = ok(&mut client, &format!("UID FETCH 1 (BINARY.PEEK[1]<{}.12>)", 3 * PIECE)).await;
    assert!(told.iter().all(|line| !line.contains("BINARY")), "{told:?}");
}
