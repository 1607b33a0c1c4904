//! Starting, watching and stopping the postmaster, by Postgres' own `initdb` and `pg_ctl`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::binaries::Binaries;
use super::layout::{Layout, PORT, socket_in};
use super::{Error, Profile, io};

const POLL: Duration = Duration::from_millis(20);
/// How long an orderly shutdown may take before it counts as failed.
const STOP_TIMEOUT_SECONDS: u64 = 60;
/// How much of the server's log goes into an error.
const LOG_LINES: usize = 8;

/// The postmaster of one directory, running or not.
#[derive(Debug, Clone)]
pub(super) struct Server {
    layout: Layout,
    binaries: Binaries,
    profile: Profile,
}

impl Server {
    /// Finds the programs for the directory's data, or for new data when it has none.
    pub(super) fn find(layout: Layout, profile: Profile) -> Result<Self, Error> {
        let data = layout.data();
        let version = std::fs::read_to_string(data.join("PG_VERSION")).ok();
        let wanted = version.and_then(|text| text.trim().parse().ok());
        let binaries = Binaries::find(wanted, &data, layout.account())?;
        Ok(Self { layout, binaries, profile })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A connection URL; explicit about port and TLS, since `PG…` variables would fill in what it leaves out.
    pub(super) fn url(&self, role: &str, database: &str) -> Result<String, Error> {
        let socket_dir = self.answering_at().ok_or_else(|| self.not_ready())?;
        let host = percent_encode(socket_dir.as_os_str().as_bytes());
        Ok(format!("postgres://{role}@localhost:{PORT}/{database}?host={host}&sslmode=disable"))
    }

    /// Whether it takes connections.
    pub(super) fn is_ready(&self) -> bool {
        self.answering_at().is_some()
    }

    /// The directory of the socket that it answers at. It is recorded in the file that the postmaster keeps: who started
    /// it may have chosen another directory than we would.
    fn answering_at(&self) -> Option<PathBuf> {
        let pid_file = std::fs::read_to_string(self.layout.data().join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = pid_file.lines().collect();
        let ready = lines.get(7)?.trim() == "ready";
        let socket_dir = PathBuf::from(lines.get(4)?);
        (ready && UnixStream::connect(socket_in(&socket_dir)).is_ok()).then_some(socket_dir)
    }

    fn not_ready(&self) -> Error {
        Error::NotReady { dir: self.layout.dir().to_owned(), log: self.layout.log() }
    }

    /// Returns once it takes connections; true if we started it. Only with the turn in hand.
    pub(super) fn ensure_running(&self, deadline: Instant) -> Result<bool, Error> {
        loop {
            if self.is_ready() {
                return Ok(false);
            }
            match self.occupancy() {
                // Of a postmaster that is starting or stopping, or backends that have yet to notice its death.
                Occupancy::Taken => {
                    if Instant::now() >= deadline {
                        return Err(self.not_ready());
                    }
                    std::thread::sleep(POLL);
                    continue;
                }
                Occupancy::Free => self.clear_remains()?,
                Occupancy::Unknown => {}
            }
            self.initialise()?;
            self.start(deadline)?;
            return Ok(true);
        }
    }

    /// Shuts it down when it runs: ends sessions, writes a checkpoint, waits for the end.
    pub(super) fn shut_down(&self) -> Result<(), Error> {
        if !self.layout.data().join("postmaster.pid").exists() {
            return Ok(());
        }
        let timeout = STOP_TIMEOUT_SECONDS.to_string();
        match self.run("pg_ctl", &["stop", "-D", "data", "-s", "-w", "-m", "fast", "-t", &timeout]) {
            // It had died before, or went on its own while we asked.
            Err(_) if self.occupancy() == Occupancy::Free => Ok(()),
            outcome => outcome,
        }
    }

    /// As [`Self::shut_down`], of one whose users were killed, perhaps long ago: the number in its file may be another process's by now. Only while nobody
    /// uses it.
    pub(super) fn shut_down_abandoned(&self) -> Result<(), Error> {
        let is_seen = || processes_in(&self.layout.data(), self.layout.account().uid).is_some();
        match self.occupancy() {
            Occupancy::Taken if is_seen() || self.is_ready() => self.shut_down(),
            Occupancy::Taken => Err(self.not_ready()),
            Occupancy::Free | Occupancy::Unknown => Ok(()),
        }
    }

    /// Whether Postgres is at work in the data directory.
    fn occupancy(&self) -> Occupancy {
        let data = self.layout.data();
        match processes_in(&data, self.layout.account().uid) {
            Some(0) => return Occupancy::Free,
            Some(_) => return Occupancy::Taken,
            None => {}
        }
        // Some Postgres of the account is at work, here or elsewhere. The file is there from a postmaster's first moment
        // to its orderly end.
        match std::fs::read_to_string(data.join("postmaster.pid")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Occupancy::Free,
            Ok(file) if recorded_process_exists(&file) => Occupancy::Taken,
            _ => Occupancy::Unknown,
        }
    }

    /// Removes the marks of a dead postmaster. Postgres does that itself unless the process id has been given to another
    /// process of the same account, as is usual in containers. Only when the directory is free for certain: without the
    /// file Postgres would start beside one that still runs.
    fn clear_remains(&self) -> Result<(), Error> {
        let socket = socket_in(self.layout.socket_dir());
        let lock = socket.with_file_name(format!(".s.PGSQL.{PORT}.lock"));
        for path in [self.layout.data().join("postmaster.pid"), socket, lock] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("removing", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the data directory when there is none; whole or not at all.
    fn initialise(&self) -> Result<(), Error> {
        let data = self.layout.data();
        if data.exists() {
            return Ok(());
        }
        let unfinished = self.layout.dir().join("data.new");
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).map_err(io("removing", &unfinished))?;
        }
        tracing::info!(dir = %self.layout.dir().display(), "making a private postgres cluster");
        let common = ["-D", "data.new", "-U", "postgres", "-A", "peer", "--no-locale", "-E", "UTF8"];
        let special: &[&str] = match self.profile {
            Profile::Durable => &["--data-checksums"],
            Profile::Test => &["--no-sync", "--wal-segsize=1"],
        };
        self.run("initdb", &[&common, special].concat())?;
        std::fs::rename(&unfinished, &data).map_err(io("renaming", &unfinished))?;
        std::fs::File::open(self.layout.dir())
            .and_then(|dir| dir.sync_all())
            .map_err(io("syncing", self.layout.dir()))
    }

    fn start(&self, deadline: Instant) -> Result<(), Error> {
        self.write_settings()?;
        let timeout = deadline.saturating_duration_since(Instant::now()).as_secs().max(1).to_string();
        // Relative paths: pg_ctl passes them through a shell. It also gives the postmaster a session of its own, so that
        // Ctrl-C ends Pillarbox first.
        let started =
            self.run("pg_ctl", &["start", "-D", "data", "-s", "-w", "-t", &timeout, "-l", "postgres.log"]);
        started.map_err(|error| match error {
            Error::Program { program, output } => {
                Error::Program { program, output: format!("{output}\n{}", last_lines(&self.layout.log())) }
            }
            other => other,
        })
    }

    fn write_settings(&self) -> Result<(), Error> {
        let users = &self.layout.account().admitted;
        let ident: String = ["postgres", "pillarbox"]
            .iter()
            .flat_map(|role| users.iter().map(move |user| format!("pillarbox \"{user}\" {role}\n")))
            .collect();
        let mut conf = settings(self.layout.socket_dir(), self.profile);
        if self.layout.dir().join("local.conf").exists() {
            conf.push_str("include = '../local.conf'\n");
        }
        self.write("postgresql.conf", &conf)?;
        self.write("pg_hba.conf", "local all all peer map=pillarbox\n")?;
        self.write("pg_ident.conf", &ident)
    }

    fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.layout.data().join(name);
        std::fs::write(&path, content).map_err(io("writing", &path))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .map_err(io("restricting", &path))?;
        self.layout.account().own(&path)
    }

    fn run(&self, program: &'static str, arguments: &[&str]) -> Result<(), Error> {
        let path = self.binaries.program(program);
        let output = self
            .layout
            .account()
            .command(&path, self.layout.dir())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(io("running", &path))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Program { program, output: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }
}

/// What stands in `postgresql.conf`, written at every start.
fn settings(socket_dir: &Path, profile: Profile) -> String {
    let sockets = quote(&format!("\"{}\"", socket_dir.display().to_string().replace('"', "\"\"")));
    // Terse: the detail of a violated constraint quotes the row, which may hold a person's address.
    let common = format!(
        "# Written by Pillarbox at every start; put settings of your own into ../local.conf, which is read last.\n\
         listen_addresses = ''\nport = {PORT}\nunix_socket_directories = {sockets}\nunix_socket_permissions = 0700\n\
         timezone = 'UTC'\nlog_timezone = 'UTC'\nlc_messages = 'C'\njit = off\n\
         log_checkpoints = off\nlog_error_verbosity = terse\n"
    );
    let special = match profile {
        Profile::Durable => {
            // Until it has come by, nothing is known of a table that was just filled, and plans are bad.
            "fsync = on\nsynchronous_commit = on\nfull_page_writes = on\nmax_connections = 100\nautovacuum_naptime = '15s'\n"
        }
        Profile::Test => {
            "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\n\
             wal_level = minimal\nmax_wal_senders = 0\nautovacuum_naptime = '1h'\n"
        }
    };
    common + special
}

/// A string in the syntax of `postgresql.conf`.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn percent_encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, &byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
        out
    })
}

