//! A database made anew out of images of its rows, as the journal has them.
//!
//! While it is being made, nothing but the form of rows and their primary keys is checked: what else is unique and foreign keys are lifted,
//! triggers do not fire, and row-level security does not bind the owner, who does all of it. The images that come first may be older than
//! the state that they are put into, and hand on what is unique a second time. [`Rebuild::finish`] puts all of that back, and checks it.

mod table;

use std::collections::BTreeMap;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use crate::migrate::{MIGRATIONS, bind_owner, steps};
use crate::{Db, Error};
use table::Table;

/// What a row became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    /// The table's name.
    pub relation: &'a str,
    /// Whether the row was deleted.
    pub is_deleted: bool,
    /// The row, or of a deleted one its primary key: a JSON object.
    pub json: &'a str,
}

/// The table whose rows say which steps the schema has made.
pub const STEPS: &str = "_sqlx_migrations";

/// How many bytes of images one statement puts in, unless a single one has more.
const STATEMENT_BYTES: usize = 1 << 20;

/// How far a sequence goes on beyond the highest number that is known: what was given out and lost is not given out again.
const SEQUENCE_GAP: i64 = 1_000_000;

/// A database that is being made anew, on a connection of its own.
#[derive(Debug)]
pub struct Rebuild {
    connection: PgConnection,
    /// The statements that put back what is lifted; `None` while nothing is.
    lifted: Option<Vec<PutBack>>,
    /// The highest step that the schema has made.
    schema: i64,
    /// Whether any image was put in.
    is_filled: bool,
    tables: BTreeMap<String, Table>,
    /// The foreign keys that rows break.
    broken: Vec<String>,
}

/// What puts back what was lifted.
#[derive(Debug)]
enum PutBack {
    Plain(String),
    ForeignKey(String),
}

impl Rebuild {
    /// Begins with a database that has no table.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] for one that has, and as of any statement.
    pub async fn begin(db: &Db) -> Result<Self, Error> {
        let mut connection = connect(db).await?;
        if !tables(&mut connection).await?.is_empty() {
            return Err(Error::NotEmpty);
        }
        let mut rebuild = Self {
            connection,
            lifted: None,
            schema: 0,
            is_filled: false,
            tables: BTreeMap::new(),
            broken: Vec::new(),
        };
        // What is begun and not finished is thrown away, so no statement waits for the disk.
        rebuild.run("set synchronous_commit = off").await?;
        Ok(rebuild)
    }

