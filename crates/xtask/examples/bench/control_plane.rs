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
    /// The operation's own transaction, as a script.
    own: Script,
    /// What the ratio to that is to be.
    own_target: Target,
    /// The same with the transactions before it that prove the caller and find the tenant.
    whole: Script,
    whole_target: Target,
    variables: &'a [(&'a str, String)],
}

impl Comparison<'_> {
    /// Lets the REST API, by what `call` makes, and both scripts take turns.
    async fn measure(&self, bed: &Bed, call: impl Fn() -> load::Call + Clone + Send + 'static) -> Result<()> {
        let pgbench = bed.pgbench()?;
        load::per_second(bed, call.clone(), WARM_UP).await?;
        let (mut ours, mut own, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bed.settle().await?;
            ours.push(load::per_second(bed, call.clone(), TURN).await? * self.per_run);
            bed.settle().await?;
            whole.push(self.script(bed, &pgbench, &self.whole).await?);
            bed.settle().await?;
            own.push(self.script(bed, &pgbench, &self.own).await?);
        }
        let sides = [
            ("own", "pgbench: the operation's own transaction", own, self.own_target),
            ("request", "pgbench: all statements of the request", whole, self.whole_target),
        ];
        for (suffix, baseline, theirs, target) in sides {
            let name = &format!("{}.{suffix}", self.name);
            let ours = ours.clone();
            Measure { name, unit: "1/s", ours, baseline, theirs, target }.report()?;
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
