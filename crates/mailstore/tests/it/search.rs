//! Searching says what looking at every message says: by the index, before it knows a message, and of nobody else's.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use kernel::{MailboxId, MessageId, PageRequest};
use mailstore::message::{self, Filter, Flag, FlagChange, Flags, State};
use mailstore::search::index::{self, Indexed, LEASE};
use mailstore::search::{self, Day, Needle, Query};
use mailstore::{Error, folder};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Connection as _;

use crate::support::{Bench, RECOVERABLE, inbox};

/// A message, and what it says as a person reads it.
struct Sample {
    bytes: String,
    subject: &'static str,
    from: &'static str,
    to: &'static str,
    /// Name and what it says, of another field.
    other: Option<(&'static str, &'static str)>,
    date: Option<NaiveDate>,
    /// Parts and names.
    says: Vec<&'static str>,
    seen: bool,
}

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 11, day).unwrap()
}

fn sample(subject: &'static str, from: &'static str, says: &'static str) -> Sample {
    Sample {
        bytes: String::new(),
        subject,
        from,
        to: "bob@acme.example",
        other: None,
        date: None,
        says: vec![says],
        seen: false,
    }
}

/// Encoded words, charsets, transfer encodings, HTML and names of files.
fn samples() -> Vec<Sample> {
    let plain = |subject, from, says| {
        let of = sample(subject, from, says);
        Sample {
            bytes: format!("From: {from}\r\nTo: bob@acme.example\r\nSubject: {subject}\r\n\r\n{says}\r\n"),
            ..of
        }
    };
    vec![
        plain("Flour for Monday", "Ada Lovelace <ada@bakery.example>", "Could you bring two bags"),
        plain("Re: Flour", "bob@acme.example", "two bags of flour, as you said. Übermorgen?"),
        Sample {
            bytes: "From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <jm@example.org>\r\nTo: bob@acme.example\r\nSubject: =?utf-8?b?R3LDvMOfZSBhdXM=?= =?utf-8?q?_M=C3=BCnchen?=\r\n\
                Date: Thu, 20 Nov 2025 23:03:07 -0500\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=FC=DFe vom B=\r\n=E4cker\r\n".into(),
            date: Some(day(20)),
            ..sample("Grüße aus München", "Jürgen Müller <jm@example.org>", "Schöne Grüße vom Bäcker")
        },
        Sample {
            bytes: "From: shop@bakery.example\r\nTo: bob@acme.example\r\nSubject: Invoice\r\nX-Mailer: Bäckerpost 3\r\nDate: Fri, 21 Nov 2025 10:00:00 +0000\r\n\
                Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
                PHA+SWhyZSA8Yj5SZWNobnVuZzwvYj4gaXN0IGRhPC9wPg==\r\n--b\r\nContent-Type: application/pdf\r\n\
                Content-Disposition: attachment; filename=\"Rechnung-42.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nZmxvdXI=\r\n\
                --b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=secret.txt\r\n\r\nmarmalade\r\n--b--\r\n".into(),
            other: Some(("X-Mailer", "Bäckerpost 3")),
            date: Some(day(21)),
            says: vec!["Ihre Rechnung ist da", "Rechnung-42.pdf", "secret.txt"],
            ..sample("Invoice", "shop@bakery.example", "")
        },
        Sample {
            bytes: "From: ada@bakery.example\r\nTo: bob@acme.example\r\nSubject: =?utf-8?b?5p2x5Lqs44Gu5pyd?=\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                cafe\u{301} in 東京タワー\r\n".into(),
            seen: true,
            ..sample("東京の朝", "ada@bakery.example", "café in 東京タワー")
        },
        Sample { seen: true, ..plain("100% _done_ \\ 'quoted'", "bob@acme.example", "a%b c_d aaa") },
    ]
}

