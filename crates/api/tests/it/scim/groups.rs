//! Groups: what Entra ID and Okta send, in their words.

use serde_json::{Value, json};
use sqlx::Connection as _;

use super::{Directory, GROUP_URN, url_encoded};
use crate::support::text;

impl Directory {
    /// A new group; its path under the base URL.
    async fn group(&self, body: Value) -> String {
        format!("/Groups/{}", text(&self.post("/Groups", body).await.expect(201)["id"]))
    }

    async fn groups(&self, filter: &str, more: &str) -> Value {
        self.get(&format!("/Groups?filter={}{more}", url_encoded(filter))).await.expect(200)
    }

    async fn members(&self, group: &str) -> Vec<String> {
        let group = self.get(group).await.expect(200);
        let members = group["members"].as_array().cloned().unwrap_or_default();
        members.iter().map(|member| text(&member["value"])).collect()
    }

    /// Users, by the ids that directories keep of them, which are in the order of the clock.
    async fn ids<const N: usize>(&self, locals: [&str; N]) -> [String; N] {
        let mut ids = locals.map(str::to_owned);
        for id in &mut ids {
            self.app.db.clock().advance(chrono::TimeDelta::milliseconds(1));
            let path = self.user(json!({"userName": format!("{id}@one.example"), "displayName": id})).await;
            *id = path.trim_start_matches("/Users/").to_owned();
        }
        ids
    }
}

