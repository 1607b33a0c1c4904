//! Files that are made from the code, committed so that builds and readers need no database: written or checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use kernel::Env;
use tokio::process::Command;
use walkdir::WalkDir;

use crate::scratch::TestCluster;
use crate::{cargo, demo};

const SQLX: &str = ".sqlx";
const OPENAPI: &str = "openapi/openapi.json";
/// What a checked query looks like in the source.
const CHECKED: [&str; 3] = ["query!(", "query_as!(", "query_scalar!("];

/// The files below the root by their paths, with what should stand in them.
type Files = BTreeMap<String, Vec<u8>>;

/// Makes every file, and writes it or, with `check`, fails naming each that differs.
pub(crate) async fn run(root: &Path, check: bool) -> anyhow::Result<ExitCode> {
    let queries = describe_queries(root).await?;
    let mut stale = differences(&queries, &read_below(root, SQLX)?);
    // The server is built with the data of its queries: write these first.
    if !check {
        update(root, &queries, &stale)?;
    }
    if !check || stale.is_empty() {
        let description = Files::from([(OPENAPI.to_owned(), describe_api(root).await?)]);
        let changed = differences(&description, &read_below(root, "openapi")?);
        if !check {
            update(root, &description, &changed)?;
        }
        stale.extend(changed);
    }
    for path in &stale {
        println!("{} {path}", if check { "stale:" } else { "wrote" });
    }
    ensure!(
        !check || stale.is_empty(),
        "generated files are not as the code would have them; run make generate"
    );
    println!(
        "generate: {} queries and the API's description {}",
        queries.len(),
        if check { "are fresh" } else { "are written" }
    );
    Ok(ExitCode::SUCCESS)
}

/// The data of every checked query, as the macros write it when they see a database.
async fn describe_queries(root: &Path) -> anyhow::Result<Files> {
    let cluster = TestCluster::start().await?;
    let described = describe_queries_with(root, cluster.url()).await;
    cluster.stop().await?;
    described
}

async fn describe_queries_with(root: &Path, url: &str) -> anyhow::Result<Files> {
    let db = db::Db::connect(url, Env::system()).await.context("connecting to the postgres for tests")?;
    db.migrate().await.context("migrating it")?;
    db.close().await;

    let output =
        tempfile::tempdir_in(cargo::target_dir(root)).context("making a directory for the queries")?;
    let touched = Touched::new(crate_roots(root)?)?;
    let mut command = cargo::command(root);
    command.args(["check", "--quiet", "--workspace", "--all-targets"]);
    command.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", output.path()).env("DATABASE_URL", url);
    let status = cargo::run(command).await;
    touched.restore()?;
    ensure!(status?.success(), "the queries do not compile against the migrations");
    let files = read_below(output.path(), "")?;
    Ok(files.into_iter().map(|(path, content)| (format!("{SQLX}/{path}"), content)).collect())
}

/// The API's description, from the server's own mouth.
async fn describe_api(root: &Path) -> anyhow::Result<Vec<u8>> {
    let server = demo::build(root).await?;
    let output = Command::new(&server).arg("openapi").stderr(Stdio::inherit()).output().await;
    let output = output.with_context(|| format!("running {}", server.display()))?;
    ensure!(output.status.success(), "pillarbox openapi failed");
    Ok(output.stdout)
}

/// Root files of crates whose macros must run again. Cargo does not know that they depend on the database, and would take
/// the result of an earlier check for theirs.
#[derive(Debug)]
struct Touched(Vec<(PathBuf, SystemTime)>);

impl Touched {
    #[expect(
        clippy::disallowed_methods,
        reason = "a file's modification time is the machine's, not the application's"
    )]
    fn new(paths: Vec<PathBuf>) -> anyhow::Result<Self> {
        let mut touched = Self(Vec::new());
        for path in paths {
            let before = std::fs::metadata(&path)?.modified()?;
            set_modified(&path, SystemTime::now())?;
            touched.0.push((path, before));
        }
        Ok(touched)
    }

    /// Puts the old times back, so that tests and servers built before stay fresh.
    fn restore(self) -> anyhow::Result<()> {
        self.0.iter().try_for_each(|(path, before)| set_modified(path, *before))
    }
}

