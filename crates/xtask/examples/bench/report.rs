//! A measure's line on the terminal and in `target/bench.jsonl`.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::ROUNDS;

/// What a ratio is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// There is none: the figure explains another.
    None,
}

/// Two sides of one measure, a value for each round.
pub(crate) struct Measure<'a> {
    pub(crate) name: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) ours: Vec<f64>,
    /// What the other side is.
    pub(crate) baseline: &'a str,
    pub(crate) theirs: Vec<f64>,
    pub(crate) target: Target,
}

impl Measure<'_> {
    /// Prints it, and appends it to the log.
    pub(crate) fn report(self) -> Result<()> {
        let rounds = self.ours.len();
        let (value, baseline_value) = (median(self.ours), median(self.theirs));
        let ratio = value / baseline_value;
        let (floor, ceiling) = match self.target {
            Target::AtLeast(floor) => (Some(floor), None),
            Target::AtMost(ceiling) => (None, Some(ceiling)),
            Target::None => (None, None),
        };
        let verdict = match (floor, ceiling) {
            (Some(floor), _) if ratio < floor => format!("MISSED: at least {floor}"),
            (_, Some(ceiling)) if ratio > ceiling => format!("MISSED: at most {ceiling}"),
            (None, None) => String::new(),
            _ => "met".to_owned(),
        };
        let Self { name, unit, baseline, .. } = self;
        println!(
            "{name:<36} {value:>9.1} {baseline_value:>9.1} {unit:<4} {ratio:>6.2}  {verdict:<22} {baseline}"
        );
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        std::fs::create_dir_all(&target)?;
        let mut log =
            std::fs::OpenOptions::new().create(true).append(true).open(target.join("bench.jsonl"))?;
        let line = json!({
            "measure": name, "value": value, "unit": unit, "baseline": baseline, "baseline_value": baseline_value,
            "ratio": ratio, "floor": floor, "ceiling": ceiling, "rounds": rounds,
        });
        writeln!(log, "{line}")?;
        Ok(())
    }
}

/// A value for each round of each side: the two take turns.
pub(crate) async fn turns<T>(
    [ours, theirs]: [&T; 2],
    turn: impl AsyncFn(&T) -> Result<f64>,
) -> Result<[Vec<f64>; 2]> {
    let mut values = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        values[0].push(turn(ours).await?);
        values[1].push(turn(theirs).await?);
    }
    Ok(values)
}

/// Says what the columns of the lines to come are, of so many rounds.
pub(crate) fn heading(group: &str, rounds: usize) {
    println!("\n{group} (median of {rounds} rounds)");
    println!(
        "{:<36} {:>9} {:>9} {:<4} {:>6}  {:<22} baseline",
        "measure", "pillarbox", "baseline", "", "ratio", "target"
    );
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
