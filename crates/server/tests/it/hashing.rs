//! The server's processes that hash passwords.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use db::SystemTx;
use reqwest::Method;
use tempfile::TempDir;
use testkit::World;
use testkit::client::http::Http;
use testkit::story::server::Server;
use testkit::world::PASSWORD;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::{BINARY, data_dir};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const WRONG: &str = "wrong horse battery staple";

/// Ada, and a server for her to sign in to.
struct Scene {
    world: World,
    server: Server,
    _dir: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (world, dir) = (World::new().await, data_dir());
        world.user("ada", None).await;
        let url = world.test_db.url();
        let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
        let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
        Self { world, server, _dir: dir }
    }

    /// The status of the answer.
    async fn sign_in(&self, password: &str) -> u16 {
        let http = Http::new(self.server.listening().http).unwrap();
        let request = http.request(Method::POST, "/v1/auth/token").body(form(password));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Http::send(request).await.unwrap().status.as_u16()
    }

    /// Signs in, and closes the connection after a while.
    async fn give_up(&self, password: &str, after: Duration) {
        let mut stream = TcpStream::connect(self.server.listening().http).await.unwrap();
        let form = form(password);
        let head = "POST /v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{form}", form.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(after).await;
    }

    fn hashers(&self) -> Vec<Process> {
        let server = self.server.pid().unwrap();
        let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let name = entry.unwrap().file_name();
            name.to_str()?.parse::<u32>().ok()
        });
        pids.filter_map(Process::read).filter(|one| one.parent == server && one.hashes()).collect()
    }

    /// The hashers, once there are as many as are wanted.
    async fn hashers_of(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<Process> {
        let began = Instant::now();
        loop {
            let found = self.hashers();
            if is_wanted(found.len()) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{found:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The only one.
    async fn hasher(&self) -> Process {
        self.hashers_of(|count| count == 1).await.remove(0)
    }

    /// How many wrong passwords were counted.
    #[expect(clippy::disallowed_methods, reason = "the test looks at what no tenant sees")]
    async fn failures(&self) -> i32 {
        let mut tx = SystemTx::begin(&self.world.test_db.db()).await.unwrap();
        let counted = sqlx::query_scalar("select coalesce(max(failures), 0) from sign_in_failures");
        counted.fetch_one(tx.conn()).await.unwrap()
    }
}

fn form(password: &str) -> String {
    format!("grant_type=password&username=ada@acme.example&password={}", password.replace(' ', "+"))
}

/// A process as `/proc/PID/stat` tells of it (proc_pid_stat(5)).
#[derive(Debug)]
struct Process {
    pid: u32,
    name: String,
    parent: u32,
    session: u32,
    nice: i32,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        let fields = after.split(' ').collect::<Vec<_>>();
        Some(Self {
            pid,
            name: before.split_once('(')?.1.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            nice: fields.get(16)?.parse().ok()?,
        })
    }

    /// Whether it runs and hashes passwords; one that has ended has no command line, though its parent has not waited for it.
    fn hashes(&self) -> bool {
        let line = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line == b"pillarbox\0hash-passwords\0"
    }

    /// The numbers of its descriptors.
    fn open_files(&self) -> BTreeSet<String> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        open.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid);
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_hashed_by_a_process_that_gives_way_and_knows_nothing_of_the_server() {
    let scene = Scene::new().await;
    assert_eq!(scene.hashers().len(), 0, "nobody has signed in");
    assert_eq!(scene.sign_in(PASSWORD).await, 200);
    let hasher = scene.hasher().await;
    assert_eq!((hasher.session, hasher.nice), (hasher.pid, 15), "{hasher:?}");
    assert_eq!(hasher.name, "pillarbox-hash");
    assert_eq!(std::fs::read(format!("/proc/{}/environ", hasher.pid)).unwrap(), b"");
    if Path::new("/proc/self/autogroup").exists() {
        let (autogroup, began) = (format!("/proc/{}/autogroup", hasher.pid), Instant::now());
        // Another process may have had this tenth of a second; the next password is the next try.
        while !std::fs::read_to_string(&autogroup).unwrap().ends_with(" nice 15\n") {
            assert!(began.elapsed() < PATIENCE, "{:?}", std::fs::read_to_string(&autogroup));
            assert_eq!(scene.sign_in(PASSWORD).await, 200);
        }
        let of_server = format!("/proc/{}/autogroup", scene.server.pid().unwrap());
        assert!(!std::fs::read_to_string(of_server).unwrap().ends_with(" nice 15\n"));
    }
    assert_eq!(
        hasher.open_files(),
        BTreeSet::from(["0", "1", "2"].map(str::to_owned)),
        "its pipes and the log"
    );
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", hasher.pid)).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().take(2).collect::<Vec<_>>(), ["1"; 2], "{limits}");
    assert_eq!(scene.hasher().await.pid, hasher.pid, "one is enough for one after the other");
    assert!(scene.server.stop().await.unwrap().success());
    assert_ends(&hasher).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_hashed_though_the_process_that_does_it_was_killed() {
    let scene = Scene::new().await;
    assert_eq!(scene.sign_in(PASSWORD).await, 200);
    for _ in 0..3 {
        let hasher = scene.hasher().await;
        hasher.signal("KILL");
        assert_eq!(scene.sign_in(PASSWORD).await, 200);
        assert_ne!(scene.hasher().await.pid, hasher.pid);
    }
    scene.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hashes_passwords_ends_when_the_server_is_killed() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.sign_in(PASSWORD).await, 200);
    let hasher = scene.hasher().await;
    scene.server.kill().await.unwrap();
    assert_ends(&hasher).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_that_are_given_up_stop_nobody_and_nobody_gets_their_answer() {
    let scene = Scene::new().await;
    for round in 0..3 {
        // Some before their turn, some while their password is hashed, some after.
        let given_up = (0..20).map(|n| scene.give_up(PASSWORD, Duration::from_millis(7 * n)));
        futures::future::join_all(given_up).await;
        assert_eq!(scene.sign_in(WRONG).await, 400, "round {round}");
        let began = Instant::now();
        let right = futures::future::join_all((0..4).map(|_| scene.sign_in(PASSWORD))).await;
        assert_eq!(right, [200; 4], "round {round}");
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    }
    let turns = std::thread::available_parallelism().unwrap().get().saturating_sub(1).max(1);
    scene.hashers_of(|count| (1..=turns).contains(&count)).await;
    scene.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_counts_though_nobody_waits_for_the_answer() {
    let scene = Scene::new().await;
    assert_eq!(scene.sign_in(PASSWORD).await, 200);
    let hasher = scene.hasher().await;
    hasher.signal("STOP");
    scene.give_up(WRONG, Duration::from_secs(1)).await;
    // The server has seen the end of the connection by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.failures().await, 0, "it has not been compared");
    hasher.signal("CONT");
    let began = Instant::now();
    while scene.failures().await == 0 {
        assert!(began.elapsed() < PATIENCE, "it was never counted");
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(scene.sign_in(PASSWORD).await, 200);
    assert_eq!(scene.hasher().await.pid, hasher.pid, "it has no need to be started again");
    scene.server.stop().await.unwrap();
}

async fn assert_ends(hasher: &Process) {
    let began = Instant::now();
    while hasher.hashes() {
        assert!(began.elapsed() < PATIENCE, "{hasher:?} goes on");
        tokio::time::sleep(POLL).await;
    }
}
