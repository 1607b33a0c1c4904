//! Inputs that ask for what is not offered.

use crate::case::Case;

const NOT_OFFERED: &[(&str, &str)] = &[
    ("invoicing", "cycles that are extended to another bill day"),
    ("then_anchor_day", "a bill day that can be moved"),
];

/// Says what a case needs, if it is one of these.
pub(crate) fn named(case: &Case) -> Result<(), String> {
    if case.has("subscription_end_proration_mode") {
        return Err(format!("needs the end mode {}", case.text("subscription_end_proration_mode")?));
    }
    if case.has("anchor_day") {
        case.anchor_day()?;
    }
    match NOT_OFFERED.iter().find(|(key, _)| case.has(key)) {
        Some((_, what)) => Err(format!("needs {what}")),
        None => Ok(()),
    }
}
