//! The capabilities that a suspension takes away.

use serde::Deserialize;
use tenancy::policy::Capability;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::schema;
use crate::word::Word as _;

/// Which capabilities it is about.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Capabilities {
    /// `sign_in`, `send`, `receive`, `imap`, `pop3`, `api`, `sync`; absent or empty: all of them.
    #[serde(default)]
    #[schema(value_type = Vec<schema::Capability>, required = false, example = json!(["send"]))]
    capabilities: Vec<String>,
}

impl Capabilities {
    pub(super) fn read(&self) -> Result<Vec<Capability>, Problem> {
        read(&self.capabilities, "/capabilities")
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
