//! What FETCH tells.

use testkit::client::imap::Imap as Client;

use crate::support::{Server, message, ok, refused};

const NESTED: &[u8] = b"From: \"Doe, John\" <john@example.org>\r\n\
To: ada@acme.example, Bob <bob@acme.example>\r\n\
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
Date: Tue, 3 Mar 2026 10:00:00 +0100\r\n\
Message-ID: <nested@example.org>\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=outer\r\n\
\r\n\
--outer\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
\r\n\
hello\r\n\
--outer\r\n\
Content-Type: message/rfc822\r\n\
\r\n\
Subject: inner\r\n\
From: eve@example.net\r\n\
\r\n\
inside\r\n\
--outer--\r\n";

#[tokio::test]
async fn flags_dates_sizes_envelopes_and_structures_come_without_the_body() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[NESTED]).await;
    let mut client = server.inbox(&ada).await;
    let told = ok(&mut client, "FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)").await;
    let size = NESTED.len();
    assert_eq!(
        told,
        [format!(
            "1 FETCH (UID 1 FLAGS () INTERNALDATE \" 2-Mar-2026 09:00:00 +0000\" RFC822.SIZE {size} ENVELOPE (\
             \"Tue, 3 Mar 2026 10:00:00 +0100\" \"=?utf-8?q?Gr=C3=BC=C3=9Fe?=\" \
             ((\"Doe, John\" NIL \"john\" \"example.org\")) ((\"Doe, John\" NIL \"john\" \"example.org\")) \
             ((\"Doe, John\" NIL \"john\" \"example.org\")) \
             ((NIL NIL \"ada\" \"acme.example\")(\"Bob\" NIL \"bob\" \"acme.example\")) NIL NIL NIL \
             \"<nested@example.org>\"))"
        )]
    );
    assert_eq!(
        ok(&mut client, "FETCH 1 BODYSTRUCTURE").await,
        [
            "1 FETCH (BODYSTRUCTURE ((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7BIT\" 5 0 NIL NIL NIL NIL)\
          (\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 47 (NIL \"inner\" ((NIL NIL \"eve\" \"example.net\")) \
          ((NIL NIL \"eve\" \"example.net\")) ((NIL NIL \"eve\" \"example.net\")) NIL NIL NIL NIL NIL) \
          (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 6 0 NIL NIL NIL NIL) 3 NIL NIL NIL NIL) \
          \"mixed\" (\"boundary\" \"outer\") NIL NIL NIL))"
        ]
    );
    let body = ok(&mut client, "FETCH 1 BODY").await;
    assert!(
        body[0]
            .starts_with("1 FETCH (BODY ((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7BIT\" 5 0)("),
        "{body:?}"
    );
    assert!(body[0].ends_with(" 3) \"mixed\"))"), "{body:?}");
    assert_eq!(ok(&mut client, "FETCH 1 FAST").await.len(), 1);
    // None of it needs the body: it can be out of reach.
    lose_all_bodies(&server).await;
    assert!(ok(&mut client, "FETCH 1 (ENVELOPE BODYSTRUCTURE)").await[0].contains("nested@example.org"));
    refused(&mut client, "FETCH 1 BODY.PEEK[]", "NO").await;
    ok(&mut client, "NOOP").await;
}

async fn section(client: &mut Client, name: &str) -> String {
    let told = ok(client, &format!("FETCH 1 BODY.PEEK[{name}]")).await.remove(0);
    let shown = name.split('<').next().unwrap_or_default();
    let rest = told.split_once(&format!("BODY[{shown}")).unwrap().1;
    let literal = rest.split_once("}\r\n");
    literal.map_or_else(|| "NIL".to_owned(), |(_, text)| text.strip_suffix(')').unwrap().to_owned())
}