#[tokio::test]
async fn entra_keeps_a_group() {
    let directory = Directory::new().await;
    let [ada, bob] = directory.ids(["ada", "bob"]).await;
    let body = json!({
        "schemas": [GROUP_URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        "displayName": "displayName",
        "meta": {"resourceType": "Group"},
    });
    let answer = directory.post("/Groups", body.clone()).await;
    let created = answer.expect(201);
    let path = format!("/Groups/{}", text(&created["id"]));
    assert_eq!(answer.header("location"), Some(format!("{}{path}", directory.base).as_str()));
    assert_eq!(created["meta"]["version"], json!(answer.header("etag").unwrap()));
    assert_eq!(created["meta"]["resourceType"], "Group");
    assert!(created.get("members").is_none(), "{created}");
    directory.post("/Groups", body).await.expect_scim(409, Some("uniqueness"));

    directory.get(&format!("{path}?excludedAttributes=members")).await.expect(200);
    let found = directory.groups(r#"displayName eq "DISPLAYNAME""#, "&excludedAttributes=members").await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &created["id"]));
    let found = directory.groups(r#"externalId eq "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159""#, "").await;
    assert_eq!(found["totalResults"], 1);
    assert_eq!(directory.groups(r#"displayName eq "other""#, "").await, super::no_match());

    let renamed = json!([{"op": "Replace", "path": "displayName", "value": "Everyone"}]);
    assert_eq!(directory.patch(&path, renamed).await.expect(200)["displayName"], "Everyone");
    let both = json!([{"$ref": null, "value": ada}, {"$ref": null, "value": bob}]);
    let added = json!([{"op": "Add", "path": "members", "value": both}]);
    let grown = directory.patch(&path, added.clone()).await.expect(200);
    assert_eq!(directory.members(&path).await, [ada.clone(), bob.clone()]);
    // Adding them once more changes nothing.
    assert_eq!(directory.patch(&path, added).await.expect(200), grown);
    let removed = json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": ada}]}]);
    directory.patch(&path, removed).await.expect(200);
    assert_eq!(directory.members(&path).await, std::slice::from_ref(&bob));
    let of_bob = directory.groups(&format!(r#"members eq "{bob}""#), "").await;
    assert_eq!(of_bob["totalResults"], 1, "{of_bob}");

    directory.delete(&path).await.expect(204);
    directory.get(&path).await.expect_scim(404, None);
    directory.get(&format!("/Users/{bob}")).await.expect(200);
}

#[tokio::test]
async fn okta_pushes_a_group() {
    let directory = Directory::new().await;
    let [ada, bob] = directory.ids(["ada", "bob"]).await;
    let path =
        directory.group(json!({"schemas": [GROUP_URN], "displayName": "Test SCIMv2", "members": []})).await;
    let id = path.trim_start_matches("/Groups/");
    let listed = directory.get("/Groups?startIndex=1&count=100").await.expect(200);
    assert_eq!((&listed["totalResults"], &listed["itemsPerPage"]), (&json!(1), &json!(1)));
    let renamed = json!([{"op": "replace", "value": {"id": id, "displayName": "Test SCIMv20"}}]);
    directory.patch(&path, renamed).await.expect(200);
    let membership =
        json!([{"op": "add", "path": "members", "value": [{"value": ada, "display": "ada@one.example"}]}]);
    directory.patch(&path, membership).await.expect(200);
    let swapped = json!([
        {"op": "remove", "path": format!("members[value eq \"{ada}\"]")},
        {"op": "add", "path": "members", "value": [{"value": bob, "display": "bob@one.example"}]},
    ]);
    let now = directory.patch(&path, swapped).await.expect(200);
    let reference = format!("{}/Users/{bob}", directory.base);
    assert_eq!(now["members"], json!([{"value": bob, "display": "bob", "type": "User", "$ref": reference}]));
    let all = json!([{"op": "replace", "path": "members", "value": [{"value": ada}, {"value": bob}]}]);
    directory.patch(&path, all).await.expect(200);
    assert_eq!(directory.members(&path).await.len(), 2);
    let put =
        json!({"schemas": [GROUP_URN], "id": id, "displayName": "Test SCIMv2", "members": [{"value": bob}]});
    let now = directory.put(&path, put).await.expect(200);
    assert_eq!((&now["displayName"], directory.members(&path).await), (&json!("Test SCIMv2"), vec![bob]));
    let page = directory.get("/Groups?startIndex=2&count=100").await.expect(200);
    assert_eq!((&page["totalResults"], &page["itemsPerPage"]), (&json!(1), &json!(0)));
    directory.delete(&path).await.expect(204);
}

#[tokio::test]
async fn what_the_directory_does_not_know_stays() {
    let directory = Directory::new().await;
    let [ada] = directory.ids(["ada"]).await;
    let path = directory.group(json!({"displayName": "Sales"})).await;
    let portal = format!("{}/groups/{}", directory.tenant, path.trim_start_matches("/Groups/"));
    let (app, admin) = (&directory.app, &directory.admin);
    let shared = json!({"kind": "shared", "display_name": "Info", "address": "info@one.example"});
    let shared = app.post(admin, &format!("{}/mailboxes", directory.tenant), shared).await.expect(201);
    let member = format!("{portal}/members/{}", text(&shared["id"]));
    app.call(axum::http::Method::PUT, &member).token(admin).send().await.expect(204);
    app.patch(admin, &portal, json!({"address": "sales@one.example"})).await.expect(200);
    directory.put(&path, json!({"displayName": "Sales", "members": [{"value": ada}]})).await.expect(200);
    assert_eq!(directory.members(&path).await, [ada], "a shared mailbox is no user");
    let group = app.get(admin, &portal).await.expect(200);
    assert_eq!((&group["member_count"], &group["address"]), (&json!(2), &json!("sales@one.example")));
}

#[tokio::test]
async fn all_of_a_change_or_nothing() {
    let directory = Directory::new().await;
    let [ada] = directory.ids(["ada"]).await;
    let inner = directory.group(json!({"displayName": "Inner", "members": [{"value": ada}]})).await;
    let inner_id = inner.trim_start_matches("/Groups/").to_owned();
    let outer = directory.group(json!({"displayName": "Outer", "members": [{"value": inner_id}]})).await;
    let outer_id = outer.trim_start_matches("/Groups/").to_owned();
    let before = directory.get(&inner).await;
    let looped = json!([{"op": "replace", "path": "displayName", "value": "Loop"},
        {"op": "add", "path": "members", "value": [{"value": outer_id}]}]);
    let refused = directory.patch(&inner, looped).await.expect_scim(409, None);
    assert_eq!(refused["detail"], "the group would come to be a member of itself");
    for wrong in ["usr_019a2f3c5d7e7abc8def0123456789ab", "grp_019a2f3c5d7e7abc8def0123456789ab", "ada", ""] {
        let added = json!([{"op": "add", "path": "members", "value": [{"value": wrong}]}]);
        directory.patch(&inner, added).await.expect_scim(400, Some("invalidValue"));
        let made = json!({"displayName": "New", "members": [{"value": wrong}]});
        directory.post("/Groups", made).await.expect_scim(400, Some("invalidValue"));
    }
    directory.post("/Groups", json!({"members": []})).await.expect_scim(400, Some("invalidValue"));
    assert_eq!(directory.get(&inner).await.expect(200), before.expect(200));
    let listed = directory.get("/Groups").await.expect(200);
    assert_eq!(listed["totalResults"], 2, "nothing was made: {listed}");
    // A version that is no more.
    let call = directory.app.call(axum::http::Method::DELETE, &format!("{}{inner}", directory.base));
    call.token(&directory.key).header("if-match", "W/\"99\"").send().await.expect_scim(412, None);
}

#[tokio::test]
async fn lists_are_counted_paged_and_filtered_by_members() {
    let directory = Directory::new().await;
    let [ada, bob] = directory.ids(["ada", "bob"]).await;
    let inner = directory.group(json!({"displayName": "Inner", "members": [{"value": ada}]})).await;
    let inner = inner.trim_start_matches("/Groups/").to_owned();
    let mut teams = Vec::new();
    for n in 0..4 {
        let members =
            if n % 2 == 0 { json!([{"value": ada}, {"value": inner}]) } else { json!([{"value": bob}]) };
        let path = directory.group(json!({"displayName": format!("Team {n}"), "members": members})).await;
        if n % 2 == 0 {
            teams.push(path.trim_start_matches("/Groups/").to_owned());
        }
    }
    // Lists are in the order of ids, which is none of those that were made in one millisecond.
    let second_team = teams[1].clone();
    teams.sort_unstable();
    let mut of_ada = [vec![inner.clone()], teams.clone()].concat();
    of_ada.sort_unstable();
    let ids = |page: &Value| -> Vec<String> {
        page["Resources"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect()
    };
    let all = directory.get("/Groups").await.expect(200);
    assert_eq!((&all["totalResults"], ids(&all).len()), (&json!(5), 5));
    let page = directory.get("/Groups?startIndex=2&count=2").await.expect(200);
    assert_eq!((&page["totalResults"], ids(&page)), (&json!(5), ids(&all)[1..3].to_vec()));
    assert_eq!(page["Resources"][0], all["Resources"][1], "with its members");
    for (startless, shown) in [("startIndex=6", 0), ("count=0", 0), ("startIndex=5&count=9", 1)] {
        let page = directory.get(&format!("/Groups?{startless}")).await.expect(200);
        assert_eq!((&page["totalResults"], ids(&page).len()), (&json!(5), shown), "{startless}");
    }
    for filter in [
        format!(r#"members eq "{ada}""#),
        format!(r#"members.value eq "{ada}""#),
        format!(r#"members[value eq "{ada}"]"#),
    ] {
        let found = directory.groups(&filter, "&excludedAttributes=members").await;
        assert_eq!((&found["totalResults"], ids(&found)), (&json!(3), of_ada.clone()), "{filter}");
        assert!(found["Resources"][0].get("members").is_none(), "{found}");
        let second = directory.groups(&filter, "&startIndex=2&count=1").await;
        assert_eq!((&second["totalResults"], ids(&second)), (&json!(3), of_ada[1..2].to_vec()), "{filter}");
        let members = if of_ada[1] == inner { 1 } else { 2 };
        assert_eq!(second["Resources"][0]["members"].as_array().unwrap().len(), members, "{second}");
    }
    let nested = directory.groups(&format!(r#"members eq "{inner}""#), "").await;
    assert_eq!(ids(&nested), teams);
    let both = directory.groups(&format!(r#"members eq "{ada}" and displayName eq "team 2""#), "").await;
    assert_eq!(ids(&both), [second_team]);
    let not = directory.groups(&format!(r#"not (members eq "{ada}")"#), "").await;
    assert_eq!(not["totalResults"], 2, "{not}");
    let started = directory.groups(r#"displayName sw "Team""#, "&startIndex=4").await;
    assert_eq!((&started["totalResults"], ids(&started).len()), (&json!(4), 1));
    for nobody in ["usr_019a2f3c5d7e7abc8def0123456789ab", "ada", ""] {
        let found = directory.groups(&format!(r#"members eq "{nobody}""#), "").await;
        assert_eq!(found, super::no_match(), "{nobody}");
    }
    let one = directory.groups(&format!(r#"id eq "{inner}""#), "&startIndex=2").await;
    assert_eq!((&one["totalResults"], ids(&one).len()), (&json!(1), 0));
}

#[tokio::test]
async fn of_too_many_groups_none_is_looked_at_whatever_the_filter_compares() {
    let directory = Directory::new().await;
    let [ada] = directory.ids(["ada"]).await;
    let uuid = |id: &str| id.split_once('_').unwrap().1.to_owned();
    let mut connection = sqlx::PgConnection::connect(&directory.app.db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let fill = "with made as (
          insert into groups (tenant_id, id, display_name, created_at)
          select u.tenant_id, gen_random_uuid(), 'Team', now() from users u, generate_series(1, $2) where u.id = $1::uuid
          returning tenant_id, id)
        insert into group_members (tenant_id, group_id, member_id, mailbox_id)
        select made.tenant_id, made.id, m.id, m.id from made join mailboxes m on m.user_id = $1::uuid";
    sqlx::query(fill).bind(uuid(&ada)).bind(50_001).execute(&mut connection).await.unwrap();
    let one = directory.group(json!({"displayName": "Other", "externalId": "g-1"})).await;
    let filters = [
        format!(r#"members.value eq "{ada}""#),
        format!(r#"members[value eq "{ada}"] and displayName sw "O""#),
        r#"displayName eq "team""#.to_owned(),
        r#"displayName co "Other""#.to_owned(),
    ];
    for filter in filters {
        let path = format!("/Groups?count=1&filter={}", url_encoded(&filter));
        directory.get(&path).await.expect_scim(400, Some("tooMany"));
    }
    for filter in [r#"displayName eq "other""#, r#"externalId eq "g-1""#] {
        let found = directory.groups(filter, "").await;
        assert_eq!(found["Resources"][0]["id"], one.trim_start_matches("/Groups/"), "{filter}");
    }
    assert_eq!(directory.get("/Groups?count=1").await.expect(200)["totalResults"], 50_002);
}

#[tokio::test]
async fn who_may_not_read_groups_is_told_so_whatever_they_filter_by() {
    let directory = Directory::new().await;
    let path = format!("{}/api-keys", directory.tenant);
    let body = json!({"role": "tenant_admin", "actions": ["users:read"]});
    let key = text(&directory.app.post(&directory.admin, &path, body).await.expect(201)["secret"]);
    for filter in [r#"id eq "x""#, r#"members.value eq "x""#, r#"displayName eq "x""#] {
        let path = format!("{}/Groups?filter={}", directory.base, url_encoded(filter));
        directory.app.get(&key, &path).await.expect_scim(403, None);
    }
}
