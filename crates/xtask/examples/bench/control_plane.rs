//! The control plane: how much of what Postgres itself does with the same statements is left when they come by REST,
//! and whether hashing passwords leaves everybody else alone.

pub(crate) mod create;
mod load;
pub(crate) mod read;
pub(crate) mod sign_in;
mod statements;
mod wire;

use std::time::Duration;

use anyhow::Result;

use crate::ROUNDS;
use crate::bed::Bed;
use crate::pgbench::{Pgbench, Script};
use crate::report::{Measure, Target};

/// Connections of each side.
const CONNECTIONS: usize = 16;
/// How long a side's turn lasts.
const TURN: Duration = Duration::from_secs(5);
/// How long the server is called before the first turn: its connections prepare their statements once.
const WARM_UP: Duration = Duration::from_secs(2);

/// An operation by REST and the same by pgbench.
struct Comparison<'a> {
    name: &'a str,
    /// What one call, and one run of a script, counts for.
    per_run: f64,
    baselines: Vec<Baseline>,
    variables: &'a [(&'a str, String)],
}

/// What REST is held against.
struct Baseline {
    suffix: &'static str,
    what: &'static str,
    script: Script,
    /// What the ratio to it is to be.
    target: Target,
}

impl Baseline {
    /// The operation's own transaction.
    fn own(script: Script) -> Self {
        Self { suffix: "own", what: "pgbench: the operation's own transaction", script, target: Target::None }
    }

    /// The same, with what proves the caller and finds the tenant before it.
    fn request(script: Script, target: Target) -> Self {
        Self { suffix: "request", what: "pgbench: all statements of the request", script, target }
    }

    /// The query alone, on a connection that has taken role and tenant once.
    fn bare(script: Script, target: Target) -> Self {
        Self { suffix: "bare", what: "pgbench: the query and nothing else", script, target }
    }
}

impl Comparison<'_> {
    /// Lets the REST API, by what `call` makes, and all scripts take turns.
    async fn measure(&self, bed: &Bed, call: impl Fn() -> load::Call + Clone + Send + 'static) -> Result<()> {
        let pgbench = bed.pgbench()?;
        load::per_second(bed, call.clone(), WARM_UP).await?;
        let mut ours = Vec::new();
        let mut theirs: Vec<Vec<f64>> = self.baselines.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            bed.settle().await?;
            ours.push(load::per_second(bed, call.clone(), TURN).await? * self.per_run);
            for (baseline, theirs) in self.baselines.iter().zip(&mut theirs) {
                bed.settle().await?;
                theirs.push(self.script(bed, &pgbench, &baseline.script).await?);
            }
        }
        for (Baseline { suffix, what: baseline, target, .. }, theirs) in self.baselines.iter().zip(theirs) {
            let name = &format!("{}.{suffix}", self.name);
            Measure { name, unit: "1/s", ours: ours.clone(), baseline, theirs, target: *target }.report()?;
        }
        Ok(())
    }

    async fn script(&self, bed: &Bed, pgbench: &Pgbench, script: &Script) -> Result<f64> {
        let place = bed.place();
        let mut variables = vec![
            ("key_id", place.key_id.uuid().to_string()),
            ("tenant_id", place.tenant_id.uuid().to_string()),
            ("reseller_path", format!("{{{}}}", place.reseller_id.uuid())),
            // Ids of this turn: after all there are, as the server's would be, and unlike those of any other.
            ("prefix", uuid::Uuid::now_v7().simple().to_string()[..16].to_owned()),
            ("n", "0".to_owned()),
            ("is_ready", "0".to_owned()),
        ];
        variables.extend(self.variables.iter().cloned());
        Ok(pgbench.per_second(script, &variables, CONNECTIONS, TURN).await? * self.per_run)
    }
}
