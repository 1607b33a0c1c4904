//! The private cluster, against the Postgres on this machine.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use db::Db;
use db::cluster::{self, Cluster, Error, Options, Profile};
use kernel::Env;
use sqlx::{Connection, PgConnection};

/// A directory that Postgres' account can get to; removed with all that is in it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = Path::new("/var/tmp").join(format!("pillarbox-cluster-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn options(&self, profile: Profile) -> Options {
        Options { dir: self.0.join("pg"), profile }
    }

    fn postmaster_pid(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join("pg/data/postmaster.pid")).ok()?;
        text.lines().next().map(str::to_owned)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(cluster.url()).await.unwrap()
}

async fn text(conn: &mut PgConnection, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}

async fn unsafe_settings(cluster: &Cluster) -> Vec<String> {
    let db = Db::connect(cluster.url(), Env::system()).await.unwrap();
    let off = db.unsafe_settings().await.unwrap();
    db.close().await;
    off
}

#[tokio::test]
async fn settings_that_give_up_what_was_acknowledged_are_named() {
    let dir = Dir::new("unsafe");
    let cluster = Cluster::start(dir.options(Profile::Test)).await.unwrap();
    assert_eq!(unsafe_settings(&cluster).await, ["fsync", "full_page_writes", "synchronous_commit"]);
    cluster.stop().await.unwrap();
}

fn kill_9(pid: &str) {
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
}

#[tokio::test]
async fn a_cold_start_gives_a_durable_database_to_a_role_that_is_no_superuser() {
    let dir = Dir::new("cold");
    let cluster = Cluster::start(dir.options(Profile::Durable)).await.unwrap();
    assert!(cluster.started());
    let mut conn = connect(&cluster).await;
    let role = "select concat_ws(' ', current_user, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls)
                from pg_roles where rolname = current_user";
    assert_eq!(text(&mut conn, role).await, "pillarbox f t f f");
    let owner = "select pg_get_userbyid(datdba)::text from pg_database where datname = current_database()";
    assert_eq!(text(&mut conn, owner).await, "pillarbox");
    let settings = "select string_agg(setting, ' ' order by name) from pg_settings where name in
        ('data_checksums', 'fsync', 'full_page_writes', 'listen_addresses', 'server_encoding', 'synchronous_commit')";
    assert_eq!(text(&mut conn, settings).await, "on on on  UTF8 on");
    sqlx::raw_sql("create extension btree_gist; create role made nologin").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    assert_eq!(unsafe_settings(&cluster).await, [""; 0]);
    cluster.stop().await.unwrap();
    assert_eq!(dir.postmaster_pid(), None, "stopped in an orderly way");
}