/// What a reader would say; written without a thought of how it is searched.
fn naive(of: &Sample, query: &Query) -> bool {
    use unicode_normalization::UnicodeNormalization as _;
    let plain = |text: &str| text.nfkd().collect::<String>().to_lowercase().replace('ß', "ss");
    let has = |text: &str, needle: &Needle| plain(text).contains(&written(needle));
    let fields = || {
        let mut fields = vec![("from", of.from), ("to", of.to), ("subject", of.subject)];
        fields.extend(of.other);
        fields
    };
    match query {
        Query::And(all) => all.iter().all(|query| naive(of, query)),
        Query::Or(any) => any.iter().any(|query| naive(of, query)),
        Query::Not(query) => !naive(of, query),
        Query::Field { name, says } => {
            fields().iter().any(|(of, text)| plain(of) == written(name) && has(text, says))
        }
        Query::Body(text) => of.says.iter().any(|says| has(says, text)),
        Query::Text(text) => {
            let header = of.bytes.split("\r\n\r\n").next().unwrap().lines();
            let others =
                header.filter(|line| !["From:", "To:", "Subject:"].iter().any(|name| line.starts_with(name)));
            of.says.iter().any(|says| has(says, text))
                || fields().iter().any(|(name, says)| has(&format!("{name}: {says}"), text))
                || others.into_iter().any(|line| has(line, text))
        }
        Query::Word(word) => {
            let words = |text: &str| {
                plain(text)
                    .split(|c: char| !(c.is_alphanumeric() || c == '\u{301}' || c == '\u{308}'))
                    .any(|one| one == written(word))
            };
            of.says.iter().copied().chain([of.subject, of.from, of.to]).any(words)
        }
        Query::Sent(Day::Before(day)) => of.date.is_some_and(|date| date < *day),
        Query::Sent(Day::On(day)) => of.date.is_some_and(|date| date == *day),
        Query::Sent(Day::Since(day)) => of.date.is_some_and(|date| date >= *day),
        Query::Larger(bytes) => of.bytes.len() as u64 > *bytes,
        Query::Smaller(bytes) => (of.bytes.len() as u64) < *bytes,
        Query::Flag(Flag::Seen) => of.seen,
        other => panic!("no sample has {other:?}"),
    }
}

/// A needle as it is compared.
fn written(needle: &Needle) -> String {
    needle.as_str().to_owned()
}

/// Trees over texts that some sample has, and some that none has.
fn queries() -> impl Strategy<Value = Query> {
    let text = prop::sample::select(vec![
        "flour",
        "FLOUR",
        "Grüße",
        "GRÜSSE",
        "bäcker",
        "two bags",
        "ag",
        "",
        "a",
        "Rechnung",
        "42.pdf",
        "marmalade",
        "東京",
        "東京タ",
        "café",
        "%",
        "a%b",
        "c_d",
        "\\",
        "'quoted'",
        "aaa",
        "ada@bakery",
        "example.org>",
        "mailer",
        "subject",
        "übermorgen",
        "nothing of it",
        "München",
        "bob",
    ])
    .prop_map(Needle::new);
    let word = prop::sample::select(vec![
        "flour", "two", "bag", "bags", "grüße", "rechnung", "café", "cafe", "bakery", "lovelace", "of",
        "nowhere",
    ]);
    let days = (19_u32..23, 0..3).prop_map(|(of, kind)| match kind {
        0 => Day::Before(day(of)),
        1 => Day::On(day(of)),
        _ => Day::Since(day(of)),
    });
    let name = prop::sample::select(vec!["From", "to", "SUBJECT", "cc", "X-Mailer"]).prop_map(Needle::new);
    let leaf = prop_oneof![
        3 => (name, text.clone()).prop_map(|(name, says)| Query::Field { name, says }),
        2 => text.clone().prop_map(Query::Body),
        3 => text.prop_map(Query::Text),
        2 => word.prop_map(|word| Query::Word(Needle::new(word))),
        1 => days.prop_map(Query::Sent),
        1 => (50_u64..600).prop_map(Query::Larger),
        1 => (50_u64..600).prop_map(Query::Smaller),
        1 => Just(Query::Flag(Flag::Seen)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            some.clone().prop_map(Query::And),
            some.prop_map(Query::Or),
            inner.prop_map(|query| Query::Not(Box::new(query)))
        ]
    })
}

async fn index(bench: &Bench) -> Indexed {
    index::run(&bench.store, &bench.world.test_db.db()).await.unwrap()
}

/// The ids that are found, by pages of two.
async fn found(bench: &Bench, mailbox: MailboxId, query: &Query) -> Vec<MessageId> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = PageRequest::new(Some(2), cursor);
        let page = search::messages(&bench.store, bench.ctx(), mailbox, Filter::default(), query, &page)
            .await
            .unwrap();
        ids.extend(page.items.iter().map(|message| message.id));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