#[tokio::test]
async fn sections_are_those_of_the_rfc() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[NESTED]).await;
    let mut client = server.inbox(&ada).await;
    let whole = String::from_utf8(NESTED.to_vec()).unwrap();
    let (header, text) = whole.split_once("\r\n\r\n").unwrap();
    for (name, wanted) in [
        ("", whole.as_str()),
        ("HEADER", &format!("{header}\r\n\r\n")),
        ("TEXT", text),
        ("1", "hello"),
        ("1.MIME", "Content-Type: text/plain; charset=utf-8\r\n\r\n"),
        ("2.HEADER", "Subject: inner\r\nFrom: eve@example.net\r\n\r\n"),
        ("2.TEXT", "inside"),
        ("2.1", "inside"),
        ("3", "NIL"),
        ("1.HEADER", "NIL"),
        ("HEADER.FIELDS (message-id X-None)", "Message-ID: <nested@example.org>\r\n\r\n"),
        ("2.HEADER.FIELDS.NOT (Subject)", "From: eve@example.net\r\n\r\n"),
    ] {
        assert_eq!(section(&mut client, name).await, wanted, "{name}");
    }
    for (partial, wanted) in [
        ("BODY.PEEK[TEXT]<2.5>", "1 FETCH (BODY[TEXT]<2> {5}\r\noutte)"),
        ("BODY.PEEK[1]<3.100>", "1 FETCH (BODY[1]<3> {2}\r\nlo)"),
        ("BODY.PEEK[1]<9.1>", "1 FETCH (BODY[1]<9> {0}\r\n)"),
    ] {
        let wanted = wanted.replace("outte", "outer");
        assert_eq!(ok(&mut client, &format!("FETCH 1 {partial}")).await, [wanted]);
    }
    let old = ok(&mut client, "FETCH 1 (RFC822.HEADER)").await;
    assert_eq!(old, [format!("1 FETCH (RFC822.HEADER {{{}}}\r\n{header}\r\n\r\n)", header.len() + 4)]);
    for bad in ["BODY[MIME]", "BODY[0]", "BODY[HEADER.FIELDS ()]", "BODY[TEXT]<1.0>", "NOTHING"] {
        refused(&mut client, &format!("FETCH 1 {bad}"), "BAD").await;
    }
}

#[tokio::test]
async fn reading_marks_as_seen_and_peeking_does_not() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "FETCH 1:2 (BODY.PEEK[] RFC822.HEADER)").await;
    assert_eq!(ok(&mut client, "FETCH 1:2 FLAGS").await, ["1 FETCH (FLAGS ())", "2 FETCH (FLAGS ())"]);
    let told = ok(&mut client, "UID FETCH 2 BODY[TEXT]").await;
    assert_eq!(told, ["2 FETCH (UID 2 FLAGS (\\Seen) BODY[TEXT] {14}\r\nThis is two.\r\n)"]);
    // Its own change is no news to it.
    assert_eq!(ok(&mut client, "NOOP").await, [""; 0]);
    assert_eq!(ok(&mut client, "FETCH * (FLAGS)").await, ["2 FETCH (FLAGS (\\Seen))"]);
}

#[tokio::test]
async fn sets_name_messages_by_number_and_by_uid() {
    let server = Server::start().await;
    let messages: Vec<Vec<u8>> = (1..=6).map(|at| message(&at.to_string())).collect();
    let all: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &all).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(ok(&mut client, "EXPUNGE").await, ["3 EXPUNGE", "1 EXPUNGE"]);
    let uids = async |client: &mut Client, command: &str| -> Vec<String> {
        let lines = ok(client, command).await;
        lines.iter().map(|line| line.replace(" FETCH (UID ", "=").replace(')', "")).collect()
    };
    assert_eq!(uids(&mut client, "FETCH 1:* UID").await, ["1=2", "2=4", "3=5", "4=6"]);
    assert_eq!(uids(&mut client, "UID FETCH 1:4 UID").await, ["1=2", "2=4"]);
    assert_eq!(uids(&mut client, "UID FETCH 100:* UID").await, ["4=6"]);
    assert_eq!(uids(&mut client, "FETCH 3:2,*,4 UID").await, ["2=4", "3=5", "4=6"]);
    assert!(uids(&mut client, "UID FETCH 1,3 UID").await.is_empty());
    refused(&mut client, "FETCH 5 UID", "BAD").await;
    refused(&mut client, "FETCH 0 UID", "BAD").await;
    ok(&mut client, "SELECT Drafts").await;
    assert!(uids(&mut client, "FETCH 1:* UID").await.is_empty());
    assert!(uids(&mut client, "UID FETCH 1:* UID").await.is_empty());
}

