//! A monthly run over many tenants, beside putting the very same rows into the very same tables by `COPY`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use db::cluster::{self, Cluster};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgPool, PgPoolCopyExt as _, PgPoolOptions};
use tempfile::TempDir;
use tokio::process::Command;

use crate::report::{self, Measure, Target};

/// The group's name.
pub(crate) const NAME: &str = "billing.run";
/// How many tenants; each has ten seats.
const SIZES: [u32; 3] = [1_000, 10_000, 100_000];
/// The boundary that is measured. That before it has been billed, and in between some seats have come and gone.
const BOUNDARY: &str = "2026-10-15";
const BOUNDARY_BEFORE: &str = "2026-09-15";
/// How often the memory of a run is looked at; the kernel keeps the peak.
const LOOK: Duration = Duration::from_millis(20);

/// The tables that a run writes into, in the order of their references, each with what tells the rows of [`BOUNDARY`].
const WRITTEN: [(&str, &str); 8] = [
    ("billed_boundaries", "boundary = $$BOUNDARY"),
    ("billing_coverage", "starts_on = case kind when 'cycle' then $$BOUNDARY else $$BEFORE end"),
    ("invoices", "boundary = $$BOUNDARY"),
    (
        "invoice_lines",
        "exists (select from invoices i where (i.tenant_id, i.id) = (t.tenant_id, t.invoice_id) and i.boundary = $$BOUNDARY)",
    ),
    (
        "invoice_taxes",
        "exists (select from invoices i where (i.tenant_id, i.id) = (t.tenant_id, t.invoice_id) and i.boundary = $$BOUNDARY)",
    ),
    (
        "credit_note_references",
        "exists (select from invoices i where (i.tenant_id, i.id) = (t.tenant_id, t.credit_note_id) and i.boundary = $$BOUNDARY)",
    ),
    ("transfers", "effective_on = $$BOUNDARY"),
    ("events", "data ->> 'issued_on' = '$$BOUNDARY'"),
];

/// Measures runs over some hundred times as many tenants, and how the time grows.
pub(crate) async fn run(binary: &Path) -> Result<()> {
    report::heading(NAME, 1);
    let mut all = Vec::new();
    for tenants in SIZES {
        all.push(of(binary, tenants).await?);
    }
    let (Some(least), Some(most)) = (all.first(), all.last()) else { return Ok(()) };
    let exponent = (most.seconds / least.seconds).log10() / f64::from(SIZES[2] / SIZES[0]).log10();
    println!("time grows with the tenants to the power of {exponent:.2}");
    let memory = Measure {
        name: "memory",
        unit: "MiB",
        ours: vec![most.mebibytes],
        baseline: "the same of a hundredth of the tenants",
        theirs: vec![least.mebibytes],
        target: Target::AtMost(1.5),
    };
    memory.report()
}

struct Ran {
    seconds: f64,
    mebibytes: f64,
}

async fn of(binary: &Path, tenants: u32) -> Result<Ran> {
    let bed = Bed::start().await?;
    bed.bill(binary, BOUNDARY_BEFORE).await?;
    bed.seed(tenants).await?;
    bed.bill(binary, BOUNDARY_BEFORE).await?;
    bed.change().await?;
    let run = bed.bill(binary, BOUNDARY).await?;
    let again = bed.bill(binary, BOUNDARY).await?;
    let copied = bed.copy_again().await?;
    let name = format!("{tenants} tenants");
    let beside_copy = Measure {
        name: &name,
        unit: "s",
        ours: vec![run.seconds],
        baseline: "COPY of the very same rows",
        theirs: vec![copied.as_secs_f64()],
        target: if tenants == SIZES[2] { Target::AtMost(4.0) } else { Target::None },
    };
    beside_copy.report()?;
    let name = format!("{tenants} tenants, again");
    let beside_first = Measure {
        name: &name,
        unit: "s",
        ours: vec![again.seconds],
        baseline: "the first run",
        theirs: vec![run.seconds],
        target: if tenants == SIZES[2] { Target::AtMost(0.02) } else { Target::None },
    };
    beside_first.report()?;
    bed.stop().await?;
    Ok(run)
}

/// A private Postgres, with fsync, that no server runs on.
struct Bed {
    cluster: Cluster,
    pool: PgPool,
    dir: TempDir,
}

impl Bed {
    async fn start() -> Result<Self> {
        // Postgres' user has to be able to reach it, so not below a home directory.
        let dir = tempfile::Builder::new().prefix("pillarbox-bench-").tempdir_in("/var/tmp")?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
        let options =
            cluster::Options { dir: dir.path().join("postgres"), profile: cluster::Profile::Durable };
        let cluster = Cluster::start(options).await?;
        let pool = PgPoolOptions::new().max_connections(4).connect(cluster.url()).await?;
        Ok(Self { cluster, pool, dir })
    }