async fn subjects(bench: &Bench, mailbox: MailboxId, query: &Query) -> Vec<String> {
    let mut subjects = Vec::new();
    for id in found(bench, mailbox, query).await {
        let message = message::get(bench.ctx(), mailbox, id).await.unwrap();
        subjects.push(bench.parsed(&message).await.subject.unwrap_or_default());
    }
    subjects
}

fn text(text: &str) -> Query {
    Query::Text(Needle::new(text))
}

#[tokio::test]
async fn says_what_looking_at_every_message_says() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let samples = samples();
    let mut by_id = BTreeMap::new();
    for (at, sample) in samples.iter().enumerate() {
        bench.world.test_db.clock().advance(TimeDelta::milliseconds(1));
        let id = bench.stored(ada, sample.bytes.as_bytes()).await;
        bench.stored(bob, sample.bytes.as_bytes()).await;
        let seen =
            Flags { flags: sample.seen.then_some(Flag::Seen).into_iter().collect(), ..Flags::default() };
        message::flag(
            &bench.store,
            bench.ctx(),
            ada,
            &[id],
            &FlagChange { add: seen, ..FlagChange::default() },
        )
        .await
        .unwrap();
        by_id.insert(id, sample);
        // Half of them are indexed, the others are not yet.
        if at == samples.len() / 2 {
            assert!(index(&bench).await.bodies >= 4);
        }
    }
    let folder = inbox(&bench, ada).await.id;
    let mut runner = TestRunner::new(Config::default());
    let mut hits = 0;
    for round in 0..2 {
        for _ in 0..testkit::cases(200) {
            let query = queries().new_tree(&mut runner).unwrap().current();
            let expected: Vec<_> =
                by_id.iter().filter(|(_, sample)| naive(sample, &query)).map(|(id, _)| *id).collect();
            assert_eq!(found(&bench, ada, &query).await, expected, "{query:?} in round {round}");
            let uids = search::uids(&bench.store, bench.ctx(), ada, folder, &query).await.unwrap();
            assert_eq!(uids.len(), expected.len(), "{query:?}");
            hits += usize::from(!expected.is_empty() && expected.len() < samples.len());
        }
        index(&bench).await;
    }
    assert!(hits > 20, "{hits}");
    assert_eq!(index::waiting(&bench.world.test_db.db()).await.unwrap(), 0);
}

#[tokio::test]
async fn goes_by_numbers_and_days_too() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for number in 1..=3 {
        bench.world.test_db.clock().advance(TimeDelta::days(1));
        bench.stored(ada, format!("Subject: {number}\r\n\r\n").as_bytes()).await;
    }
    let all = bench.list(ada, State::Live).await;
    let last = all[2].internal_date.date_naive();
    let expect = async |query: Query, expected: &[&str]| {
        assert_eq!(subjects(&bench, ada, &query).await, expected, "{query:?}")
    };
    expect(Query::Received(Day::Before(last)), &["1", "2"]).await;
    expect(Query::Received(Day::On(last)), &["3"]).await;
    expect(Query::Received(Day::Since(last.pred_opt().unwrap())), &["2", "3"]).await;
    expect(Query::Uids(vec![1..=1, 3..=9]), &["1", "3"]).await;
    expect(Query::ModSeq(all[1].modseq), &["2", "3"]).await;
    let keyword: message::Keyword = "$Work".parse().unwrap();
    let add = Flags { keywords: [keyword].into(), ..Flags::default() };
    message::flag(&bench.store, bench.ctx(), ada, &[all[1].id], &FlagChange { add, ..FlagChange::default() })
        .await
        .unwrap();
    expect(Query::Keyword("$WORK".parse().unwrap()), &["2"]).await;
    message::discard(&bench.store, bench.ctx(), ada, all[0].id).await.unwrap();
    expect(Query::And(vec![]), &["2", "3"]).await;
    expect(Query::Or(vec![]), &[]).await;
}

