//! What a client is told of what others do.

use std::time::Duration;

use testkit::client::imap::Imap as Client;
use testkit::world::PASSWORD;

use crate::support::{Server, message, ok, quick, refused, say};

#[tokio::test]
async fn two_clients_see_what_each_other_does() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two"), &message("three")]).await;
    let (mut one, mut two) = (server.inbox(&ada).await, server.inbox(&ada).await);
    ok(&mut one, "STORE 2 +FLAGS (\\Flagged)").await;
    assert_eq!(ok(&mut two, "NOOP").await, ["2 FETCH (UID 2 FLAGS (\\Flagged))"]);
    assert!(ok(&mut two, "NOOP").await.is_empty());

    ok(&mut one, "STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut one, "EXPUNGE").await;
    server.deliver(ada.mailbox_id, &message("four")).await;
    // No number may change while numbers are under way (RFC 9051 §7.5.1).
    let told = ok(&mut two, "FETCH 3 UID").await;
    assert_eq!(told, ["3 FETCH (UID 3)", "4 EXISTS", "0 RECENT"]);
    // What is gone is not there, and has its number still.
    assert!(ok(&mut two, "FETCH 1 UID").await.is_empty());
    assert_eq!(ok(&mut two, "NOOP").await, ["1 EXPUNGE"]);
    assert_eq!(ok(&mut two, "FETCH 1:* UID").await.len(), 3);

    // What came and went between two looks was never there.
    server.deliver(ada.mailbox_id, &message("five")).await;
    ok(&mut one, "NOOP").await;
    ok(&mut one, "UID STORE 5 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut one, "UID EXPUNGE 5").await;
    assert!(ok(&mut two, "NOOP").await.is_empty());
}

/// The next untagged line.
async fn next(client: &mut Client) -> String {
    client.read_response().await.unwrap()
}

#[tokio::test]
async fn an_idling_client_hears_at_once() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one")]).await;
    let (mut idle, mut other) = (server.inbox(&ada).await, server.inbox(&ada).await);
    let tag = idle.begin("IDLE").await.unwrap();
    assert!(next(&mut idle).await.starts_with("+ "));
    server.deliver(ada.mailbox_id, &message("two")).await;
    assert_eq!([next(&mut idle).await, next(&mut idle).await], ["* 2 EXISTS", "* 0 RECENT"]);
    ok(&mut other, "STORE 1 +FLAGS (\\Deleted)").await;
    assert_eq!(next(&mut idle).await, "* 1 FETCH (UID 1 FLAGS (\\Deleted))");
    ok(&mut other, "EXPUNGE").await;
    assert_eq!(next(&mut idle).await, "* 1 EXPUNGE");
    idle.send(b"done\r\n").await.unwrap();
    assert!(idle.answer(&tag).await.unwrap().status.starts_with("OK"));
    ok(&mut idle, "NOOP").await;
}

#[tokio::test]
async fn who_idles_at_one_server_hears_of_what_is_done_at_another() {
    let server = Server::start().await;
    let beside = server.beside().await;
    let ada = server.user_with("ada", &[&message("one")]).await;
    let mut idle = server.inbox(&ada).await;
    let mut other = Client::connect(beside).await.unwrap();
    other.login(&ada.address, PASSWORD).await.unwrap();
    let tag = idle.begin("IDLE").await.unwrap();
    assert!(next(&mut idle).await.starts_with("+ "));
    other.append("INBOX", &message("two")).await.unwrap().ok().unwrap();
    assert_eq!([next(&mut idle).await, next(&mut idle).await], ["* 2 EXISTS", "* 0 RECENT"]);
    ok(&mut other, "SELECT INBOX").await;
    ok(&mut other, "STORE 1 +FLAGS (\\Deleted)").await;
    assert_eq!(next(&mut idle).await, "* 1 FETCH (UID 1 FLAGS (\\Deleted))");
    ok(&mut other, "EXPUNGE").await;
    assert_eq!(next(&mut idle).await, "* 1 EXPUNGE");
    idle.send(b"DONE\r\n").await.unwrap();
    assert!(idle.answer(&tag).await.unwrap().status.starts_with("OK"));
}