/// Whether a data directory has processes of Postgres at work in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occupancy {
    /// It has, or the number of its last postmaster is in use and we cannot see by whom.
    Taken,
    /// It has none for certain.
    Free,
    /// We cannot see any, nor rule it out. Postgres, which marks its shared memory, can at its next start.
    Unknown,
}

/// How many processes of the account `uid` have `data` as their working directory, as the postmaster and all of its
/// children do. `None` where the system has no `/proc` to tell, or keeps from us where one of that account's Postgres
/// processes works: in a container, root may lack the right to look.
fn processes_in(data: &Path, uid: u32) -> Option<usize> {
    std::fs::read_link("/proc/self/cwd").ok()?;
    let mut count = 0;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        // One that has ended meanwhile works nowhere. Postgres runs as nobody but the owner of its data.
        let numbered = process.file_name().as_bytes().iter().all(u8::is_ascii_digit);
        if !numbered || process.metadata().map_or(true, |meta| meta.uid() != uid) {
            continue;
        }
        let stat = || std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        count += usize::from(works_in(data, std::fs::read_link(process.path().join("cwd")), stat)?);
    }
    Some(count)
}

/// Whether a process works in `data`, from its `/proc/PID/cwd` and, when that may not be read, from its
/// `/proc/PID/stat`, which everybody may; `None` when neither tells.
fn works_in(data: &Path, cwd: std::io::Result<PathBuf>, stat: impl FnOnce() -> String) -> Option<bool> {
    match cwd {
        Ok(cwd) => Some(cwd == data),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            if is_live_postgres(&stat()) {
                None
            } else {
                Some(false)
            }
        }
        Err(_) => Some(false),
    }
}