#[tokio::test]
async fn finds_nothing_of_anybody_else() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let (other, carol) = bench.neighbour().await;
    let secret = b"Subject: marmalade\r\n\r\nmarmalade\r\n";
    bench.stored(bob, secret).await;
    let target = mailstore::ingest::Target {
        ctx: other.clone(),
        mailbox_id: carol,
        folder: mailstore::ingest::Within::Inbox,
        room_bytes: None,
    };
    mailstore::ingest::ingest(&bench.store, vec![target], bench.incoming(secret)).await.remove(0).unwrap();
    bench.stored(ada, b"Subject: other\r\n\r\n").await;
    let page = PageRequest::new(None, None);
    for _ in 0..2 {
        assert!(found(&bench, ada, &text("marmalade")).await.is_empty());
        assert!(found(&bench, ada, &text("ma")).await.is_empty());
        assert_eq!(found(&bench, bob, &text("marmalade")).await.len(), 1);
        let foreign =
            search::messages(&bench.store, &other, bob, Filter::default(), &text("marmalade"), &page).await;
        assert!(matches!(foreign, Err(Error::NotFound)), "{foreign:?}");
        index(&bench).await;
    }
    let folder = inbox(&bench, bob).await.id;
    let misplaced = search::uids(&bench.store, bench.ctx(), ada, folder, &text("marmalade")).await;
    assert!(matches!(misplaced, Err(Error::FolderNotFound)));
}

/// How many rows each table of the index has.
async fn rows(bench: &Bench) -> (i64, i64, i64) {
    let mut connection = elsewhere(bench).await;
    sqlx::query_as("select (select count(*) from search_queue), (select count(*) from message_texts), (select count(*) from message_grams)")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn copies_are_found_and_what_is_purged_leaves_nothing() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    let id = bench.stored(ada, b"Subject: marmalade\r\n\r\n").await;
    assert_eq!(index(&bench).await, Indexed { bodies: 1, ..Indexed::default() });
    message::copy(&bench.store, bench.ctx(), ada, &[id], message::Target { mailbox_id: bob, folder: None })
        .await
        .unwrap();
    let copied = found(&bench, bob, &text("marmalade")).await;
    assert_eq!((copied.len(), rows(&bench).await), (1, (1, 1, 1)), "found before it is indexed");
    index(&bench).await;
    assert_eq!((found(&bench, bob, &text("marmalade")).await, rows(&bench).await), (copied, (0, 1, 2)));

    message::discard(&bench.store, bench.ctx(), ada, id).await.unwrap();
    bench.world.test_db.clock().advance(RECOVERABLE + TimeDelta::seconds(1));
    bench.sweep_out().await;
    assert_eq!(rows(&bench).await, (0, 1, 1), "the body is bob's too");
    let theirs = bench.list(bob, State::Live).await.remove(0).id;
    bench.stored(ada, b"Subject: jam\r\n\r\n").await;
    let queued = bench.list(ada, State::Live).await.remove(0).id;
    message::discard(&bench.store, bench.ctx(), bob, theirs).await.unwrap();
    message::discard(&bench.store, bench.ctx(), ada, queued).await.unwrap();
    bench.world.test_db.clock().advance(RECOVERABLE + TimeDelta::seconds(1));
    bench.sweep_out().await;
    assert_eq!(rows(&bench).await, (0, 0, 0));
}

#[tokio::test]
async fn a_body_that_nobody_can_read_holds_nothing_up() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, b"Subject: first\r\n\r\n").await;
    let key = bench.blobs.packs().await.remove(0);
    bench.stored(ada, b"Subject: second\r\n\r\n").await;
    bench.blobs.land(&key, vec![0; 4_096]).await;
    for _ in 0..2 {
        assert_eq!(subjects(&bench, ada, &text("second")).await, ["second"]);
        assert!(subjects(&bench, ada, &text("first")).await.is_empty());
        index(&bench).await;
    }
    assert_eq!(rows(&bench).await, (0, 2, 2));
}

