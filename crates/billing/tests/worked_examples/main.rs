//! Other billing systems' worked examples, run through the rating core as the product goes through it: terms and an
//! event log in, the document of each boundary out.
//!
//! `WORKED_EXAMPLES` names another file in the same format. A case is dispatched on the set of its input keys and on
//! its convention, never on its id. One line is printed for each; any `differs` fails, and so do fewer matches in our own file than it has.

mod account;
mod case;
mod discounts;
mod not_offered;
mod periods;
mod plan_changes;
mod storage;
mod stubs;
mod tax;
mod terms;
mod tiers;

use case::{Case, Outcome, Reader};
use serde_json::Value;
use std::path::Path;

fn reader(keys: &[&str]) -> Option<Reader> {
    periods::reader(keys)
        .or_else(|| stubs::reader(keys))
        .or_else(|| plan_changes::reader(keys))
        .or_else(|| discounts::reader(keys))
        .or_else(|| storage::reader(keys))
        .or_else(|| tax::reader(keys))
        .or_else(|| terms::reader(keys))
        .or_else(|| tiers::reader(keys))
        .or_else(|| not_offered::reader(keys))
}

/// What is printed for a case, and whether it fails the test.
fn verdict(case: &Case) -> (String, bool) {
    if case.usable.starts_with("only_if_") {
        return (format!("not applicable: {}", case.usable.replace('_', " ")), false);
    }
    let keys = case.input_keys();
    let Some(read) = reader(&keys) else {
        return (format!("not applicable: no reader for {}", keys.join(",")), false);
    };
    let outcome = read(case).unwrap_or_else(Outcome::NotApplicable);
    match (outcome, case.is_counter_example()) {
        (Outcome::NotApplicable(reason), _) => (format!("not applicable: {reason}"), false),
        (Outcome::Match, false) => ("match".into(), false),
        (Outcome::Match, true) => ("differs (a counter-example must not match)".into(), true),
        (Outcome::Differs(_), true) => ("differs as expected".into(), false),
        (Outcome::Differs(found), false) => (format!("differs ({found})"), true),
    }
}

/// How many cases of our own file match, counter-examples that differ as expected included.
const MATCHES: usize = 50;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("WORKED_EXAMPLES").filter(|name| !name.is_empty());
    let least = if named.is_none() { MATCHES } else { 0 };
    let file = match named {
        None => here.join("tests/data/worked_examples.json"),
        // Cargo runs a test in its crate's directory; a relative name is meant from the workspace's.
        Some(name) if Path::new(&name).exists() => name.into(),
        Some(name) => here.join("../..").join(name),
    };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("reading {}: {e}", file.display()));
    let all: Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("parsing {}: {e}", file.display()));
    let cases = all["cases"].as_array().unwrap_or_else(|| panic!("{} has no cases", file.display()));
    let (mut passed, mut failed, mut not_applicable) = (0, 0, 0);
    for (index, value) in cases.iter().enumerate() {
        let id = value["id"].as_str().map_or_else(|| format!("case {index}"), str::to_owned);
        let (line, fails) = verdict(&Case::new(value));
        println!("{id}: {line}");
        match (fails, line.starts_with("not applicable")) {
            (true, _) => failed += 1,
            (false, true) => not_applicable += 1,
            (false, false) => passed += 1,
        }
    }
    let result = if failed == 0 && passed >= least && !cases.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; {not_applicable} not applicable");
    if result != "ok" {
        std::process::exit(1);
    }
}
