//! Who may depend on whom.

use anyhow::Context;
use toml::{Table, Value};

use super::Finding;

/// The table of ARCHITECTURE.md: each crate, and which of ours it may use. What it leaves out may not be used: nobody
/// uses `server`, `worker` or an edge, and `billing` and `mailstore` do not know each other.
const MAY_USE: [(&str, &[&str]); 28] = [
    ("kernel", &[]),
    ("paper", &["kernel"]),
    ("db", &["kernel"]),
    ("blob", &["kernel"]),
    ("pack", &["kernel"]),
    ("dns", &["kernel"]),
    ("webhook", &["kernel"]),
    ("scim", &["kernel"]),
    ("outbound", &[]),
    ("stripe", &["kernel", "outbound"]),
    ("vies", &["outbound"]),
    ("sasl", &[]),
    ("relay", &["kernel"]),
    ("socket", &[]),
    ("tenancy", &["kernel", "db", "dns", "webhook", "sasl"]),
    ("billing", &["kernel", "db", "stripe", "vies", "tenancy"]),
    ("mailstore", &["kernel", "db", "blob", "pack", "tenancy"]),
    ("recovery", &["kernel", "db", "blob", "pack", "tenancy", "mailstore"]),
    ("submission", &["kernel", "db", "dns", "pack", "relay", "tenancy", "mailstore"]),
    (
        "api",
        &[
            "kernel",
            "dns",
            "webhook",
            "paper",
            "tenancy",
            "billing",
            "mailstore",
            "recovery",
            "submission",
            "scim",
        ],
    ),
    ("imap", &["kernel", "tenancy", "mailstore", "sasl", "socket"]),
    ("pop3", &["kernel", "tenancy", "mailstore", "sasl", "socket"]),
    ("smtp", &["kernel", "tenancy", "mailstore", "sasl", "socket", "submission"]),
    (
        "worker",
        &["kernel", "db", "dns", "webhook", "tenancy", "billing", "mailstore", "recovery", "submission"],
    ),
    (
        "server",
        &[
            "kernel",
            "db",
            "blob",
            "pack",
            "dns",
            "webhook",
            "tenancy",
            "billing",
            "mailstore",
            "recovery",
            "relay",
            "submission",
            "api",
            "imap",
            "pop3",
            "smtp",
            "worker",
        ],
    ),
    ("testkit", &["kernel", "db", "pack", "dns", "tenancy"]),
    ("xtask", &["kernel", "db"]),
    (
        "fuzz",
        &[
            "kernel",
            "api",
            "dns",
            "imap",
            "mailstore",
            "pack",
            "pop3",
            "relay",
            "sasl",
            "scim",
            "smtp",
            "socket",
            "stripe",
            "submission",
            "vies",
            "webhook",
        ],
    ),
];

/// Packages from outside that only some crates may depend on. Tests may, and testkit.
const RESERVED: [(&str, &[&str]); 4] = [
    ("axum", &["api"]),
    ("utoipa", &["api"]),
    ("aws-sdk-s3", &["blob"]),
    ("sqlx", &["db", "tenancy", "billing", "mailstore", "recovery", "submission"]),
];

/// What any crate's tests may use beside what its arrows allow: the kit, and the mechanism to set a scene with.
const FOR_TESTS: [&str; 4] = ["testkit", "kernel", "db", "blob"];

/// Checks `(path, text)` of every manifest.
pub(super) fn check(manifests: &[(String, String)]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (path, text) in manifests {
        let manifest: Table = text.parse().with_context(|| format!("reading {path}"))?;
        let name =
            manifest.get("package").and_then(|p| p.get("name")).and_then(Value::as_str).unwrap_or(path);
        let wrong = check_one(name, &manifest).into_iter().chain(unused(name, &manifest));
        findings.extend(wrong.map(|what| Finding { path: path.clone(), line: 0, what }));
    }
    Ok(findings)
}

/// The arrows of the table that the crate does not take. What any crate's tests may use needs none.
fn unused(name: &str, manifest: &Table) -> Vec<String> {
    let dependencies = dependencies(manifest);
    let is_used = |arrow: &str| {
        dependencies.iter().any(|(dependency, kind)| {
            dependency == arrow && (*kind == Kind::Normal || !FOR_TESTS.contains(&arrow))
        })
    };
    let arrows = MAY_USE.iter().filter(|(known, _)| *known == name).flat_map(|(_, allowed)| *allowed);
    arrows
        .filter(|arrow| !is_used(arrow))
        .map(|arrow| format!("{name} does not use {arrow}: that arrow goes"))
        .collect()
}

