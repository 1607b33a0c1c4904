use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, MESSAGE, text};

struct Fixture {
    app: App,
    key: String,
    mailbox: String,
}

impl Fixture {
    async fn new(quota_bytes: Value) -> Self {
        let app = App::new().await;
        let (_, key) = app.reseller("North").await;
        let tenant = app.tenant(&key, "one.example", json!({})).await;
        let user = json!({"address": "ada@one.example", "quota_bytes": quota_bytes});
        let (_, mailbox) = app.user(&key, &tenant, user).await;
        app.open_for_support(&key, &mailbox).await;
        Self { app, key, mailbox }
    }

    async fn deliver(&self, message: &str) -> Answer {
        self.app.clock_on();
        self.app.deliver(&self.key, &self.mailbox, message).await
    }

    async fn delivered(&self, message: &str) -> (Value, String) {
        let message = self.deliver(message).await.expect(201);
        let path = format!("{}/messages/{}", self.mailbox, text(&message["id"]));
        (message, path)
    }

    async fn quota(&self) -> Value {
        self.app.get(&self.key, &format!("{}/quota", self.mailbox)).await.expect(200)
    }
}

impl App {
    /// Ids are in the order of the clock.
    fn clock_on(&self) {
        self.db.clock().advance(chrono::TimeDelta::milliseconds(1));
    }
}

#[tokio::test]
async fn is_taken_in_and_its_view_read() {
    let here = Fixture::new(json!(null)).await;
    let (message, path) = here.delivered(MESSAGE).await;
    insta::assert_json_snapshot!("message", message, {
        ".id" => "[id]", ".mailbox_id" => "[id]", ".folder_id" => "[id]",
    });
    assert_eq!(here.app.get(&here.key, &path).await.expect(200), message);
    assert_eq!(here.quota().await["used_bytes"], MESSAGE.len());
}

#[tokio::test]
async fn comes_back_byte_for_byte_whatever_it_is() {
    let here = Fixture::new(json!(null)).await;
    for bytes in
        [MESSAGE, "no header at all", "bare\nfeeds\rand\0nul\n.\r\n..\n", "Subject: =?utf-8?q?=00?=\n\n"]
    {
        let (message, path) = here.delivered(bytes).await;
        assert_eq!(message["size_bytes"], bytes.len());
        let raw = here.app.get(&here.key, &format!("{path}/raw")).await;
        assert_eq!((raw.status.as_u16(), raw.body.as_ref()), (200, bytes.as_bytes()));
        assert_eq!(raw.header("content-type"), Some("message/rfc822"));
        assert_eq!(raw.header("accept-ranges"), Some("bytes"));
        assert_eq!(raw.header("content-length"), Some(bytes.len().to_string().as_str()));
    }
}

#[tokio::test]
async fn a_part_of_it_is_had_by_range() {
    let here = Fixture::new(json!(null)).await;
    let (_, path) = here.delivered(MESSAGE).await;
    let raw = format!("{path}/raw");
    let whole = MESSAGE.len();
    let get = |range: &str| here.app.call(Method::GET, &raw).token(&here.key).header("range", range).send();
    let parts = [
        ("bytes=0-9", 0..10),
        ("bytes=10-10", 10..11),
        ("bytes=20-", 20..whole),
        ("bytes=-5", whole - 5..whole),
        ("bytes=-99999", 0..whole),
        ("bytes=5-99999", 5..whole),
    ];
    for (range, expected) in parts {
        let part = get(range).await;
        assert_eq!(part.status.as_u16(), 206, "{range}: {part:?}");
        assert_eq!(part.body.as_ref(), &MESSAGE.as_bytes()[expected.clone()], "{range}");
        let content_range = format!("bytes {}-{}/{whole}", expected.start, expected.end - 1);
        assert_eq!(part.header("content-range"), Some(content_range.as_str()), "{range}");
    }
    for range in [format!("bytes={whole}-"), "bytes=99999999999999999999-".into(), "bytes=-0".into()] {
        let refused = get(&range).await;
        refused.expect_problem(416, "range_not_satisfiable");
        assert_eq!(refused.header("content-range"), Some(format!("bytes */{whole}").as_str()), "{range}");
    }
    for range in ["bytes=9-0", "lines=0-1", "bytes=0-1,5-6", "nonsense"] {
        assert_eq!(get(range).await.body.as_ref(), MESSAGE.as_bytes(), "{range}");
    }
    let etag = text(&json!(get("").await.header("etag")));
    let unchanged =
        here.app.call(Method::GET, &raw).token(&here.key).header("if-none-match", &etag).send().await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    let call = || here.app.call(Method::GET, &raw).token(&here.key).header("range", "bytes=0-1");
    assert_eq!(call().header("if-range", &etag).send().await.status.as_u16(), 206);
    assert_eq!(call().header("if-range", "\"another\"").send().await.status.as_u16(), 200);
    let head = here.app.call(Method::HEAD, &raw).token(&here.key).send().await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(whole.to_string().as_str()));
}

