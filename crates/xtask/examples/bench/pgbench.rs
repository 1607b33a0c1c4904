//! `pgbench`, which comes with Postgres: the same statements without a server between.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// The variables of scripts that are executed by name, with their types.
const PARAMETERS: [(&str, &str); 9] = [
    (":key_id", "uuid"),
    (":tenant_id", "uuid"),
    (":reseller_path", "uuid[]"),
    (":prefix", "text"),
    (":serial", "bigint"),
    (":seats", "integer"),
    (":first", "bigint"),
    (":n", "bigint"),
    (":client_id", "integer"),
];

/// Statements, each ended by `;` and the end of its line, and lines of pgbench's own.
pub(crate) struct Script {
    text: String,
    protocol: &'static str,
}

impl Script {
    /// One whose statements are prepared by pgbench, each the first time that a connection comes to it.
    pub(crate) fn prepared(text: impl Into<String>) -> Self {
        Self { text: text.into(), protocol: "prepared" }
    }

    /// One that repeats the same few statements: each is prepared once a connection, as the server does it, and executed
    /// by its name. pgbench itself would prepare every repetition apart, and plan it five times over.
    pub(crate) fn executed(text: &str) -> Self {
        let mut distinct: Vec<&str> = Vec::new();
        let mut body = String::new();
        for mut part in text.split_inclusive(";\n") {
            while part.starts_with('\\') {
                let (line, rest) = part.split_once('\n').unwrap_or((part, ""));
                body.push_str(&format!("{line}\n"));
                part = rest;
            }
            if matches!(part, "begin;\n" | "commit;\n" | "rollback;\n") {
                body.push_str(part);
                continue;
            }
            let number = distinct.iter().position(|known| *known == part).unwrap_or_else(|| {
                distinct.push(part);
                distinct.len() - 1
            });
            let arguments: Vec<_> = used_in(part).map(|(variable, _)| format!("'{variable}'")).collect();
            body.push_str(&format!("execute s{number}{};\n", in_brackets(&arguments)));
        }
        let prepared: String =
            distinct.iter().enumerate().map(|(number, part)| prepare(number, part)).collect();
        let text = format!("\\if :is_ready = 0\n{prepared}\\set is_ready 1\n\\endif\n{body}");
        Self { text, protocol: "simple" }
    }
}

fn used_in(statement: &str) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    PARAMETERS.iter().filter(move |(variable, _)| statement.contains(variable))
}

/// The statement with parameters in place of variables, under its number.
fn prepare(number: usize, statement: &str) -> String {
    let mut types = Vec::new();
    let mut statement = statement.to_owned();
    for (variable, kind) in used_in(&statement.clone()) {
        types.push(*kind);
        statement = statement.replace(variable, &format!("${}", types.len()));
    }
    format!("prepare s{number}{} as {statement}", in_brackets(&types))
}

/// A list that is left out when it is empty, as Postgres wants it.
fn in_brackets<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(AsRef::as_ref).collect();
    if items.is_empty() { String::new() } else { format!(" ({})", items.join(", ")) }
}

/// Runs scripts against one cluster.
pub(crate) struct Pgbench {
    program: PathBuf,
    url: String,
    dir: PathBuf,
}

impl Pgbench {
    /// The one of the Postgres that runs in `cluster`: another's may be older than the server.
    pub(crate) fn beside(cluster: &Path, url: &str, dir: &Path) -> Result<Self> {
        let options = cluster.join("data/postmaster.opts");
        let options = std::fs::read_to_string(&options).with_context(|| options.display().to_string())?;
        let postgres = options.split_whitespace().next().context("postmaster.opts names no program")?;
        let program = Path::new(postgres).with_file_name("pgbench");
        ensure!(
            program.exists(),
            "there is no {}; it comes with Postgres' server or contrib package",
            program.display()
        );
        Ok(Self { program, url: url.to_owned(), dir: dir.to_owned() })
    }

    /// Runs of `script` per second, by `connections` clients. Without the time that connecting takes.
    pub(crate) async fn per_second(
        &self,
        script: &Script,
        variables: &[(&str, String)],
        connections: usize,
        duration: Duration,
    ) -> Result<f64> {
        let file = self.dir.join("script.sql");
        std::fs::write(&file, &script.text)?;
        let mut command = Command::new(&self.program);
        command.args(["--no-vacuum", "--jobs=2", "--protocol", script.protocol]);
        command.arg(format!("--client={connections}")).arg(format!("--time={}", duration.as_secs()));
        command.arg("--file").arg(&file);
        for (name, value) in variables {
            command.arg(format!("--define={name}={value}"));
        }
        // The session's own role, as that of `db::SystemRead`; a tenant's transaction takes another.
        command.env("PGOPTIONS", "-c role=pillarbox_system");
        let output = command.arg(&self.url).stdin(Stdio::null()).output().await.context("running pgbench")?;
        let (said, faults) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "pgbench ended with {}: {said}{faults}", output.status);
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.with_context(|| format!("pgbench names no rate: {said}"))
    }
}
