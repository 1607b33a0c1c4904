//! What ARCHITECTURE.md promises and no compiler checks.

mod arrows;
mod code;
mod rules;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use walkdir::WalkDir;

/// One thing that is not as it should be: `path:line: what`; line 0 means the file as a whole.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

/// Prints every finding and fails if there is one.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    let mut files = 0;
    let mut manifests = Vec::new();
    for entry in WalkDir::new(root.join("crates")).sort_by_file_name() {
        let entry = entry?;
        let path = entry.path().strip_prefix(root)?.display().to_string();
        let read = || std::fs::read_to_string(entry.path()).with_context(|| format!("reading {path}"));
        if path.ends_with("/Cargo.toml") {
            manifests.push((path.clone(), read()?));
        } else if path.ends_with(".rs") {
            files += 1;
            findings.extend(rules::check(&path, &read()?));
        }
    }
    findings.extend(arrows::check(&manifests)?);
    findings.sort();
    for Finding { path, line, what } in &findings {
        if *line == 0 { eprintln!("{path}: {what}") } else { eprintln!("{path}:{line}: {what}") }
    }
    println!("tidy: {} crates, {files} files, {} findings", manifests.len(), findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