#[tokio::test]
async fn hundreds_of_pipelined_commands_are_answered_in_their_order() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    let mut client = server.inbox(&ada).await;
    let all: String =
        (0..500).map(|at| format!("p{at} UID FETCH {} (FLAGS BODY.PEEK[])\r\n", 1 + at % 2)).collect();
    client.send(all.as_bytes()).await.unwrap();
    for at in 0..500 {
        let answer = client.answer(&format!("p{at}")).await.unwrap();
        assert!(answer.has(["Subject: one", "Subject: two"][at % 2]), "{answer:?}");
    }
}

#[tokio::test]
async fn one_that_cannot_be_read_keeps_no_other_from_being_told_and_is_not_seen_for_it() {
    let server = Server::start().await;
    let messages = ["one", "two", "three"].map(message);
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let mut client = server.inbox(&ada).await;
    // Each was delivered alone, into a pack of its own.
    let blobs = server.store.blobs();
    let keys = blobs.list(&blob::KeyPrefix::All, None).await.unwrap().keys;
    let mut packs: Vec<_> =
        keys.into_iter().filter(|key| matches!(key, blob::BlobKey::Pack { .. })).collect();
    packs.sort_by_key(ToString::to_string);
    assert_eq!(packs.len(), 3);
    blobs.delete(&packs[1]).await.unwrap();
    let answer = client.command("FETCH 1:3 BODY[]").await.unwrap();
    assert!(answer.status.starts_with("NO [SERVERBUG]"), "{answer:?}");
    assert!(
        answer.has("Subject: one") && answer.has("Subject: three") && !answer.has("Subject: two"),
        "{answer:?}"
    );
    let flags = ok(&mut client, "FETCH 1:3 FLAGS").await;
    assert_eq!(flags, ["1 FETCH (FLAGS (\\Seen))", "2 FETCH (FLAGS ())", "3 FETCH (FLAGS (\\Seen))"]);
}

#[tokio::test]
async fn what_is_looked_up_for_the_next_messages_is_no_older_than_what_is_known() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[b"Subject: hello\r\n\r\nbody\r\n".as_slice(); 7]).await;
    let (mut client, mut other) = (server.inbox(&ada).await, server.inbox(&ada).await);
    for number in 1..=2 {
        let told = ok(&mut client, &format!("FETCH {number} (UID FLAGS)")).await;
        assert_eq!(told, [format!("{number} FETCH (UID {number} FLAGS ())")]);
    }
    ok(&mut other, "STORE 3 +FLAGS.SILENT (\\Flagged)").await;
    let told = ok(&mut client, "FETCH 3 (UID FLAGS)").await;
    assert_eq!(told[0], "3 FETCH (UID 3 FLAGS (\\Flagged))");
    assert_eq!(ok(&mut client, "FETCH 4 (UID)").await, ["4 FETCH (UID 4)"]);
    ok(&mut other, "STORE 5 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut other, "EXPUNGE").await;
    assert_eq!(ok(&mut client, "FETCH 5 (UID)").await, [""; 0]);
    assert_eq!(ok(&mut client, "FETCH 6 (UID)").await, ["6 FETCH (UID 6)"]);
    assert_eq!(ok(&mut client, "NOOP").await, ["5 EXPUNGE"]);
    for number in 4..=5 {
        ok(&mut client, &format!("FETCH {number} (UID)")).await;
    }
    let told = ok(&mut client, "FETCH 1:6 BODY[1]<0.1>").await;
    assert_eq!(told.len(), 6);
    let told = ok(&mut client, "FETCH 6 (UID FLAGS)").await;
    assert_eq!(told, ["6 FETCH (UID 7 FLAGS (\\Seen))"]);
}