fn check_one(name: &str, manifest: &Table) -> Vec<String> {
    let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
        return vec![format!(
            "crate {name} is not in the table of arrows (xtask/src/tidy/arrows.rs, ARCHITECTURE.md)"
        )];
    };
    let mut wrong = Vec::new();
    // What is a workspace of its own cannot.
    let is_apart = manifest.contains_key("workspace");
    if !is_apart
        && manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool)
            != Some(true)
    {
        wrong.push("does not take the workspace's lints".to_owned());
    }
    for (dependency, kind) in dependencies(manifest) {
        let ours = MAY_USE.iter().any(|(known, _)| *known == dependency);
        let in_tests = kind == Kind::Test;
        if ours
            && !allowed.contains(&dependency.as_str())
            && !(in_tests && FOR_TESTS.contains(&dependency.as_str()))
        {
            wrong.push(format!(
                "{name} may not use {dependency}{}",
                if in_tests { ", not even in tests" } else { "" }
            ));
        }
        if let Some((_, may)) = RESERVED.iter().find(|(package, _)| *package == dependency)
            && !in_tests
            && name != "testkit"
            && !may.contains(&name)
        {
            wrong.push(format!("{name} may not use {dependency}: that is for {}", may.join(", ")));
        }
    }
    wrong
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Test,
}

/// Every dependency by its package's name, those for single targets included.
fn dependencies(manifest: &Table) -> Vec<(String, Kind)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    let sections = [
        ("dependencies", Kind::Normal),
        ("build-dependencies", Kind::Normal),
        ("dev-dependencies", Kind::Test),
    ];
    let mut found = Vec::new();
    for table in tables {
        for (section, kind) in sections {
            for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let renamed = value.get("package").and_then(Value::as_str);
                found.push((renamed.unwrap_or(key).to_owned(), kind));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}");
        check_one(name, &text.parse().unwrap())
    }

    #[test]
    fn arrows_of_the_table_pass() {
        assert_eq!(findings("mailstore", "[dependencies]\ndb.workspace = true\nserde = \"1\""), [""; 0]);
        assert_eq!(
            findings("api", "[dependencies]\naxum = \"0.8\"\n[dev-dependencies]\ntestkit.workspace = true"),
            [""; 0]
        );
    }

    #[test]
    fn an_arrow_that_no_manifest_takes_is_found() {
        let unused = |rest: &str| {
            let text = format!("[package]\nname = \"recovery\"\n[lints]\nworkspace = true\n{rest}");
            let found = check(&[("crates/recovery/Cargo.toml".to_owned(), text)]).unwrap();
            found.into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        let all_but_blob = "[dependencies]\nkernel = {}\ndb = {}\npack = {}\ntenancy = {}\nmailstore = {}\n";
        let found = "recovery does not use blob: that arrow goes";
        assert_eq!(unused(all_but_blob), [found]);
        assert_eq!(unused(&format!("{all_but_blob}[dev-dependencies]\nblob = {{}}")), [found]);
        assert_eq!(unused(&format!("{all_but_blob}blob = {{}}")), [""; 0]);
    }

    #[test]
    fn siblings_edges_and_the_wrong_direction_are_found() {
        assert_eq!(
            findings("billing", "[dependencies]\nmailstore.workspace = true"),
            ["billing may not use mailstore"]
        );
        assert_eq!(
            findings("kernel", "[dependencies]\ndb = { path = \"../db\" }"),
            ["kernel may not use db"]
        );
        assert_eq!(findings("worker", "[dependencies]\nsmtp.workspace = true"), ["worker may not use smtp"]);
        assert_eq!(findings("pop3", "[dependencies]\ndb.workspace = true"), ["pop3 may not use db"]);
    }

    #[test]
    fn an_arrow_hidden_by_renaming_or_by_a_target_is_found() {
        assert_eq!(
            findings("db", "[dependencies]\nx = { path = \"../api\", package = \"api\" }"),
            ["db may not use api"]
        );
        assert_eq!(
            findings("db", "[target.'cfg(unix)'.dependencies]\nblob.workspace = true"),
            ["db may not use blob"]
        );
        assert_eq!(
            findings("db", "[build-dependencies]\ntenancy.workspace = true"),
            ["db may not use tenancy"]
        );
    }

    #[test]
    fn testkit_is_for_tests_which_get_the_mechanism_but_no_domains() {
        assert_eq!(
            findings("pop3", "[dev-dependencies]\ntestkit.workspace = true\nblob.workspace = true"),
            [""; 0]
        );
        assert_eq!(
            findings("server", "[dependencies]\ntestkit.workspace = true"),
            ["server may not use testkit"]
        );
        assert_eq!(
            findings("billing", "[dev-dependencies]\nmailstore.workspace = true"),
            ["billing may not use mailstore, not even in tests"]
        );
    }

    #[test]
    fn reserved_packages_are_kept_to_their_crates_except_in_tests() {
        assert_eq!(
            findings("server", "[dependencies]\naxum = \"0.8\""),
            ["server may not use axum: that is for api"]
        );
        assert_eq!(findings("server", "[dev-dependencies]\nsqlx = \"0.9\""), [""; 0]);
        assert_eq!(findings("testkit", "[dependencies]\nsqlx = \"0.9\""), [""; 0]);
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_found() {
        assert_eq!(findings("utils", "").len(), 1);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        assert_eq!(check_one("db", &Table::new()), ["does not take the workspace's lints"]);
        assert_eq!(check_one("fuzz", &"[workspace]".parse().unwrap()), [""; 0]);
    }
}