#[tokio::test]
async fn a_session_ends_with_its_folder_and_with_the_server() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[]).await;
    let (mut one, mut two) = (server.login(&ada).await, server.login(&ada).await);
    ok(&mut one, "CREATE Gone").await;
    ok(&mut one, "SELECT Gone").await;
    ok(&mut two, "SELECT Gone").await;
    let told = ok(&mut two, "DELETE Gone").await;
    assert!(told[0].starts_with("OK [CLOSED]"), "{told:?}");
    ok(&mut two, "NOOP").await;
    // What was done is answered first, or it would be done again.
    one.send(b"x APPEND INBOX {14+}\r\nSubject: x\r\n\r\n\r\n").await.unwrap();
    let said = one.rest().await.unwrap();
    assert!(said.starts_with("x OK [APPENDUID "), "{said}");
    assert!(said.ends_with("\r\n* BYE the folder is not there any more\r\n"), "{said}");
    assert_eq!(ok(&mut two, "STATUS INBOX (MESSAGES)").await, ["STATUS INBOX (MESSAGES 1)"]);

    two.begin("IDLE").await.unwrap();
    assert!(next(&mut two).await.starts_with("+ "));
    server.shutdown.cancel();
    assert_eq!(two.rest().await.unwrap(), "* BYE [UNAVAILABLE] the server is shutting down\r\n");
    for listener in server.listeners {
        listener.await.unwrap();
    }
}

#[tokio::test]
async fn who_says_nothing_is_shown_out() {
    let limits = imap::Limits {
        login_timeout: Duration::from_millis(100),
        command_timeout: Duration::from_millis(300),
        ..quick()
    };
    let server = Server::with(limits).await;
    let silent = server.connect().await;
    assert_eq!(silent.rest().await.unwrap(), "* BYE no command came in time\r\n");
    let ada = server.user_with("ada", &[]).await;
    let mut idle = server.inbox(&ada).await;
    idle.begin("IDLE").await.unwrap();
    assert!(next(&mut idle).await.starts_with("+ "));
    assert_eq!(idle.rest().await.unwrap(), "* BYE no command came in time\r\n");
}

/// Answers of commands that were sent together, each the line that tells of its message.
async fn answers(client: &mut Client, tags: &[String]) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for tag in tags {
        let answer = client.answer(tag).await.unwrap();
        assert!(answer.status.starts_with("OK"), "{answer:?}");
        answers.push(answer.untagged);
    }
    answers
}