fn set_modified(path: &Path, time: SystemTime) -> anyhow::Result<()> {
    let file =
        File::options().append(true).open(path).with_context(|| format!("opening {}", path.display()))?;
    file.set_modified(time).with_context(|| format!("touching {}", path.display()))
}

/// `src/lib.rs`, `src/main.rs` and `tests/…/main.rs` of every crate that holds a checked query.
fn crate_roots(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut roots = Vec::new();
    for entry in std::fs::read_dir(root.join("crates"))? {
        let krate = entry?.path();
        for (area, depth) in [("src", 1), ("tests", 2)] {
            let area = krate.join(area);
            if area.is_dir() && holds_checked_queries(&area)? {
                let files =
                    WalkDir::new(&area).max_depth(depth).into_iter().collect::<Result<Vec<_>, _>>()?;
                let is_root = |path: &PathBuf| {
                    let name = path.file_name().unwrap_or_default();
                    name == "lib.rs" || name == "main.rs" || (depth == 2 && path.parent() == Some(&area))
                };
                roots.extend(
                    files
                        .into_iter()
                        .filter(|f| f.file_type().is_file())
                        .map(|f| f.into_path())
                        .filter(is_root),
                );
            }
        }
    }
    Ok(roots)
}

fn holds_checked_queries(area: &Path) -> anyhow::Result<bool> {
    for entry in WalkDir::new(area) {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(entry.path())?;
            if CHECKED.iter().any(|checked| source.contains(checked)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Every file below `root/folder`, by its path from `root`; none when there is no such folder.
fn read_below(root: &Path, folder: &str) -> anyhow::Result<Files> {
    let top = root.join(folder);
    let mut files = Files::new();
    for entry in WalkDir::new(&top).into_iter().filter(|_| top.is_dir()) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(root)?.display().to_string();
            files.insert(path, std::fs::read(entry.path())?);
        }
    }
    Ok(files)
}

/// Paths that are missing, superfluous or of other content.
fn differences(wanted: &Files, present: &Files) -> Vec<String> {
    let changed =
        wanted.iter().filter(|(path, content)| present.get(*path) != Some(content)).map(|(path, _)| path);
    let superfluous = present.keys().filter(|path| !wanted.contains_key(*path));
    changed.chain(superfluous).cloned().collect()
}

fn update(root: &Path, wanted: &Files, stale: &[String]) -> anyhow::Result<()> {
    for path in stale {
        let target = root.join(path);
        match wanted.get(path) {
            Some(content) => {
                std::fs::create_dir_all(target.parent().unwrap_or(root))?;
                std::fs::write(&target, content).with_context(|| format!("writing {path}"))?;
            }
            None => std::fs::remove_file(&target).with_context(|| format!("removing {path}"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> Files {
        entries.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn missing_changed_and_superfluous_files_are_named() {
        let wanted = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let present = files(&[("a", "1"), ("b", "other"), ("d", "4")]);
        assert_eq!(differences(&wanted, &present), ["b", "c", "d"]);
        assert_eq!(differences(&wanted, &wanted), [""; 0]);
    }

    #[test]
    fn an_update_leaves_just_what_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        update(dir.path(), &files(&[("x/a", "1"), ("x/b", "2")]), &["x/a".into(), "x/b".into()]).unwrap();
        let wanted = files(&[("x/b", "3")]);
        let stale = differences(&wanted, &read_below(dir.path(), "x").unwrap());
        update(dir.path(), &wanted, &stale).unwrap();
        assert_eq!(read_below(dir.path(), "x").unwrap(), wanted);
        assert_eq!(read_below(dir.path(), "absent").unwrap(), Files::new());
    }

    #[test]
    fn touching_a_file_is_undone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib.rs");
        std::fs::write(&path, "").unwrap();
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        set_modified(&path, old).unwrap();
        let touched = Touched::new(vec![path.clone()]).unwrap();
        assert!(std::fs::metadata(&path).unwrap().modified().unwrap() > old);
        touched.restore().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), old);
    }
}