#[tokio::test]
async fn a_body_that_is_away_is_tried_again_and_fails_no_search() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let other = bench.stored(ada, b"Subject: here\r\n\r\nmarmalade\r\n").await;
    let before = bench.blobs.packs().await;
    bench.stored(ada, b"Subject: away\r\n\r\nmarmalade\r\n").await;
    let key = bench.blobs.packs().await.into_iter().find(|key| !before.contains(key)).unwrap();
    let bytes = blob::BlobStore::get(bench.blobs.as_ref(), &key).await.unwrap();
    blob::BlobStore::delete(bench.blobs.as_ref(), &key).await.unwrap();
    let clock = bench.world.test_db.clock();
    for attempt in 0..8 {
        let done = index(&bench).await;
        assert_eq!((done.bodies, done.failed), (u64::from(attempt == 0), 1), "{attempt}");
        assert_eq!(index(&bench).await, Indexed::default(), "it rests");
        assert_eq!(subjects(&bench, ada, &text("marmalade")).await, ["here"]);
        clock.advance(LEASE + TimeDelta::seconds(1));
    }
    // It is put back.
    bench.blobs.land(&key, bytes.to_vec()).await;
    assert_eq!(index(&bench).await, Indexed { bodies: 1, unreadable: 0, failed: 0 });
    let mut found = subjects(&bench, ada, &text("marmalade")).await;
    found.sort();
    assert_eq!(found, ["away", "here"]);
    assert!(message::get(bench.ctx(), ada, other).await.is_ok());
}

#[tokio::test]
async fn a_body_that_ends_its_process_is_tried_alone_and_not_for_ever() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for subject in ["one", "two"] {
        bench.stored(ada, format!("Subject: {subject}\r\n\r\n").as_bytes()).await;
    }
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    // As often as that both were in hand, and nobody came back.
    let tried = "set role pillarbox_system; update search_queue set attempts = 4";
    sqlx::raw_sql(tried).execute(&mut connection).await.unwrap();
    bench.stored(ada, b"Subject: three\r\n\r\n").await;
    assert_eq!(index(&bench).await, Indexed { bodies: 3, unreadable: 0, failed: 0 });
    bench.stored(ada, b"Subject: four\r\n\r\n").await;
    let tried = "update search_queue set attempts = 5";
    sqlx::raw_sql(tried).execute(&mut connection).await.unwrap();
    assert_eq!(index(&bench).await, Indexed { bodies: 1, unreadable: 1, failed: 0 });
}

#[tokio::test]
async fn what_has_no_body_any_more_holds_up_nothing() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let orphans = format!(
        "set role pillarbox_system; insert into search_queue (tenant_id, mailbox_id, blob_id)
         select '{}', '{}', gen_random_uuid() from generate_series(1, 100)",
        bench.ctx().tenant_id().uuid(),
        ada.uuid()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(orphans)).execute(&mut connection).await.unwrap();
    bench.stored(ada, b"Subject: here\r\n\r\n").await;
    for _ in 0..3 {
        index(&bench).await;
    }
    assert_eq!(rows(&bench).await, (0, 1, 1));
}

/// The database as whoever has come to it by another way: its owner, as the system.
async fn elsewhere(bench: &Bench) -> sqlx::PgConnection {
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn a_body_of_several_mailboxes_is_indexed_for_each_of_them() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let id = bench.stored(ada, b"Subject: marmalade\r\n\r\n").await;
    let mut others = Vec::new();
    // More than are written together, also where several processors share them.
    for number in 0..40 {
        let mailbox_id = bench.mailbox(&format!("other{number}"), None).await;
        let target = message::Target { mailbox_id, folder: None };
        message::copy(&bench.store, bench.ctx(), ada, &[id], target).await.unwrap();
        others.push(mailbox_id);
    }
    bench.stored(ada, b"Subject: jam\r\n\r\n").await;
    assert_eq!(index(&bench).await, Indexed { bodies: 42, ..Indexed::default() });
    assert_eq!(rows(&bench).await, (0, 2, 42));
    for mailbox in others {
        assert_eq!(subjects(&bench, mailbox, &text("marmalade")).await, ["marmalade"]);
        assert!(found(&bench, mailbox, &text("jam")).await.is_empty());
    }
}

/// How often the index of grams was looked at, by what Postgres counts; it does so when a session ends.
async fn looks(bench: &Bench) -> i64 {
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let count = "select idx_scan from pg_stat_user_indexes where indexrelname = 'message_grams_by_gram'";
    sqlx::query_scalar(count).fetch_one(&mut owner).await.unwrap()
}

