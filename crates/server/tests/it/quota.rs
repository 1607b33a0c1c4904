//! The race for the last room: by LMTP, by REST and by import at once, at each level that can be full.

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use mailstore::message::{self, Filter};
use reqwest::Method;
use tenancy::reseller::{CapsChange, ResellerChange};
use tenancy::tenant::TenantChange;
use tenancy::user::User;
use tenancy::{Ctx, quota};
use testkit::client::http::Http;
use testkit::client::lmtp::Lmtp;
use testkit::story::server::Server;
use testkit::{World, world};

use crate::{BINARY, data_dir, pillarbox, stdout};

/// By each way; 64 writers together.
const BY_LMTP: usize = 28;
const BY_REST: usize = 28;
const BY_IMPORT: usize = 8;
/// Of a message; what a mail server puts before it is less than half of this.
const SIZE_BYTES: usize = 4_000;
/// There is room for one message and not for two.
const ROOM_BYTES: i64 = 6_000;

fn message(n: usize) -> String {
    let header = format!("From: <a@sender.example>\r\nSubject: {n}\r\n\r\n");
    let body = "0123456789 and on and on until the line is full\r\n".repeat(SIZE_BYTES / 49);
    header + &body
}

struct Race {
    world: World,
    server: Server,
    http: Http,
    dir: tempfile::TempDir,
}

impl Race {
    async fn new() -> Self {
        let (world, dir) = (World::new().await, data_dir());
        let url = world.test_db.url();
        let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
        let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
        let http = Http::new(server.listening().http).unwrap().with_token(world.operator_key().await);
        Self { world, server, http, dir }
    }

    /// Lets 64 writers at the users' mailboxes; how many were told that their message is kept.
    async fn acknowledged(&self, ctx: &Ctx, users: &[User]) -> usize {
        let by_lmtp = (0..BY_LMTP).map(|n| self.by_lmtp(n, &users[n % users.len()]));
        let by_rest = (0..BY_REST).map(|n| self.by_rest(ctx, n, &users[n % users.len()]));
        let by_import = (0..BY_IMPORT).map(|n| self.by_import(n, &users[n % users.len()]));
        let (lmtp, rest, import) = futures::join!(join_all(by_lmtp), join_all(by_rest), join_all(by_import));
        lmtp.into_iter().chain(rest).chain(import).filter(|&kept| kept).count()
    }

    async fn by_lmtp(&self, n: usize, user: &User) -> bool {
        let mut lmtp = Lmtp::connect(self.server.listening().lmtp).await.unwrap();
        let delivery =
            lmtp.deliver("a@sender.example", &[&user.address], message(n).as_bytes()).await.unwrap();
        let outcome = &delivery.outcomes[0];
        assert!(outcome.is_positive() || outcome.enhanced() == "5.2.2", "{outcome}");
        outcome.is_positive()
    }

    async fn by_rest(&self, ctx: &Ctx, n: usize, user: &User) -> bool {
        let path = format!("/v1/tenants/{}/mailboxes/{}/messages", ctx.tenant_id(), user.mailbox_id);
        let request = self.http.request(Method::POST, &path).header("content-type", "message/rfc822");
        let answer = Http::send(request.body(message(100 + n))).await.unwrap();
        if answer.status == 201 {
            return true;
        }
        answer.expect_problem(422, "quota_exceeded").unwrap();
        false
    }

    async fn by_import(&self, n: usize, user: &User) -> bool {
        let file = self.dir.path().join(format!("import-{}-{n}.eml", user.mailbox_id));
        std::fs::write(&file, message(200 + n)).unwrap();
        let (dir, url, address) =
            (self.dir.path().to_owned(), self.world.test_db.url(), user.address.clone());
        let run = move || {
            let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
            stdout(&pillarbox(&dir, &settings, &["import", "--mailbox", &address, text(&file)]))
        };
        let told = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(told.contains("taken 1,") || told.contains("failed 1"), "{told}");
        told.contains("taken 1,")
    }

    /// What is there is what was acknowledged, and every counter is the sum of what it counts.
    async fn expect_one(&self, ctx: &Ctx, users: &[User], acknowledged: usize) {
        let mut kept = 0;
        for user in users {
            let page = kernel::PageRequest::new(Some(200), None);
            kept += message::list(ctx, user.mailbox_id, Filter::default(), &page).await.unwrap().items.len();
        }
        assert_eq!((acknowledged, kept), (1, 1));
        let drift = mailstore::check::drift(&self.world.test_db.db()).await.unwrap();
        assert_eq!(drift, mailstore::check::Drift::default());
        assert_eq!(quota::drift(&self.world.test_db.db()).await.unwrap(), 0);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_writers_at_one_slot_by_three_ways_at_three_levels() {
    let race = Race::new().await;
    let (world, ctx) = (&race.world, &race.world.ctx);
    let deadline = Duration::from_secs(240);
    let all = async {
        let narrow = [world.user("narrow", Some(ROOM_BYTES)).await];
        let acknowledged = race.acknowledged(ctx, &narrow).await;
        race.expect_one(ctx, &narrow, acknowledged).await;

        let tenant = world::tenant(&world.operator, &world.reseller, "Pool").await;
        let pool = world.operator.enter(tenant.id).await.unwrap();
        world::domain(&pool, "pool.example").await;
        let users = two(&pool, "pool.example").await;
        let change = TenantChange { storage_limit_bytes: Some(Some(ROOM_BYTES)), ..Default::default() };
        tenancy::tenant::update(&pool, None, change).await.unwrap();
        let acknowledged = race.acknowledged(&pool, &users).await;
        race.expect_one(&pool, &users, acknowledged).await;

        let south = world::reseller(&world.operator, "South").await;
        let tenant = world::tenant(&world.operator, &south, "Below").await;
        let below = world.operator.enter(tenant.id).await.unwrap();
        world::domain(&below, "below.example").await;
        let users = two(&below, "below.example").await;
        let south = world.operator.enter_reseller(south.id).await.unwrap();
        let caps = CapsChange { storage_bytes: Some(Some(ROOM_BYTES)), ..Default::default() };
        let change = ResellerChange { caps, ..Default::default() };
        tenancy::reseller::update(&south, None, change).await.unwrap();
        let acknowledged = race.acknowledged(&below, &users).await;
        race.expect_one(&below, &users, acknowledged).await;
    };
    tokio::time::timeout(deadline, all).await.unwrap();
    race.server.stop().await.unwrap();
}

async fn two(ctx: &Ctx, domain: &str) -> [User; 2] {
    [
        world::user(ctx, &format!("ada@{domain}"), None).await,
        world::user(ctx, &format!("bob@{domain}"), None).await,
    ]
}
