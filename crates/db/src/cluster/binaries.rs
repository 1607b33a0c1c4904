//! Finding Postgres' server programs on this machine. Nothing is ever downloaded.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::Error;
use super::account::Account;

/// The oldest major version that Pillarbox runs on.
pub(super) const OLDEST_MAJOR: u32 = 15;
/// Extensions that the migrations create; they come with Postgres' contrib modules.
const EXTENSIONS: [&str; 1] = ["btree_gist"];
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];
/// Where Debian and Ubuntu keep each version's programs, which they leave out of PATH.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// A directory of server programs of one version.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    bin: PathBuf,
    major: u32,
}

impl Binaries {
    /// The programs to use: those of version `wanted` when the data decides it, else the first that serve.
    pub(super) fn find(wanted: Option<u32>, data: &Path, account: &Account) -> Result<Self, Error> {
        let mut looked_at = Vec::new();
        let mut usable = Vec::new();
        for bin in candidates() {
            match Self::inspect(&bin, account) {
                Ok(binaries) => usable.push(binaries),
                Err(reason) => looked_at.push(format!("{}: {reason}", bin.display())),
            }
        }
        if usable.is_empty() {
            if looked_at.is_empty() {
                looked_at.push(format!("nothing in PATH or {DEBIAN_ROOT}"));
            }
            return Err(Error::NoBinaries { looked_at });
        }
        let Some(wanted) = wanted else { return Ok(usable.swap_remove(0)) };
        let found = usable
            .iter()
            .map(|binaries| format!("{} in {}", binaries.major, binaries.bin.display()))
            .collect();
        usable.into_iter().find(|binaries| binaries.major == wanted).ok_or_else(|| Error::WrongVersion {
            data: data.to_owned(),
            wanted,
            found,
        })
    }

    /// The path of one of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    fn inspect(bin: &Path, account: &Account) -> Result<Self, String> {
        if let Some(missing) = PROGRAMS.iter().find(|name| !bin.join(name).is_file()) {
            return Err(format!("has no {missing}"));
        }
        let version = run(account, &bin.join("postgres"), &["--version"])?;
        let major = parse_major(&version).ok_or_else(|| format!("says its version is {}", version.trim()))?;
        if major < OLDEST_MAJOR {
            return Err(format!("is version {major}"));
        }
        // `--show` prints its findings without making anything.
        let shown = run(account, &bin.join("initdb"), &["--show", "-D", "none"])?;
        let share =
            shown.lines().find_map(|line| line.strip_prefix("share_path=")).ok_or("names no share_path")?;
        let control = |name: &str| Path::new(share).join("extension").join(format!("{name}.control"));
        match EXTENSIONS.iter().find(|name| !control(name).is_file()) {
            Some(missing) => Err(format!("lacks the contrib module {missing}")),
            None => Ok(Self { bin: bin.to_owned(), major }),
        }
    }
}

/// Directories that may hold the programs, best first, links resolved.
fn candidates() -> Vec<PathBuf> {
    let resolved =
        |bin: &Path| bin.join("postgres").canonicalize().ok().and_then(|p| p.parent().map(Path::to_owned));
    if let Some(bin) = std::env::var_os("PG_BIN") {
        let bin = PathBuf::from(bin);
        return vec![resolved(&bin).unwrap_or(bin)];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).filter_map(|bin| resolved(&bin)).collect();
    found.extend(versions_below(Path::new(DEBIAN_ROOT)).iter().filter_map(|bin| resolved(bin)));
    let mut seen = std::collections::HashSet::new();
    found.retain(|bin| seen.insert(bin.clone()));
    found
}

/// `ROOT/<major>/bin` for every major version there, newest first.
fn versions_below(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut majors: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    majors.iter().map(|major| root.join(major.to_string()).join("bin")).collect()
}

/// Runs a program that only prints, and returns both its streams: `initdb --show` uses the one for errors.
fn run(account: &Account, program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = account
        .command(program, Path::new("/"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("{} does not run: {error}", program.display()))?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{} failed: {}", program.display(), text.trim()))
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` → 15; betas read `18beta1`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("postgres (PostgreSQL) ")?;
    let digits = number.find(|c: char| !c.is_ascii_digit()).map_or(number, |end| &number[..end]);
    digits.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors_are_read_from_every_form_of_version() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(parse_major("postgres (PostgreSQL) devel"), None);
        assert_eq!(parse_major("mysqld 8.0"), None);
    }

    #[test]
    fn what_is_asked_of_the_programs_is_what_the_migrations_create() {
        let mut created = Vec::new();
        for migration in crate::migrate::MIGRATIONS.iter() {
            let lines = migration.sql.as_str().lines();
            let names = lines.filter_map(|line| line.strip_prefix("create extension if not exists "));
            created.extend(names.map(|name| name.trim_end_matches(';').to_owned()));
        }
        assert_eq!(created, EXTENSIONS);
    }

    #[test]
    fn newer_versions_come_first_by_number_not_by_text() {
        let root = std::env::temp_dir().join(format!("pillarbox-binaries-{}", std::process::id()));
        for name in ["9", "15", "17", "README"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let found = versions_below(&root);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, ["17", "15", "9"].map(|major| root.join(major).join("bin")));
    }
}
