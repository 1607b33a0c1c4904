//! Why a private cluster cannot be had, in words that say what to do.

use std::path::PathBuf;

use crate::cluster::binaries::OLDEST_MAJOR;

/// A private cluster could not be started, joined or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable server programs on this machine; each place looked at, with what was wrong there.
    #[error(
        "no postgres {OLDEST_MAJOR} or later with its contrib modules found ({}); \
         run deploy/local/install.sh, or name its bin directory in PG_BIN, or set PILLARBOX_DATABASE_URL",
        .looked_at.join("; ")
    )]
    NoBinaries {
        /// One line a place.
        looked_at: Vec<String>,
    },
    /// There is data, but no server programs of the version that wrote it.
    #[error(
        "{} was written by postgres {wanted}, and this machine has {}; install postgresql-{wanted}, \
         or name its bin directory in PG_BIN",
        .data.display(), if .found.is_empty() { "none".to_owned() } else { .found.join(", ") }
    )]
    WrongVersion {
        /// The data directory.
        data: PathBuf,
        /// The major version in it.
        wanted: u32,
        /// What there is instead.
        found: Vec<String>,
    },
    /// Postgres refuses to run as root, and there is no account to run it as.
    #[error("postgres does not run as root, and neither account postgres nor nobody exists here")]
    NoAccount,
    /// The data directory belongs to root, as whom Postgres refuses to run.
    #[error("{} belongs to root, as whom postgres does not run; give it to the account postgres with chown -R", .0.display())]
    OwnedByRoot(PathBuf),
    /// The account that Postgres runs as cannot get at the directory.
    #[error("postgres runs as user id {uid}, which may not enter {}; choose another data directory or chmod o+x it", .blocked_at.display())]
    NotTraversable {
        /// The user id.
        uid: u32,
        /// The first directory on the way that keeps it out.
        blocked_at: PathBuf,
    },
    /// The directory for the socket, or its name, is not usable.
    #[error("{} cannot hold the database's socket: {reason}", .path.display())]
    SocketDir {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// One of Postgres' programs failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it and the server's log said last.
        output: String,
    },
    /// Another process is starting, stopping or recovering this cluster and has not finished.
    #[error("the postgres in {} was not ready in time; see {}", .dir.display(), .log.display())]
    NotReady {
        /// The cluster's directory.
        dir: PathBuf,
        /// Its log.
        log: PathBuf,
    },
    /// The operating system said no.
    #[error("{doing} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The server runs but does not do as it is told.
    #[error("setting up the private postgres: {0}")]
    Sql(#[from] sqlx::Error),
}