#[tokio::test]
async fn messages_that_are_read_one_after_the_other_are_seen_each() {
    let server = Server::start().await;
    let mails: Vec<Vec<u8>> = (1..=8)
        .map(|number| {
            let body = format!("body {number}\r\n").repeat(if number == 4 { 200_000 } else { number });
            format!("Subject: mail {number}\r\n\r\n{body}").into_bytes()
        })
        .collect();
    let mails: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &mails).await;
    let (mut client, mut other) = (server.inbox(&ada).await, server.inbox(&ada).await);
    for (number, mail) in (1..=8).zip(&mails) {
        if number == 6 {
            ok(&mut other, "STORE 6 +FLAGS.SILENT (\\Deleted)").await;
            ok(&mut other, "EXPUNGE").await;
            assert_eq!(ok(&mut client, "FETCH 6 (BODY[])").await, [""; 0]);
            continue;
        }
        let (header, text) = mail.split_at(19);
        let header = std::str::from_utf8(header).unwrap();
        let told = ok(&mut client, &format!("FETCH {number} (FLAGS BODY[TEXT]<0.40>)")).await;
        let text = std::str::from_utf8(&text[..text.len().min(40)]).unwrap();
        let size = text.len();
        assert_eq!(told[0], format!("{number} FETCH (FLAGS (\\Seen) BODY[TEXT]<0> {{{size}}}\r\n{text})"));
        if number % 2 == 0 {
            continue;
        }
        let told = ok(&mut client, &format!("FETCH {number} (FLAGS BODY.PEEK[HEADER])")).await;
        assert_eq!(told, [format!("{number} FETCH (FLAGS (\\Seen) BODY[HEADER] {{19}}\r\n{header})")]);
    }
    ok(&mut client, "NOOP").await;
    for number in 1..=7 {
        let told = ok(&mut client, &format!("FETCH {number} (BODY.PEEK[])")).await;
        let mail = mails[if number < 6 { number - 1 } else { number }];
        let (size, mail) = (mail.len(), std::str::from_utf8(mail).unwrap());
        assert_eq!(told, [format!("{number} FETCH (BODY[] {{{size}}}\r\n{mail})")]);
    }
    let seen = ok(&mut other, "SEARCH SEEN").await;
    assert!(seen.iter().any(|line| line == "SEARCH 1 2 3 4 5 6 7"), "{seen:?}");
}

#[tokio::test]
async fn structures_that_were_not_kept_are_made_anew() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[NESTED]).await;
    let mut client = server.inbox(&ada).await;
    let told = ok(&mut client, "FETCH 1 (ENVELOPE BODYSTRUCTURE)").await;
    let of_another =
        "update message_outlines set version = version - 1, structure = '{}' where tenant_id = $1";
    in_its_tenant(&server, of_another).await;
    assert_eq!(ok(&mut client, "FETCH 1 (ENVELOPE BODYSTRUCTURE)").await, told);
    let kept =
        "select count(*) from message_outlines where tenant_id = $1 and version = 1 and structure <> '{}'";
    let mut tx = server.world.ctx.begin().await.unwrap();
    let tenant = tx.tenant_id().uuid();
    let kept: i64 = sqlx::query_scalar(kept).bind(tenant).fetch_one(tx.conn()).await.unwrap();
    assert_eq!(kept, 1);
}