#[tokio::test]
async fn nobody_but_its_account_and_root_gets_at_the_socket() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new("socket");
    let cluster = Cluster::start(dir.options(Profile::Test)).await.unwrap();
    for place in ["pg", "pg/data", "pg/run"] {
        let mode = std::fs::metadata(dir.0.join(place)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{place}");
    }
    // The second belt: an account that did get there is turned away by name.
    let ident = std::fs::read_to_string(dir.0.join("pg/data/pg_ident.conf")).unwrap();
    let own = Command::new("id").arg("-un").output().unwrap().stdout;
    let own = format!("\"{}\"", String::from_utf8(own).unwrap().trim());
    for line in ident.lines() {
        assert!(line.contains("\"root\"") || line.contains(&own), "{line}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_restart_keeps_the_data() {
    let dir = Dir::new("restart");
    let cluster = Cluster::start(dir.options(Profile::Durable)).await.unwrap();
    let mut conn = connect(&cluster).await;
    sqlx::raw_sql("create table kept as select 'still here' as word").execute(&mut conn).await.unwrap();
    cluster.stop().await.unwrap();
    let cluster = Cluster::start(dir.options(Profile::Durable)).await.unwrap();
    assert!(cluster.started());
    assert_eq!(text(&mut connect(&cluster).await, "select word from kept").await, "still here");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_postmaster_is_started_again_with_what_was_committed() {
    let dir = Dir::new("killed");
    let cluster = Cluster::start(dir.options(Profile::Durable)).await.unwrap();
    let mut conn = connect(&cluster).await;
    sqlx::raw_sql("create table kept as select 'committed' as word").execute(&mut conn).await.unwrap();
    let killed = dir.postmaster_pid().unwrap();
    kill_9(&killed);
    assert_eq!(dir.postmaster_pid().as_deref(), Some(killed.as_str()), "the stale file stays behind");
    let again = Cluster::start(dir.options(Profile::Durable)).await.unwrap();
    assert!(again.started());
    assert_eq!(text(&mut connect(&again).await, "select word from kept").await, "committed");
    drop(cluster);
    again.stop().await.unwrap();
    assert_eq!(dir.postmaster_pid(), None);
}

#[tokio::test]
async fn the_process_id_of_a_dead_postmaster_may_belong_to_another_process() {
    let dir = Dir::new("reused");
    Cluster::start(dir.options(Profile::Test)).await.unwrap().stop().await.unwrap();
    // As found after a power cut, when the account's next process happens to have got the number.
    let decoy = Cluster::start(Options { dir: dir.0.join("decoy"), profile: Profile::Test }).await.unwrap();
    let pid_file = std::fs::read_to_string(dir.0.join("decoy/data/postmaster.pid")).unwrap();
    let forged = pid_file.replace("/decoy/", "/pg/");
    std::fs::write(dir.0.join("pg/data/postmaster.pid"), forged).unwrap();
    let cluster = Cluster::start(dir.options(Profile::Test)).await.unwrap();
    assert!(cluster.started());
    connect(&cluster).await.ping().await.unwrap();
    cluster.stop().await.unwrap();
    connect(&decoy).await.ping().await.unwrap();
    decoy.stop().await.unwrap();
}

#[tokio::test]
async fn the_supervisor_starts_a_killed_postmaster_again() {
    let dir = Dir::new("supervised");
    let cluster = Cluster::start(dir.options(Profile::Test)).await.unwrap();
    let killed = dir.postmaster_pid().unwrap();
    kill_9(&killed);
    let deadline = Instant::now() + Duration::from_secs(30);
    let recovered = async {
        while PgConnection::connect(cluster.url()).await.is_err() {
            assert!(Instant::now() < deadline, "not started again in time");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        never = cluster.supervise() => match never {},
        () = recovered => {}
    }
    assert_ne!(dir.postmaster_pid(), Some(killed));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn others_join_and_the_last_one_out_stops_it() {
    let dir = Dir::new("join");
    let (one, two) =
        tokio::join!(Cluster::start(dir.options(Profile::Test)), Cluster::start(dir.options(Profile::Test)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.started() != two.started(), "exactly one of two at once starts it");
    assert_eq!(one.url(), two.url());
    // Whoever started it may leave first.
    let (first, last) = if one.started() { (one, two) } else { (two, one) };
    first.stop().await.unwrap();
    connect(&last).await.ping().await.unwrap();
    last.stop().await.unwrap();
    assert_eq!(dir.postmaster_pid(), None);
}

/// Not a test by itself: the process that the next ones kill.
#[tokio::test]
#[ignore = "run by those that call killed_process"]
async fn process_to_be_killed() {
    let Some(dir) = std::env::var_os("CLUSTER_DIR") else { return };
    let options = Options { dir: dir.into(), profile: Profile::Test };
    let _cluster = Cluster::start(options).await.unwrap();
    println!("started");
    std::future::pending::<()>().await;
}

/// Leaves a cluster as a process does that is killed while it uses it.
fn killed_process(options: &Options) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "process_to_be_killed", "--nocapture"])
        .env("CLUSTER_DIR", &options.dir)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = std::io::BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("started") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut output, &mut line).unwrap() > 0, "it ended early");
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn what_a_killed_process_left_running_is_shut_down_unless_another_uses_it() {
    let dir = Dir::new("abandoned");
    let options = dir.options(Profile::Test);
    assert!(cluster::shut_down_abandoned(&options.dir).await.unwrap(), "there is none");
    assert!(!options.dir.exists());
    killed_process(&options);
    let user = Cluster::start(options.clone()).await.unwrap();
    assert!(!user.started());
    assert!(!cluster::shut_down_abandoned(&options.dir).await.unwrap());
    connect(&user).await.ping().await.unwrap();
    user.stop().await.unwrap();

    killed_process(&options);
    assert!(dir.postmaster_pid().is_some());
    assert!(cluster::shut_down_abandoned(&options.dir).await.unwrap());
    assert_eq!(dir.postmaster_pid(), None);
    assert!(cluster::shut_down_abandoned(&options.dir).await.unwrap(), "it has ended before");
}

#[tokio::test]
async fn a_process_that_has_got_the_number_of_an_abandoned_postmaster_is_not_stopped_for_it() {
    let dir = Dir::new("renumbered");
    Cluster::start(dir.options(Profile::Test)).await.unwrap().stop().await.unwrap();
    let decoy = Cluster::start(Options { dir: dir.0.join("decoy"), profile: Profile::Test }).await.unwrap();
    let pid_file = std::fs::read_to_string(dir.0.join("decoy/data/postmaster.pid")).unwrap();
    // It answers at a place of its own, which is not here.
    let forged = pid_file.replace("/decoy/", "/pg/");
    std::fs::write(dir.0.join("pg/data/postmaster.pid"), forged).unwrap();
    // Where it cannot be seen who works in the folder, that is told instead.
    let _ = cluster::shut_down_abandoned(&dir.0.join("pg")).await;
    connect(&decoy).await.ping().await.unwrap();
    decoy.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_process_leaves_its_postmaster_to_the_next() {
    let dir = Dir::new("orphan");
    let options = dir.options(Profile::Test);
    killed_process(&options);
    let orphan = dir.postmaster_pid().unwrap();
    let cluster = Cluster::start(options).await.unwrap();
    assert!(!cluster.started(), "the running one is adopted");
    assert_eq!(dir.postmaster_pid(), Some(orphan));
    connect(&cluster).await.ping().await.unwrap();
    cluster.stop().await.unwrap();
    assert_eq!(dir.postmaster_pid(), None, "and stopped by who adopted it");
}

#[tokio::test]
async fn a_postmaster_without_the_database_is_given_it_by_who_adopts_it() {
    let dir = Dir::new("bare");
    let cluster = Cluster::start(dir.options(Profile::Test)).await.unwrap();
    // As found when the process that started it was killed before it came to make the database.
    let superuser =
        cluster.url().replace("pillarbox@localhost:5432/pillarbox", "postgres@localhost:5432/postgres");
    let mut conn = PgConnection::connect(&superuser).await.unwrap();
    sqlx::raw_sql("drop database pillarbox").execute(&mut conn).await.unwrap();
    sqlx::raw_sql("drop role pillarbox").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let heir = Cluster::start(dir.options(Profile::Test)).await.unwrap();
    assert!(!heir.started());
    connect(&heir).await.ping().await.unwrap();
    heir.stop().await.unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_initdb_is_done_anew() {
    let dir = Dir::new("half");
    std::fs::create_dir_all(dir.0.join("pg/data.new/base")).unwrap();
    std::fs::write(dir.0.join("pg/data.new/PG_VERSION"), "15\n").unwrap();
    let cluster = Cluster::start(dir.options(Profile::Test)).await.unwrap();
    connect(&cluster).await.ping().await.unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_path_gets_its_socket_elsewhere() {
    let dir = Dir::new("long");
    let options = Options { dir: dir.0.join("d".repeat(100)), profile: Profile::Test };
    let cluster = Cluster::start(options).await.unwrap();
    connect(&cluster).await.ping().await.unwrap();
    let (_, rest) = cluster.url().split_once("host=").unwrap();
    let socket_dir = PathBuf::from(rest.split('&').next().unwrap());
    assert!(!socket_dir.starts_with(&dir.0), "{}", socket_dir.display());
    cluster.stop().await.unwrap();
    std::fs::remove_dir_all(socket_dir).unwrap();
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_its_reason() {
    let dir = Dir::new("refused");
    // Data of a version that this machine does not have.
    std::fs::create_dir_all(dir.0.join("pg/data")).unwrap();
    std::fs::write(dir.0.join("pg/data/PG_VERSION"), "99\n").unwrap();
    let as_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if as_root {
        let refused = Cluster::start(dir.options(Profile::Test)).await.unwrap_err();
        assert!(matches!(refused, Error::OwnedByRoot(_)), "{refused}");
        assert!(
            Command::new("chown").arg("-R").arg("nobody").arg(dir.0.join("pg")).status().unwrap().success()
        );
    }
    let refused = Cluster::start(dir.options(Profile::Test)).await.unwrap_err();
    assert!(matches!(refused, Error::WrongVersion { wanted: 99, .. }), "{refused}");
    assert!(refused.to_string().contains("install postgresql-99"), "{refused}");
    if as_root {
        // A way that is closed to Postgres' account.
        use std::os::unix::fs::PermissionsExt;
        let closed = dir.0.join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        let options = Options { dir: closed.join("pg"), profile: Profile::Test };
        match Cluster::start(options).await.unwrap_err() {
            Error::NotTraversable { blocked_at, .. } => assert_eq!(blocked_at, closed),
            other => panic!("{other}"),
        }
    }
}