/// The planner has its own idea of what an index costs in which something is pending.
#[tokio::test]
async fn a_search_looks_at_the_index_also_while_it_has_something_pending() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for number in 0..30 {
        bench
            .stored(ada, format!("Subject: {number}\r\n\r\n{}\r\n", "marmalade ".repeat(9)).as_bytes())
            .await;
    }
    assert_eq!(index(&bench).await.bodies, 30);
    let before = looks(&bench).await;
    assert_eq!(found(&bench, ada, &text("marmalade")).await.len(), 30);
    bench.world.test_db.db().close().await;
    let mut tries = 0..100;
    while looks(&bench).await == before {
        assert!(tries.next().is_some(), "it looked at the whole table");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn one_that_cannot_be_written_fails_alone() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let refuse = "alter table message_texts add constraint refused check (header not like '%poison%')";
    sqlx::raw_sql(refuse).execute(&mut owner).await.unwrap();
    // Enough for several to go in together, however many processors share them.
    for number in 0..16 {
        let subject = if number == 5 { "poison" } else { "good" };
        bench.stored(ada, format!("Subject: {subject}\r\n\r\n").as_bytes()).await;
    }
    assert_eq!(index(&bench).await, Indexed { bodies: 15, unreadable: 0, failed: 1 });
    assert_eq!(rows(&bench).await, (1, 15, 15));
    assert_eq!(subjects(&bench, ada, &text("poison")).await, ["poison"], "it is looked for in its body");
}

#[tokio::test]
async fn nobody_is_waited_for_who_deletes_what_is_to_be_indexed() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for subject in ["one", "two", "three"] {
        bench.stored(ada, format!("Subject: {subject}\r\n\r\n").as_bytes()).await;
    }
    let mut other = elsewhere(&bench).await;
    // As whoever is about to delete the first body, and has not come to the queue yet.
    let lock = "begin; select from blobs where id = (select min(id::text)::uuid from blobs) for update";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let done = tokio::time::timeout(std::time::Duration::from_secs(30), index(&bench)).await;
    assert_eq!(done, Ok(Indexed { bodies: 2, unreadable: 0, failed: 0 }), "it waits");
    assert_eq!(rows(&bench).await, (1, 2, 2));
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    bench.world.test_db.clock().advance(LEASE + TimeDelta::seconds(1));
    let attempts: i32 =
        sqlx::query_scalar("select attempts from search_queue").fetch_one(&mut other).await.unwrap();
    assert_eq!(attempts, 0, "as if it had not been tried");
    assert_eq!(index(&bench).await, Indexed { bodies: 1, unreadable: 0, failed: 0 });
}

#[tokio::test]
async fn an_index_that_was_lost_is_made_anew() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    bench.stored(ada, b"Subject: marmalade\r\n\r\n").await;
    bench.stored(ada, b"Subject: jam\r\n\r\n").await;
    index(&bench).await;
    let mut connection = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let lose = "set role pillarbox_system; delete from message_texts";
    sqlx::raw_sql(lose).execute(&mut connection).await.unwrap();
    let db = bench.world.test_db.db();
    assert_eq!((index::queue_all(&db).await.unwrap(), index::queue_all(&db).await.unwrap()), (2, 0));
    for _ in 0..2 {
        assert_eq!(subjects(&bench, ada, &text("marmalade")).await, ["marmalade"]);
        index(&bench).await;
    }
    assert_eq!(rows(&bench).await, (0, 2, 2));
}

#[tokio::test]
async fn a_long_text_is_found_to_its_end() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let long = format!(
        "Subject: long\r\n\r\n{}\r\nthe very last marmalade\r\n",
        "some words of it\r\n".repeat(70_000)
    );
    bench.stored(ada, long.as_bytes()).await;
    bench.stored(ada, b"Subject: short\r\n\r\nmarmalade\r\n").await;
    index(&bench).await;
    let mut subjects = subjects(&bench, ada, &text("last marmalade")).await;
    subjects.sort();
    assert_eq!(subjects, ["long"]);
    assert_eq!(found(&bench, ada, &text("marmalade")).await.len(), 2);
    assert!(found(&bench, ada, &text("marmelade")).await.is_empty());
    let here = folder::list(bench.ctx(), ada).await.unwrap();
    assert!(!here.is_empty());
}