async fn in_its_tenant(server: &Server, statement: &'static str) {
    let mut tx = server.world.ctx.begin().await.unwrap();
    let tenant = tx.tenant_id().uuid();
    sqlx::query(statement).bind(tenant).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

async fn lose_all_bodies(server: &Server) {
    let blobs = server.store.blobs();
    for key in &blobs.list(&blob::KeyPrefix::All, None).await.unwrap().keys {
        blobs.delete(key).await.unwrap();
    }
}

#[tokio::test]
async fn previews_are_the_beginning_of_the_text_and_neither_need_the_body_nor_mark_as_seen() {
    let server = Server::start().await;
    let long = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n", "ü".repeat(300));
    let messages: [&[u8]; 5] = [
        NESTED,
        long.as_bytes(),
        b"Subject: html\r\nContent-Type: text/html\r\n\r\n<style>p { color: red }</style><p>Say <b>hi</b></p>\r\n",
        b"Subject: file\r\nContent-Type: application/octet-stream\r\n\r\nabc\r\n",
        b"Subject: empty\r\n\r\n \r\n",
    ];
    let ada = server.user_with("ada", &messages).await;
    let mut client = server.inbox(&ada).await;
    assert!(ok(&mut client, "CAPABILITY").await[0].split(' ').any(|name| name == "PREVIEW"));
    lose_all_bodies(&server).await;
    let wanted = [
        "1 FETCH (PREVIEW \"hello\")".to_owned(),
        format!("2 FETCH (PREVIEW {{400}}\r\n{})", "ü".repeat(200)),
        "3 FETCH (PREVIEW \"Say hi\")".to_owned(),
        "4 FETCH (PREVIEW \"\")".to_owned(),
        "5 FETCH (PREVIEW \"\")".to_owned(),
    ];
    assert_eq!(ok(&mut client, "FETCH 1:5 PREVIEW").await, wanted);
    assert_eq!(ok(&mut client, "FETCH 1:5 (PREVIEW (LAZY))").await, wanted);
    let told = ok(&mut client, "UID FETCH 1 (FLAGS PREVIEW ENVELOPE)").await;
    assert!(told[0].starts_with("1 FETCH (UID 1 FLAGS () PREVIEW \"hello\" ENVELOPE ("), "{told:?}");
    assert_eq!(ok(&mut client, "FETCH 4 (PREVIEW (LAZY) FLAGS)").await, ["4 FETCH (PREVIEW \"\" FLAGS ())"]);
    assert_eq!(ok(&mut client, "SEARCH SEEN").await, ["SEARCH"]);
}

#[tokio::test]
async fn a_preview_that_is_not_kept_is_made_for_whoever_waits_for_it() {
    let server = Server::start().await;
    let messages = ["one", "two", "three"].map(message);
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let mut client = server.inbox(&ada).await;
    in_its_tenant(&server, "delete from message_outlines where tenant_id = $1").await;
    let lazy = ok(&mut client, "FETCH 1:3 PREVIEW (LAZY)").await;
    assert_eq!(lazy, ["1 FETCH (PREVIEW NIL)", "2 FETCH (PREVIEW NIL)", "3 FETCH (PREVIEW NIL)"]);
    assert_eq!(ok(&mut client, "FETCH 2 PREVIEW").await, ["2 FETCH (PREVIEW \"This is two.\")"]);
    // Now it is kept.
    let lazy = ok(&mut client, "FETCH 1:2 PREVIEW (LAZY)").await;
    assert_eq!(lazy, ["1 FETCH (PREVIEW NIL)", "2 FETCH (PREVIEW \"This is two.\")"]);
    let both = ok(&mut client, "FETCH 3 (PREVIEW (LAZY) PREVIEW)").await;
    assert_eq!(both, ["3 FETCH (PREVIEW \"This is three.\" PREVIEW \"This is three.\")"]);
    // RFC 8970 §3.2: of what cannot be read there is none, and that is not NIL.
    lose_all_bodies(&server).await;
    assert_eq!(ok(&mut client, "FETCH 1 PREVIEW").await, ["1 FETCH (PREVIEW \"\")"]);
    assert_eq!(ok(&mut client, "FETCH 1:3 FLAGS").await.len(), 3);
}

#[tokio::test]
async fn many_previews_are_told_whether_all_some_or_none_are_kept() {
    let server = Server::start().await;
    let messages: Vec<Vec<u8>> = (1..=103).map(|at| message(&at.to_string())).collect();
    let ada = server.user_with("ada", &messages.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let mut client = server.inbox(&ada).await;
    let wanted: Vec<_> =
        (1..=103).map(|at| format!("{at} FETCH (PREVIEW \"This is {at}.\" FLAGS ())")).collect();
    assert_eq!(ok(&mut client, "FETCH 1:* (PREVIEW FLAGS)").await, wanted);
    let of_twos = "delete from message_outlines where tenant_id = $1 and parsed ->> 'preview' like '%2.'";
    in_its_tenant(&server, of_twos).await;
    assert_eq!(ok(&mut client, "FETCH 1:* (PREVIEW FLAGS)").await, wanted);
    in_its_tenant(&server, "delete from message_outlines where tenant_id = $1").await;
    assert_eq!(ok(&mut client, "FETCH 1:* (PREVIEW FLAGS)").await, wanted);
    lose_all_bodies(&server).await;
    assert_eq!(ok(&mut client, "FETCH 1:* (PREVIEW FLAGS)").await, wanted, "all are kept again");
}

#[tokio::test]
async fn each_item_is_told_once_and_nuls_go_out_as_no_text() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[b"Subject: nul\r\n\r\na\0b\r\n"]).await;
    let mut client = server.inbox(&ada).await;
    assert_eq!(ok(&mut client, "FETCH 1 (UID UID FLAGS UID)").await, ["1 FETCH (UID 1 FLAGS ())"]);
    let many: Vec<String> = (0..101).map(|at| format!("BODY.PEEK[]<{at}.1>")).collect();
    refused(&mut client, &format!("FETCH 1 ({})", many.join(" ")), "BAD").await;
    let told = ok(&mut client, "FETCH 1 BODY.PEEK[TEXT]").await;
    assert_eq!(told, ["1 FETCH (BODY[TEXT] {5}\r\na\u{fffd}b\r\n)"]);
}