/// Whether the line of `/proc/PID/stat` (proc(5): `PID (NAME) STATE …`) is of a Postgres that has not ended.
fn is_live_postgres(stat: &str) -> bool {
    let name_and_state = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") "));
    name_and_state.is_some_and(|(name, state)| name == "postgres" && !state.starts_with(['Z', 'X']))
}

/// Whether the process exists, in whatever state, that a `postmaster.pid` names in its first line.
fn recorded_process_exists(pid_file: &str) -> bool {
    let pid = pid_file.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
    pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

fn last_lines(log: &Path) -> String {
    let text =
        std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn awkward_socket_paths_survive_both_kinds_of_quoting() {
        let conf = settings(Path::new("/srv/o'hara, \"b\\c\"/run"), Profile::Durable);
        assert!(conf.contains(r#"unix_socket_directories = '"/srv/o''hara, ""b\\c""/run"'"#), "{conf}");
        assert_eq!(percent_encode("/a b/é&?#%".as_bytes()), "/a%20b/%C3%A9%26%3F%23%25");
    }

    #[test]
    fn only_the_test_profile_gives_up_durability() {
        let durable = settings(Path::new("/run/x"), Profile::Durable);
        for setting in ["fsync = on", "synchronous_commit = on", "full_page_writes = on"] {
            assert!(durable.contains(setting), "{setting} in {durable}");
        }
        assert!(!durable.contains("= off\nsynchronous"));
        assert!(settings(Path::new("/run/x"), Profile::Test).contains("fsync = off"));
    }

    #[test]
    fn processes_are_counted_by_their_account_and_working_directory() {
        let here = std::env::current_dir().unwrap();
        let own = std::fs::metadata("/proc/self").unwrap().uid();
        assert!(processes_in(&here, own).unwrap() >= 1);
        assert_eq!(processes_in(Path::new("/nowhere/at/all"), own), Some(0));
        assert_eq!(processes_in(&here, u32::MAX - 7), Some(0));
    }

    #[test]
    fn a_postgres_that_we_may_not_look_at_is_not_taken_for_absent() {
        let judge = |cwd: Result<&str, i32>, stat: &str| {
            let cwd = cwd.map(PathBuf::from).map_err(std::io::Error::from_raw_os_error);
            works_in(Path::new("/pg/data"), cwd, || stat.to_owned())
        };
        let (eperm, enoent, eacces) = (1, 2, 13);
        let postgres = "17 (postgres) S 1 17 17 0 -1";
        assert_eq!(judge(Ok("/pg/data"), postgres), Some(true));
        assert_eq!(judge(Ok("/other/data"), postgres), Some(false));
        assert_eq!(judge(Err(eacces), postgres), None);
        assert_eq!(judge(Err(eperm), postgres), None);
        assert_eq!(judge(Err(enoent), postgres), Some(false), "it has ended");
        assert_eq!(judge(Err(eacces), "17 (postgres) Z 1 17 17 0 -1"), Some(false), "nobody waits for it");
        assert_eq!(judge(Err(eacces), "17 (pillarbox) S 1 17 17 0 -1"), Some(false), "the number's next");
        assert_eq!(judge(Err(eacces), "17 (a) S (postgres) R 1 17"), Some(false), "a name with brackets");
        assert_eq!(judge(Err(eacces), ""), Some(false), "it has ended meanwhile");
    }

    #[test]
    fn a_recorded_process_is_looked_up_by_its_number() {
        assert!(recorded_process_exists(&format!("{}\n/pg/data\n", std::process::id())));
        assert!(!recorded_process_exists("4294967295\n/pg/data\n"));
        assert!(!recorded_process_exists(""));
    }
}