    /// Puts images in, in their order. Where they say that the schema made a step, it makes it. What came before a failure may be in.
    ///
    /// # Errors
    /// [`Error::Migration`] for a step that this program does not know, and as of any statement.
    pub async fn apply(&mut self, images: &[Image<'_>]) -> Result<(), Error> {
        let same = |a: &Image<'_>, b: &Image<'_>| (a.relation, a.is_deleted) == (b.relation, b.is_deleted);
        for run in images.chunk_by(same) {
            match run {
                [Image { relation: STEPS, .. }, ..] => self.step(run).await?,
                _ => self.put(run).await?,
            }
        }
        Ok(())
    }

    /// Puts back what was lifted, and makes the steps that the schema still lacks. The foreign keys that rows break: they are back for rows
    /// that come, and are not valid for those that are there.
    ///
    /// # Errors
    /// [`Error::Constraint`] for rows that are not unique, and as of any statement.
    pub async fn finish(mut self) -> Result<Vec<String>, Error> {
        if !self.is_filled {
            self.lift().await?;
        }
        self.advance_sequences().await?;
        self.migrate(None).await?;
        bind_owner(&mut self.connection, true).await?;
        // A commit that waits for the disk does so for all before it: that of the statistics.
        self.run("reset synchronous_commit").await?;
        // Of the catalog, only a superuser may.
        let tables = tables(&mut self.connection).await?;
        self.run(&format!("analyze {}", tables.join(", "))).await?;
        self.connection.close().await?;
        Ok(self.broken)
    }

    async fn step(&mut self, images: &[Image<'_>]) -> Result<(), Error> {
        let versions: Vec<i64> = sqlx::query_scalar("select (unnest($1::json[]) ->> 'version')::bigint")
            .bind(images.iter().filter(|image| !image.is_deleted).map(|image| image.json).collect::<Vec<_>>())
            .fetch_all(&mut self.connection)
            .await?;
        let Some(version) = versions.into_iter().max().filter(|version| *version > self.schema) else {
            return Ok(());
        };
        if !MIGRATIONS.version_exists(version) {
            return Err(Error::Migration(sqlx::migrate::MigrateError::VersionMissing(version)));
        }
        self.migrate(Some(version)).await?;
        if !self.is_filled {
            // What a new schema begins with is among the images, unless it was deleted since.
            let mut tables = tables(&mut self.connection).await?;
            tables.retain(|table| table != STEPS);
            self.run(&format!("truncate {}", tables.join(", "))).await?;
        }
        Ok(())
    }

    /// Makes the schema's steps up to a version, or all.
    async fn migrate(&mut self, version: Option<i64>) -> Result<(), Error> {
        for statement in self.lifted.take().unwrap_or_default() {
            match statement {
                PutBack::Plain(statement) => self.run(&statement).await?,
                PutBack::ForeignKey(statement) => self.add_foreign_key(statement).await?,
            }
        }
        steps(&mut self.connection, version).await?;
        self.schema = version.unwrap_or(i64::MAX);
        self.tables.clear();
        Ok(())
    }

    async fn add_foreign_key(&mut self, statement: String) -> Result<(), Error> {
        match self.run(&statement).await {
            Err(Error::Constraint { .. }) if !statement.ends_with("NOT VALID") => {
                self.run(&format!("{statement} not valid")).await?;
                self.broken.push(statement);
                Ok(())
            }
            done => done,
        }
    }

    /// Images of one table, all of rows that are there or all of deleted ones.
    async fn put(&mut self, images: &[Image<'_>]) -> Result<(), Error> {
        self.lift().await?;
        self.is_filled = true;
        let Some(first) = images.first() else { return Ok(()) };
        if !self.tables.contains_key(first.relation) {
            let found = Table::find(&mut self.connection, first.relation).await?;
            self.tables.insert(first.relation.to_owned(), found);
        }
        let Some(table) = self.tables.get(first.relation) else { return Ok(()) };
        let statement = if first.is_deleted { &table.delete } else { &table.put };
        let mut rest = images;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |image: &&Image<'_>| {
                bytes += image.json.len();
                bytes <= STATEMENT_BYTES
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            let all = now.iter().map(|image| image.json).collect::<Vec<_>>().join(",");
            let put = sqlx::query(AssertSqlSafe(statement.clone())).bind(format!("[{all}]"));
            put.execute(&mut self.connection).await?;
            rest = later;
        }
        Ok(())
    }

    /// Lifts what would stand in the way of rows that come in the order of the journal.
    async fn lift(&mut self) -> Result<(), Error> {
        if self.lifted.is_some() {
            return Ok(());
        }
        let (lift, put_back) = self.statements().await?;
        for statement in lift {
            self.run(&statement).await?;
        }
        bind_owner(&mut self.connection, false).await?;
        self.lifted = Some(put_back);
        Ok(())
    }

    /// What lifts, and what puts back.
    async fn statements(&mut self) -> Result<(Vec<String>, Vec<PutBack>), Error> {
        // Foreign keys first, which need what is unique: lifted before it, and put back after it.
        let constraints: Vec<(String, String, String, bool)> = sqlx::query_as(
            "select conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid), contype = 'f' from pg_constraint
             where contype in ('f', 'u', 'x') and connamespace = current_schema()::regnamespace order by contype <> 'f', 1, 2",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let indexes: Vec<(String, String)> = sqlx::query_as(
            "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index join pg_class on pg_class.oid = indexrelid
             where indisunique and not indisprimary and relnamespace = current_schema()::regnamespace
               and not exists (select from pg_constraint where conindid = indexrelid and contype in ('u', 'x')) order by 1",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let (mut lift, mut put_back, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        for (table, name, definition, is_foreign) in constraints {
            lift.push(format!("alter table {table} drop constraint {name}"));
            let add = format!("alter table {table} add constraint {name} {definition}");
            if is_foreign {
                foreign.push(PutBack::ForeignKey(add));
            } else {
                put_back.push(PutBack::Plain(add));
            }
        }
        for (index, definition) in indexes {
            lift.push(format!("drop index {index}"));
            put_back.push(PutBack::Plain(definition));
        }
        put_back.extend(foreign);
        for table in tables(&mut self.connection).await? {
            lift.push(format!("alter table {table} disable trigger user"));
            put_back.push(PutBack::Plain(format!("alter table {table} enable trigger user")));
        }
        Ok((lift, put_back))
    }

    /// Sets each sequence beyond the numbers that rows have of it.
    async fn advance_sequences(&mut self) -> Result<(), Error> {
        let columns: Vec<(String, String, String)> = sqlx::query_as(
            "select attrelid::regclass::text, quote_ident(attname), sequence from pg_class
             join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
             cross join pg_get_serial_sequence(attrelid::regclass::text, attname) sequence
             where relkind = 'r' and relnamespace = current_schema()::regnamespace and sequence is not null order by 1, 2",
        )
        .fetch_all(&mut self.connection)
        .await?;
        for (table, column, sequence) in columns {
            self.run(&format!(
                "select setval('{sequence}', coalesce(max({column}), 0) + {SEQUENCE_GAP}) from {table}"
            ))
            .await?;
        }
        Ok(())
    }

    async fn run(&mut self, statement: &str) -> Result<(), Error> {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut self.connection).await?;
        Ok(())
    }
}

/// Whether a database has no table.
///
/// # Errors
/// [`Error`] when the database fails.
pub async fn is_blank(db: &Db) -> Result<bool, Error> {
    let mut connection = connect(db).await?;
    let is_blank = tables(&mut connection).await?.is_empty();
    connection.close().await?;
    Ok(is_blank)
}

async fn connect(db: &Db) -> Result<PgConnection, Error> {
    let options = db.url().parse::<PgConnectOptions>()?.application_name("pillarbox recover");
    Ok(options.disable_statement_logging().connect().await?)
}

/// The schema's tables.
async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    let tables = sqlx::query_scalar(
        "select oid::regclass::text from pg_class
         where relkind in ('r', 'p') and relnamespace = current_schema()::regnamespace order by 1",
    );
    Ok(tables.fetch_all(connection).await?)
}