#[tokio::test]
async fn fields_are_chosen_from_a_header_of_any_length() {
    let server = Server::start().await;
    let long = "X-Long: 0123456789\r\n".repeat(10_000);
    let text = format!("Subject: one\r\n{long}Subject: two\r\n\r\nbody\r\n");
    let ada = server.user_with("ada", &[text.as_bytes()]).await;
    let mut client = server.inbox(&ada).await;
    let told = ok(
        &mut client,
        "FETCH 1 (BODY.PEEK[HEADER.FIELDS (subject)] BODY.PEEK[HEADER.FIELDS.NOT (subject)])",
    )
    .await;
    let wanted = format!(
        "1 FETCH (BODY[HEADER.FIELDS (subject)] {{30}}\r\nSubject: one\r\nSubject: two\r\n\r\n \
         BODY[HEADER.FIELDS.NOT (subject)] {{{}}}\r\n{long}\r\n)",
        long.len() + 2
    );
    assert!(told == [wanted], "{}", &told[0][..200]);
    let part = ok(&mut client, "FETCH 1 BODY.PEEK[HEADER.FIELDS (subject)]<9.3>").await;
    assert_eq!(part, ["1 FETCH (BODY[HEADER.FIELDS (subject)]<9> {3}\r\none)"]);
}

#[tokio::test]
async fn structures_that_are_not_in_memory_together_are_told_all_the_same() {
    let server = Server::start().await;
    // Each has some hundred KiB of it, so that a few are told at a time; one has more than is told at a time.
    let wide = |parts: usize| {
        let part = format!("--b\r\nContent-Type: text/plain; name=\"{}\"\r\n\r\n\r\n", "x".repeat(1_000));
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n", part.repeat(parts))
            .into_bytes()
    };
    let messages: Vec<Vec<u8>> = (0..12).map(|at| wide(if at == 5 { 990 } else { 200 })).collect();
    let all: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &all).await;
    let mut client = server.inbox(&ada).await;
    for round in 0..2 {
        let told = ok(&mut client, "FETCH 1:* (UID BODYSTRUCTURE)").await;
        assert_eq!(told.len(), 12, "{round}");
        for (at, line) in told.iter().enumerate() {
            assert!(
                line.starts_with(&format!("{0} FETCH (UID {0} BODYSTRUCTURE (", at + 1)),
                "{}",
                &line[..80]
            );
            assert_eq!(line.matches("\"plain\"").count(), if at == 5 { 990 } else { 200 }, "{round}: {at}");
        }
        let mut tx = server.world.ctx.begin().await.unwrap();
        let tenant = tx.tenant_id().uuid();
        let forget = sqlx::query("delete from message_outlines where tenant_id = $1").bind(tenant);
        assert_eq!(forget.execute(tx.conn()).await.unwrap().rows_affected(), 12);
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn messages_have_ids_of_their_own_and_of_no_thread() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one")]).await;
    let mut client = server.inbox(&ada).await;
    assert_eq!(ok(&mut client, "FETCH 1 THREADID").await, ["1 FETCH (THREADID NIL)"]);
    let told = ok(&mut client, "UID FETCH 1 (THREADID EMAILID)").await;
    assert!(told[0].starts_with("1 FETCH (UID 1 THREADID NIL EMAILID ("), "{told:?}");
    assert_eq!(ok(&mut client, "SEARCH THREADID T1").await, ["SEARCH"]);
}