#[tokio::test]
async fn what_is_asked_for_one_after_the_other_is_told_as_it_is() {
    let server = Server::start().await;
    let subjects: Vec<String> = (1..=150).map(|number| format!("s{number}")).collect();
    let messages: Vec<Vec<u8>> = subjects.iter().map(|subject| message(subject)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &messages).await;
    let (mut one, mut two) = (server.inbox(&ada).await, server.inbox(&ada).await);
    ok(&mut two, "STORE 60,61 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut two, "EXPUNGE").await;

    // All at once: with messages that are gone, with flags that the client itself changes in between, and one twice.
    let mut commands: Vec<String> =
        (1..=150).map(|number| format!("FETCH {number} (FLAGS BODY.PEEK[TEXT])")).collect();
    commands.insert(100, "STORE 120 +FLAGS.SILENT (\\Flagged)".to_owned());
    commands.insert(30, "FETCH 29 (FLAGS BODY.PEEK[TEXT])".to_owned());
    commands.insert(10, "FETCH 11 (FLAGS BODY[TEXT])".to_owned());
    let mut pipeline = String::new();
    for (at, command) in commands.iter().enumerate() {
        pipeline.push_str(&format!("t{at} {command}\r\n"));
    }
    one.send(pipeline.as_bytes()).await.unwrap();
    let tags: Vec<String> = (0..commands.len()).map(|at| format!("t{at}")).collect();
    let answers = answers(&mut one, &tags).await;
    let mut told = 0;
    for (command, answer) in commands.iter().zip(answers) {
        let Some(number) = command.strip_prefix("FETCH ").and_then(|rest| rest.split(' ').next()) else {
            continue;
        };
        let own: Vec<&String> =
            answer.iter().filter(|line| line.starts_with(&format!("{number} FETCH ("))).collect();
        let number: usize = number.parse().unwrap();
        if number == 60 || number == 61 {
            assert!(own.is_empty(), "{answer:?}");
            continue;
        }
        let line = own
            .iter()
            .find(|line| line.contains("BODY[TEXT]"))
            .unwrap_or_else(|| panic!("{command}: {answer:?}"));
        assert!(line.contains(&format!("This is s{number}.")), "{command}: {line}");
        let flags = if number == 11 {
            "FLAGS (\\Seen)"
        } else if number == 120 {
            "FLAGS (\\Flagged)"
        } else {
            "FLAGS ()"
        };
        assert!(line.contains(flags), "{command}: {line}");
        told += 1;
    }
    assert_eq!(told, 150);
}

#[tokio::test]
async fn what_another_changes_is_told_last() {
    let server = Server::start().await;
    let messages: Vec<Vec<u8>> = (1..=40).map(|number| message(&format!("s{number}"))).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &messages).await;
    let (mut one, mut two) = (server.inbox(&ada).await, server.inbox(&ada).await);
    // Over and over, since nobody knows where in the pipeline the change falls.
    for round in 0..20 {
        let sign = if round % 2 == 0 { '+' } else { '-' };
        let pipeline: String =
            (1..=40).map(|number| format!("r{round}n{number} FETCH {number} FLAGS\r\n")).collect();
        let tags: Vec<String> = (1..=40).map(|number| format!("r{round}n{number}")).collect();
        let store = format!("STORE 1:40 {sign}FLAGS.SILENT (\\Flagged)");
        one.send(pipeline.as_bytes()).await.unwrap();
        let (answers, _) = tokio::join!(answers(&mut one, &tags), ok(&mut two, &store));
        let after = ok(&mut one, "NOOP").await;
        let lines: Vec<String> = answers.into_iter().flatten().chain(after).collect();
        for number in 1..=40 {
            let last = lines.iter().rfind(|line| line.starts_with(&format!("{number} FETCH ("))).unwrap();
            assert_eq!(last.contains("\\Flagged"), round % 2 == 0, "{number}: {last}");
        }
    }
}

#[tokio::test]
async fn check_is_for_a_folder_that_is_open_and_tells_what_is_new() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one")]).await;
    let mut client = server.connect().await;
    refused(&mut client, "CHECK", "BAD log in first").await;
    let mut client = server.login(&ada).await;
    refused(&mut client, "CHECK", "BAD open a folder first").await;
    ok(&mut client, "SELECT INBOX").await;
    assert!(ok(&mut client, "CHECK").await.is_empty());
    server.deliver(ada.mailbox_id, &message("two")).await;
    assert_eq!(ok(&mut client, "CHECK").await, ["2 EXISTS", "0 RECENT"]);
}

#[tokio::test]
async fn any_line_ends_idling_and_none_but_done_does_so_well() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one")]).await;
    let mut client = server.inbox(&ada).await;
    let long = "x".repeat(100);
    for line in ["NOOP", "x NOOP", "DONE DONE", "", long.as_str()] {
        let tag = client.begin("IDLE").await.unwrap();
        assert!(next(&mut client).await.starts_with("+ "));
        client.send(format!("{line}\r\n").as_bytes()).await.unwrap();
        assert_eq!(client.answer(&tag).await.unwrap().status, "BAD IDLE ends with DONE", "{line:?}");
        // It was taken for the end of IDLE, not for a command, and what follows is one again.
        assert_eq!(say(&mut client, "NOOP").await.status, "OK done", "{line:?}");
    }
}
