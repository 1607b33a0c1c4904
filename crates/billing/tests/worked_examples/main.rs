//! Other billing systems' worked examples, and our own beside them, run through the rating core as the product goes
//! through it: terms and an event log in, the document of each boundary out.
//!
//! `WORKED_EXAMPLES` names another file in the same format. A case is dispatched on the keys that its kind must have
//! and on its convention, never on its id; an input that nobody looks at is named, as any may matter. One line is
//! printed for each. Only what is about a policy may be not applicable: any other case that nobody can read fails, as
//! does any that differs, a file of which nothing was read, and fewer matches in our files than they have.

mod account;
mod anchor;
mod case;
mod comparison;
mod dates;
mod decimal;
mod discounts;
mod ended;
mod kind;
mod not_offered;
mod part;
mod periods;
mod plan_changes;
mod seats;
mod storage;
mod stubs;
mod subscription;
mod tax;
mod terms;
mod tiers;

use std::path::{Path, PathBuf};

use case::{Case, Outcome};
use serde_json::Value;

/// How a case counts.
#[derive(PartialEq)]
enum Count {
    Passed,
    Failed,
    NotApplicable,
}

/// What is printed for a case, and how it counts.
fn verdict(case: &Case) -> (String, Count) {
    if case.usable.starts_with("only_if_") {
        return (format!("not applicable: {}", case.usable.replace('_', " ")), Count::NotApplicable);
    }
    let outcome = kind::reader(case).and_then(|read| read(case)).unwrap_or_else(Outcome::NotApplicable);
    match (outcome, case.is_counter_example()) {
        (Outcome::NotApplicable(reason), _) if case.is_about_a_policy() => {
            (format!("not applicable: {reason}"), Count::NotApplicable)
        }
        (Outcome::NotApplicable(reason), _) => {
            (format!("not applicable: {reason}; but it is about no policy, and must be read"), Count::Failed)
        }
        (Outcome::Match, false) => ("match".into(), Count::Passed),
        (Outcome::Match, true) => ("differs (a counter-example must not match)".into(), Count::Failed),
        (Outcome::Differs(_), true) => ("differs as expected".into(), Count::Passed),
        (Outcome::Differs(found) | Outcome::Unreadable(found), _) => {
            (format!("differs ({found})"), Count::Failed)
        }
    }
}

/// Our own cases, with those that must fail, and other systems'; and how many of them match, counter-examples that
/// differ as expected included.
const FILES: [(&str, usize); 2] =
    [("tests/worked_examples/own.json", 95), ("tests/data/worked_examples.json", 50)];

/// Whether a file has as many matches as it must, and nothing that fails. What it lists under `must_fail` has to.
fn run(file: &Path, least: usize) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("reading {}: {e}", file.display()));
    let all: Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("parsing {}: {e}", file.display()));
    let cases = all["cases"].as_array().unwrap_or_else(|| panic!("{} has no cases", file.display()));
    let must_fail = all["must_fail"].as_array().into_iter().flatten();
    let mut counts = Vec::new();
    for (index, value) in cases.iter().chain(must_fail).enumerate() {
        let id = value["id"].as_str().map_or_else(|| format!("case {index}"), str::to_owned);
        let (line, count) = verdict(&Case::new(value));
        let (line, count) = match count {
            count if index < cases.len() => (line, count),
            Count::Failed => (format!("fails as it must: {line}"), Count::Passed),
            Count::Passed | Count::NotApplicable => (format!("does not fail: {line}"), Count::Failed),
        };
        println!("{id}: {line}");
        counts.push(count);
    }
    let number = |of: Count| counts.iter().filter(|count| **count == of).count();
    let (passed, failed) = (number(Count::Passed), number(Count::Failed));
    let is_ok = failed == 0 && passed >= least;
    let result = if is_ok { "ok" } else { "FAILED" };
    let not_applicable = number(Count::NotApplicable);
    println!("\ntest result: {result}. {passed} passed; {failed} failed; {not_applicable} not applicable");
    is_ok
}

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("WORKED_EXAMPLES").filter(|name| !name.is_empty());
    let files: Vec<(PathBuf, usize)> = match named {
        None => FILES.map(|(name, least)| (here.join(name), least)).into(),
        // Cargo runs a test in its crate's directory; a relative name is meant from the workspace's.
        Some(name) if Path::new(&name).exists() => vec![(name.into(), 1)],
        Some(name) => vec![(here.join("../..").join(name), 1)],
    };
    // Each is run, also after one that fails.
    let failed = files.iter().filter(|(file, least)| !run(file, *least)).count();
    if failed > 0 {
        std::process::exit(1);
    }
}
