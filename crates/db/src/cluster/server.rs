//! Starting, watching and stopping the postmaster, by Postgres' own `initdb` and `pg_ctl`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
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
            match processes_in(&self.layout.data()) {
                // Of a postmaster that is starting or stopping, or backends that have yet to notice its death.
                Some(alive) if alive > 0 => {
                    if Instant::now() >= deadline {
                        return Err(self.not_ready());
                    }
                    std::thread::sleep(POLL);
                    continue;
                }
                Some(_) => self.clear_remains()?,
                None => {}
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
            Err(_) if processes_in(&self.layout.data()) == Some(0) => Ok(()),
            outcome => outcome,
        }
    }

    /// Removes the marks of a dead postmaster. Postgres does that itself unless the process id has been given to another
    /// process of the same account, as is usual in containers; that nobody works in the data directory is certain here.
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
            "fsync = on\nsynchronous_commit = on\nfull_page_writes = on\nmax_connections = 100\n"
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

/// How many processes have `data` as their working directory, as the postmaster and all of its children do. `None`
/// where the system has no `/proc` to tell.
fn processes_in(data: &Path) -> Option<usize> {
    std::fs::read_link("/proc/self/cwd").ok()?;
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    let working_there = |entry: &std::fs::DirEntry| {
        entry.file_name().as_bytes().iter().all(u8::is_ascii_digit)
            && std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data)
    };
    Some(entries.filter(working_there).count())
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
    fn processes_are_counted_by_their_working_directory() {
        let here = std::env::current_dir().unwrap();
        assert!(processes_in(&here).unwrap() >= 1);
        assert_eq!(processes_in(Path::new("/nowhere/at/all")), Some(0));
    }
}