    async fn stop(self) -> Result<()> {
        self.pool.close().await;
        self.cluster.stop().await?;
        Ok(())
    }

    /// `pillarbox billing run` up to a day; how long the process took, and its peak of memory.
    async fn bill(&self, binary: &Path, as_of: &str) -> Result<Ran> {
        let start = Instant::now();
        let mut process = Command::new(binary)
            .args(["billing", "run", "--as-of", as_of])
            .env("PILLARBOX_DATA_DIR", self.dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()?;
        let status = format!("/proc/{}/status", process.id().context("a process that has an id")?);
        let mut mebibytes = 0.0;
        let ended = loop {
            tokio::select! {
                ended = process.wait() => break ended?,
                () = tokio::time::sleep(LOOK) => {}
            }
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
            if let Some(kib) = peak.and_then(|kib| kib.trim().parse::<f64>().ok()) {
                mebibytes = kib / 1024.0;
            }
        };
        ensure!(ended.success(), "the run up to {as_of} failed");
        Ok(Ran { seconds: start.elapsed().as_secs_f64(), mebibytes })
    }

    async fn execute(&self, statements: String) -> Result<()> {
        let mut connection = self.pool.acquire().await?;
        as_system(&mut connection, statements).await
    }

    /// A reseller with tenants that have bought ten seats each from the first boundary on.
    async fn seed(&self, tenants: u32) -> Result<()> {
        self.execute(include_str!("billing/seed.sql").replace("$TENANTS", &tenants.to_string())).await
    }

    /// Every tenant takes a seat, and every fourth has given one back.
    async fn change(&self) -> Result<()> {
        self.execute(include_str!("billing/change.sql").to_owned()).await
    }

    /// Takes the rows of the last boundary out of their tables and puts them in again; how long the latter took.
    async fn copy_again(&self) -> Result<Duration> {
        let mut taken = Vec::new();
        for (table, of_boundary) in WRITTEN {
            let of_boundary = of_boundary
                .replace("'$$BOUNDARY'", &format!("'{BOUNDARY}'"))
                .replace("$$BOUNDARY", &format!("date '{BOUNDARY}'"))
                .replace("$$BEFORE", &format!("date '{BOUNDARY_BEFORE}'"));
            // Row-level security is for everybody but the tables' owner here, to whom it makes COPY impossible.
            let mut connection = self.pool.acquire().await?;
            sqlx::query(AssertSqlSafe(format!("alter table {table} no force row level security")))
                .execute(&mut *connection)
                .await?;
            let columns: String = sqlx::query_scalar(
                "select string_agg(quote_ident(column_name), ', ' order by ordinal_position) from information_schema.columns
                 where table_schema = 'public' and table_name = $1 and is_generated = 'NEVER'",
            )
            .bind(table)
            .fetch_one(&mut *connection)
            .await?;
            let rows = format!("copy (select {columns} from {table} t where {of_boundary}) to stdout");
            taken.push((table, of_boundary, columns, self.read(&rows).await?));
        }
        for (table, of_boundary, ..) in taken.iter().rev() {
            sqlx::raw_sql(AssertSqlSafe(format!("delete from {table} t where {of_boundary}")))
                .execute(&self.pool)
                .await?;
        }
        sqlx::raw_sql("vacuum analyze").execute(&self.pool).await?;
        sqlx::raw_sql("checkpoint").execute(&self.pool).await.ok();
        let start = Instant::now();
        for (table, _, columns, rows) in taken {
            let mut copy = self.pool.copy_in_raw(&format!("copy {table} ({columns}) from stdin")).await?;
            copy.send(rows).await?;
            let count = copy.finish().await?;
            ensure!(count > 0 || table == "credit_note_references", "a run wrote nothing into {table}");
        }
        Ok(start.elapsed())
    }

    async fn read(&self, copy: &str) -> Result<Vec<u8>> {
        use futures::TryStreamExt as _;
        let mut stream = self.pool.copy_out_raw(copy).await?;
        let mut all = Vec::new();
        while let Some(bytes) = stream.try_next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}

async fn as_system(connection: &mut PgConnection, statements: String) -> Result<()> {
    sqlx::raw_sql("begin; set local role pillarbox_system").execute(&mut *connection).await?;
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *connection).await?;
    sqlx::raw_sql("commit; analyze").execute(&mut *connection).await?;
    Ok(())
}