#[tokio::test]
async fn lists_go_by_folder_and_state_in_pages() {
    let here = Fixture::new(json!(null)).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(text(&here.delivered(MESSAGE).await.0["id"]));
    }
    let messages = format!("{}/messages", here.mailbox);
    let folders = here.app.get(&here.key, &format!("{}/folders", here.mailbox)).await.expect(200);
    let junk = folders["data"].as_array().unwrap().iter().find(|folder| folder["role"] == "junk").unwrap();
    let junk = text(&junk["id"]);
    here.app.clock_on();
    let call = here.app.call(Method::POST, &format!("{messages}?folder_id={junk}")).token(&here.key);
    let filed = call.bytes("message/rfc822; charset=utf-8", MESSAGE).send().await.expect(201);
    assert_eq!(text(&filed["folder_id"]), junk);

    let list = async |query: &str| {
        let page = here.app.get(&here.key, &format!("{messages}{query}")).await.expect(200);
        let ids: Vec<_> = page["data"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    let (first, cursor) = list("?limit=2").await;
    assert_eq!(first, ids[..2]);
    let (rest, end) = list(&format!("?limit=2&cursor={}", cursor.unwrap())).await;
    assert_eq!((rest, end), (vec![ids[2].clone(), text(&filed["id"])], None));
    assert_eq!(list(&format!("?folder_id={junk}")).await.0, [text(&filed["id"])]);
    assert_eq!(list("?state=recoverable").await.0, Vec::<String>::new());
    for (query, parameter) in [
        ("state=gone", "state"),
        ("folder_id=x", "folder_id"),
        ("q=%21", "q"),
        ("since=2026-03-01", "since"),
        ("z=x", "z"),
    ] {
        let problem = here
            .app
            .get(&here.key, &format!("{messages}?{query}"))
            .await
            .expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{problem}");
    }
    let elsewhere = "fld_019a2f3c5d7e7abc8def0123456789ab";
    here.app
        .get(&here.key, &format!("{messages}?folder_id={elsewhere}"))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn deleting_is_undone_by_recovering() {
    let here = Fixture::new(json!(null)).await;
    let (message, path) = here.delivered(MESSAGE).await;
    let recover = format!("{path}/recover");
    let refused = here.app.call(Method::POST, &recover).token(&here.key).send().await;
    refused.expect_problem(409, "message_not_deleted");
    here.app.delete(&here.key, &path).await.expect(204);
    here.app.delete(&here.key, &path).await.expect_problem(404, "not_found");
    let deleted = here.app.get(&here.key, &path).await.expect(200);
    assert_eq!(deleted["state"], "recoverable");
    let recoverable =
        here.app.get(&here.key, &format!("{}/messages?state=recoverable", here.mailbox)).await.expect(200);
    assert_eq!(recoverable["data"], json!([deleted]));
    let quota = here.quota().await;
    assert_eq!((&quota["used_bytes"], &quota["recoverable_bytes"]), (&json!(0), &json!(MESSAGE.len())));

    let back = here.app.call(Method::POST, &recover).token(&here.key).send().await.expect(200);
    assert_eq!(
        (&back["id"], &back["state"], &back["internal_date"]),
        (&message["id"], &json!("live"), &message["internal_date"])
    );
    assert!(back["uid"].as_u64() > message["uid"].as_u64(), "{back}");
    assert_eq!(here.quota().await["used_bytes"], MESSAGE.len());
}

#[tokio::test]
async fn a_full_mailbox_refuses_and_keeps_what_it_has() {
    let here = Fixture::new(json!(MESSAGE.len() + 10)).await;
    here.delivered(MESSAGE).await;
    here.deliver(MESSAGE).await.expect_problem(422, "quota_exceeded");
    let listed = here.app.get(&here.key, &format!("{}/messages", here.mailbox)).await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(here.quota().await["used_bytes"], MESSAGE.len());
}

#[tokio::test]
async fn other_media_types_and_nothing_at_all_are_refused() {
    let here = Fixture::new(json!(null)).await;
    let messages = format!("{}/messages", here.mailbox);
    let post = |content_type: &str, body: &'static str| {
        here.app.call(Method::POST, &messages).token(&here.key).bytes(content_type, body).send()
    };
    post("application/json", "{}").await.expect_problem(415, "unsupported_media_type");
    post("text/plain", MESSAGE).await.expect_problem(415, "unsupported_media_type");
    post("message/rfc822", "").await.expect_problem(422, "invalid_request");
    let none = here.app.call(Method::POST, &messages).token(&here.key).send().await;
    none.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn are_found_by_their_words() {
    let here = Fixture::new(json!(null)).await;
    let mut ids = Vec::new();
    for (subject, says) in
        [("Flour", "two bags for Monday"), ("Re: Flour", "three bags"), ("Grüße", "flour again")]
    {
        let message = format!(
            "From: ada@bakery.example\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{says}\r\n"
        );
        ids.push(text(&here.delivered(&message).await.0["id"]));
    }
    let list = format!("{}/messages", here.mailbox);
    let found = async |query: &str| {
        let page = here.app.get(&here.key, &format!("{list}?{query}")).await.expect(200);
        let ids: Vec<String> =
            page["data"].as_array().unwrap().iter().map(|message| text(&message["id"])).collect();
        (ids, page["next_cursor"].clone())
    };
    for _ in 0..2 {
        assert_eq!(found("q=FLOUR").await, (ids.clone(), Value::Null));
        assert_eq!(found("q=flour+monday").await.0, ids[..1]);
        assert_eq!(found("q=gr%C3%BCsse").await.0, ids[2..]);
        assert_eq!(found("q=ada%40bakery.example+bags").await.0, ids[..2]);
        assert!(found("q=flou").await.0.is_empty(), "words are whole");
        assert!(found("q=flour&state=recoverable").await.0.is_empty());
        let (first, cursor) = found("q=bags&limit=1").await;
        let (second, end) = found(&format!("q=bags&limit=1&cursor={}", text(&cursor))).await;
        assert_eq!((first, second, end), (vec![ids[0].clone()], vec![ids[1].clone()], Value::Null));
        mailstore::search::index::run(&here.app.api.store, &here.app.db.db()).await.unwrap();
    }
    for wrong in ["".to_owned(), "%21".to_owned(), "a+".repeat(17), "a".repeat(257)] {
        let refused = here.app.get(&here.key, &format!("{list}?q={wrong}")).await;
        refused.expect_problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn change_and_go_only_in_the_version_that_was_seen() {
    let here = Fixture::new(json!(null)).await;
    let put = here.deliver(MESSAGE).await;
    let message = put.expect(201);
    let path = format!("{}/messages/{}", here.mailbox, text(&message["id"]));
    let first = format!("\"{}\"", message["modseq"]);
    assert_eq!(put.header("etag"), Some(&*first));
    assert_eq!(here.app.get(&here.key, &path).await.header("etag"), Some(&*first));
    let call =
        |method: Method, tag: &str| here.app.call(method, &path).token(&here.key).header("if-match", tag);

    let seen = json!({"flags": {"seen": true}});
    let marked = call(Method::PATCH, &first).json(seen.clone()).send().await;
    let second = format!("\"{}\"", marked.expect(200)["modseq"]);
    assert_eq!(marked.header("etag"), Some(&*second));
    assert_ne!(second, first);
    let unseen = json!({"flags": {"seen": false}});
    let late = call(Method::PATCH, &first).json(unseen).send().await;
    late.expect_problem(412, "version_mismatch");
    call(Method::DELETE, &first).send().await.expect_problem(412, "version_mismatch");
    let same = call(Method::PATCH, &second).json(seen).send().await;
    assert_eq!(
        (same.expect(200)["flags"]["seen"].as_bool(), same.header("etag")),
        (Some(true), Some(&*second))
    );
    call(Method::DELETE, &second).send().await.expect(204);

    let recovered = here.app.call(Method::POST, &format!("{path}/recover")).token(&here.key).send().await;
    let third = format!("\"{}\"", recovered.expect(200)["modseq"]);
    assert_eq!(recovered.header("etag"), Some(&*third));
    assert_ne!(third, second);
}

#[tokio::test]
async fn are_listed_from_an_instant_on() {
    let here = Fixture::new(json!(null)).await;
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(here.delivered(MESSAGE).await.0);
    }
    let ids: Vec<_> = messages.iter().map(|message| text(&message["id"])).collect();
    let second = text(&messages[1]["internal_date"]);
    let list = async |query: &str| {
        let path = format!("{}/messages?since={query}", here.mailbox);
        let page = here.app.get(&here.key, &path).await.expect(200);
        let ids: Vec<_> = page["data"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    let (of_all, none) = (messages[0]["folder_id"].as_str().unwrap(), Vec::<String>::new());
    for more in ["", "&q=hello", &format!("&folder_id={of_all}"), &format!("&folder_id={of_all}&q=hello")] {
        assert_eq!(list(&format!("{second}{more}")).await.0, ids[1..], "{more}");
        assert_eq!(list(&format!("2000-01-01T00:00:00%2B01:00{more}")).await.0, ids, "{more}");
        assert_eq!(list(&format!("2100-01-01T00:00:00Z{more}")).await.0, none, "{more}");
        let (first, cursor) = list(&format!("{second}{more}&limit=1")).await;
        assert_eq!(first, ids[1..2], "{more}");
        let (rest, _) = list(&format!("{second}{more}&limit=1&cursor={}", cursor.unwrap())).await;
        assert_eq!(rest, ids[2..], "{more}");
    }
    assert_eq!(list(&format!("{second}&state=recoverable")).await.0, none);
}

/// A form of some parts: name, media type, bytes.
pub(crate) fn form(parts: &[(&str, &str, &str)]) -> String {
    let part = |(name, media_type, bytes): &(&str, &str, &str)| {
        format!(
            "--b0undary\r\nContent-Disposition: form-data; name=\"{name}\"\r\nContent-Type: {media_type}\r\n\r\n{bytes}\r\n"
        )
    };
    parts.iter().map(part).collect::<String>() + "--b0undary--\r\n"
}

pub(crate) const FORM: &str = "multipart/form-data; boundary=b0undary";

#[tokio::test]
async fn are_put_in_with_their_marks_and_date() {
    let here = Fixture::new(json!(null)).await;
    let start = here.app.get(&here.key, &format!("{}/changes", here.mailbox)).await.expect(200);
    let folders = here.app.get(&here.key, &format!("{}/folders", here.mailbox)).await.expect(200);
    let sent = folders["data"].as_array().unwrap().iter().find(|folder| folder["role"] == "sent").unwrap();
    let metadata = json!({
        "folder_id": sent["id"],
        "flags": ["seen", "flagged", "seen"],
        "keywords": ["$Forwarded", "$forwarded"],
        "received_at": "2020-02-01T10:00:00+01:00",
    });
    let messages = format!("{}/messages", here.mailbox);
    let post = |path: &str, parts: &[(&str, &str, &str)]| {
        here.app.call(Method::POST, path).token(&here.key).bytes(FORM, form(parts)).send()
    };
    let metadata = metadata.to_string();
    let both = [("metadata", "application/json", &*metadata), ("message", "message/rfc822", MESSAGE)];
    let message = post(&messages, &both).await.expect(201);
    let flags = json!({"seen": true, "answered": false, "flagged": true, "deleted": false, "draft": false});
    assert_eq!((&message["flags"], &message["keywords"]), (&flags, &json!(["$Forwarded"])));
    assert_eq!(
        (&message["internal_date"], &message["folder_id"], &message["size_bytes"]),
        (&json!("2020-02-01T09:00:00Z"), &sent["id"], &json!(MESSAGE.len()))
    );
    let raw = here.app.get(&here.key, &format!("{messages}/{}/raw", text(&message["id"]))).await;
    assert_eq!(raw.body, MESSAGE);
    let folder = format!("{}/folders/{}", here.mailbox, text(&sent["id"]));
    let folder = here.app.get(&here.key, &folder).await.expect(200);
    assert_eq!((&folder["message_count"], &folder["unseen_count"]), (&json!(1), &json!(0)));
    // It was never there without them.
    let told = format!("{}/changes?since={}", here.mailbox, start["modseq"]);
    let told = here.app.get(&here.key, &told).await.expect(200);
    let kinds: Vec<_> = told["changes"].as_array().unwrap().iter().map(|one| text(&one["kind"])).collect();
    assert_eq!(kinds, ["arrived"], "{told}");

    let plain = [("metadata", "application/json; charset=utf-8", "{}"), both[1]];
    let plain = post(&format!("{messages}?folder_id={}", text(&sent["id"])), &plain).await.expect(201);
    assert_eq!((&plain["folder_id"], &plain["flags"]["seen"]), (&sent["id"], &json!(false)));
}

#[tokio::test]
async fn forms_are_refused_by_the_place_of_the_mistake() {
    let here = Fixture::new(json!(null)).await;
    let messages = format!("{}/messages", here.mailbox);
    let post = |content_type: &str, body: String| {
        here.app.call(Method::POST, &messages).token(&here.key).bytes(content_type, body).send()
    };
    for (metadata, pointer) in [
        (json!({"flags": ["seen", "recent"]}), "/metadata/flags/1"),
        (json!({"flags": {"seen": true}}), "/metadata/flags"),
        (json!({"keywords": ["a b"]}), "/metadata/keywords/0"),
        (json!({"received_at": "yesterday"}), "/metadata/received_at"),
        (json!({"received_at": null}), "/metadata/received_at"),
        (json!({"folder_id": "x"}), "/metadata/folder_id"),
        (json!({"marks": []}), "/metadata/marks"),
        (json!([]), "/metadata"),
    ] {
        let metadata = metadata.to_string();
        let parts = [("metadata", "application/json", &*metadata), ("message", "message/rfc822", MESSAGE)];
        let problem = post(FORM, form(&parts)).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let metadata = ("metadata", "application/json", "{}");
    let message = ("message", "message/rfc822", MESSAGE);
    for (parts, pointer) in [
        (vec![], "/metadata"),
        (vec![metadata], "/message"),
        (vec![message, metadata], "/metadata"),
        (vec![metadata, metadata], "/metadata"),
        (vec![metadata, message, ("a/b", "text/plain", "")], "/a~1b"),
        (vec![metadata, message, message], "/message"),
        (vec![("meta", "application/json", "{}"), message], "/meta"),
        (vec![("metadata", "text/plain", "{}"), message], "/metadata"),
        (vec![metadata, ("message", "text/plain", MESSAGE)], "/message"),
        (vec![metadata, ("message", "message/rfc822", "")], "/message"),
    ] {
        let problem = post(FORM, form(&parts)).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{parts:?}: {problem}");
    }
    let many: Vec<_> = (0..101).map(|number| format!("k{number}")).collect();
    let many = json!({"keywords": many}).to_string();
    let many = form(&[("metadata", "application/json", &many), message]);
    post(FORM, many).await.expect_problem(422, "keyword_limit_reached");
    let broken = form(&[("metadata", "application/json", "{"), message]);
    post(FORM, broken).await.expect_problem(400, "malformed_body");
    let cut = form(&[metadata, message]).replace("--b0undary--", "");
    post(FORM, cut).await.expect_problem(400, "malformed_body");
    let whole = form(&[metadata, message]);
    post("multipart/form-data", whole.clone()).await.expect_problem(400, "malformed_body");
    post("multipart/mixed; boundary=b0undary", whole).await.expect_problem(415, "unsupported_media_type");
    let long = format!("{{{}}}", " ".repeat(1 << 20));
    let long = form(&[("metadata", "application/json", &long), message]);
    post(FORM, long).await.expect_problem(413, "body_too_large");
    let listed = here.app.get(&here.key, &messages).await.expect(200);
    assert_eq!(listed["data"], json!([]));
}
