//! The capabilities that a suspension takes away.

use serde::Deserialize;
use tenancy::policy::Capability;
use utoipa::ToSchema;

use crate::extract::not_null;
use crate::problem::Problem;
use crate::schema;
use crate::word::Word as _;

/// Which capabilities it is about.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Capabilities {
    /// `sign_in`, `send`, `receive`, `imap`, `pop3`, `api`, `sync`, at least one; absent: all of them.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<schema::Capability>, required = false, min_items = 1, example = json!(["send"]))]
    capabilities: Option<Vec<String>>,
}

impl Capabilities {
    /// Those that are named; none: all of them.
    pub(super) fn read(&self) -> Result<Vec<Capability>, Problem> {
        let Some(names) = &self.capabilities else { return Ok(Vec::new()) };
        // Whoever has picked none hardly means all.
        if names.is_empty() {
            return Err(Problem::field("/capabilities", "must name at least one; without it, all are meant"));
        }
        read(names, "/capabilities")
    }
}

/// Capabilities by their names.
pub(super) fn read(names: &[String], pointer: &str) -> Result<Vec<Capability>, Problem> {
    let each = names.iter().enumerate().map(|(at, name)| {
        Capability::named(name).map_err(|detail| Problem::field(format!("{pointer}/{at}"), detail))
    });
    each.collect()
}

/// Their names.
pub(super) fn names(capabilities: &[Capability]) -> Vec<String> {
    capabilities.iter().map(Capability::to_string).collect()
}
