//! The feed and the trail, over HTTP.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{App, text};

/// The members that the data of each kind has by `docs/events.md`, and whether each always is there.
pub(crate) fn documented() -> BTreeMap<&'static str, BTreeMap<&'static str, bool>> {
    let coded = |text: &'static str| text.trim().strip_prefix('`')?.strip_suffix('`');
    let row = |line: &'static str| {
        let mut cells = line.split('|').skip(1);
        let kind = cells.next().and_then(coded).filter(|kind| kind.contains('.'))?;
        let members = cells.nth(1)?.split(',').filter_map(coded);
        let members = members.map(|member| match member.strip_suffix('?') {
            Some(name) => (name, false),
            None => (member, true),
        });
        Some((kind, members.collect()))
    };
    include_str!("../../../../docs/events.md").lines().filter_map(row).collect()
}

#[test]
fn every_kind_is_documented() {
    let kinds: BTreeSet<_> = tenancy::event::Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(documented().into_keys().collect::<BTreeSet<_>>(), kinds);
}

#[tokio::test]
async fn what_happened_is_fed_in_order_and_can_be_verified_by_who_reads_it() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    tenancy::event::chain(&app.db.db()).await.unwrap();
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let feed = app.get(&key, &format!("/v1/events?tenant_id={id}")).await.expect(200);
    let kinds: Vec<_> = feed["data"].as_array().unwrap().iter().map(|event| text(&event["kind"])).collect();
    assert_eq!(kinds, ["tenant.created", "domain.created", "domain.verified", "user.created"]);
    let users = app.get(&key, &format!("/v1/events?tenant_id={id}&kind=user.created")).await.expect(200);
    assert_eq!(users["data"][0]["data"]["address"], "ada@one.example");
    let trail = app.get(&key, &format!("/v1/audit-log?tenant_id={id}")).await.expect(200);
    let mut previous = "0".repeat(64);
    for entry in trail["data"].as_array().unwrap() {
        assert_eq!(entry["previous_hash"], previous);
        let mut said = entry.as_object().unwrap().clone();
        for member in ["position", "previous_hash", "hash"] {
            said.remove(member);
        }
        let mut hash = Sha256::new();
        hash.update(bytes(&previous));
        // serde_json keeps members sorted, and none of these needs more of RFC 8785.
        hash.update(serde_json::to_vec(&said).unwrap());
        previous = kernel::hex(&hash.finalize());
        assert_eq!(entry["hash"], previous);
    }
    let refused = app.get(&key, "/v1/events?kind=nonsense").await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["parameter"], "kind");
}

#[tokio::test]
async fn whoever_follows_the_feed_sees_each_event_once() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for name in ["ada", "eve"] {
        app.user(&key, &tenant, json!({"address": format!("{name}@one.example")})).await;
        tenancy::event::chain(&app.db.db()).await.unwrap();
        loop {
            let page = format!("/v1/events?tenant_id={id}&limit=3{cursor}");
            let page = app.get(&key, &page).await.expect(200);
            let kinds = page["data"].as_array().unwrap().iter().map(|event| text(&event["kind"]).to_owned());
            seen.extend(kinds);
            // There is one also where the page is not full.
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    let all = ["tenant.created", "domain.created", "domain.verified", "user.created", "user.created"];
    assert_eq!(seen, all);
}

#[tokio::test]
async fn the_trail_of_a_tenant_that_is_gone_is_read_by_those_above_it_and_is_nowhere_for_others() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let (_, stranger) = app.reseller("South").await;
    let tenant = app.tenant(&key, "one.example", json!({"test_clock": true})).await;
    let own =
        app.post(&key, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await.expect(201);
    let own = text(&own["secret"]);
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let lists = ["/v1/events", "/v1/audit-log"];
    let operator = tenancy::Caller::local_operator(app.db.db(), app.db.db().env().new_id());
    let last = async |expected: &str| {
        tenancy::event::chain(&app.db.db()).await.unwrap();
        let mut events = 0;
        for (list, token) in lists.iter().flat_map(|list| [(list, &key), (list, &app.operator)]) {
            let page = app.get(token, &format!("{list}?tenant_id={id}&limit=200")).await.expect(200);
            let page = page["data"].as_array().unwrap();
            assert_eq!(page.last().unwrap()["kind"], expected, "{list}");
            events = page.len() as u64;
        }
        let verdicts = tenancy::event::verify(&operator, Some(id.parse().unwrap())).await.unwrap();
        assert_eq!(verdicts.len(), 1);
        assert_eq!((verdicts[0].1.events, verdicts[0].1.fault.clone()), (events, None));
        for list in lists {
            let refused = async |id: &str| {
                let answer = app.get(&stranger, &format!("{list}?tenant_id={id}")).await;
                let mut body = answer.expect_problem(404, "not_found");
                body.as_object_mut().unwrap().remove("request_id");
                body
            };
            assert_eq!(refused(id).await, refused("ten_019a2f3c5d7e7abc8def0123456789ab").await, "{list}");
        }
    };
    app.delete(&key, &tenant).await.expect(204);
    last("tenant.deleted").await;
    for list in lists {
        app.get(&own, list).await.expect_problem(404, "not_found");
    }
    app.destroy(&key, &tenant).await;
    last("tenant.purged").await;
    for list in lists {
        app.get(&own, list).await.expect_problem(401, "unauthenticated");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
