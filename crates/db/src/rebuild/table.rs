//! The statements that put images of a table's rows in.

use sqlx::PgConnection;

use crate::Error;

/// A table's two statements. Each takes images as a JSON array, `$1`.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) put: String,
    pub(super) delete: String,
}

impl Table {
    /// Looks up how a table is made.
    ///
    /// # Errors
    /// [`Error::Internal`] for a table that there is not or that has no primary key, and as of any statement.
    pub(super) async fn find(connection: &mut PgConnection, relation: &str) -> Result<Self, Error> {
        // A number that the database gives a row is that row's for good, and cannot be set.
        let (name, columns, fixed, key): (String, Vec<String>, Vec<String>, Vec<String>) = sqlx::query_as(
            "select $1::regclass::text,
               array(select quote_ident(attname) from pg_attribute
                     where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum),
               array(select quote_ident(attname) from pg_attribute where attrelid = $1::regclass and attnum > 0 and attidentity <> ''),
               array(select quote_ident(attname) from pg_index join pg_attribute on attrelid = indrelid and attnum = any (indkey)
                     where indrelid = $1::regclass and indisprimary order by attnum)",
        )
        .bind(relation)
        .fetch_one(&mut *connection)
        .await?;
        if key.is_empty() {
            return Err(Error::Internal(sqlx::Error::Protocol(format!("{relation} has no primary key"))));
        }
        Ok(Self { put: put(&name, &columns, &fixed, &key), delete: delete(&name, &key) })
    }
}

/// What the number of an image is called beside the table's columns, of which none has such a name.
const PLACE: &str = "\"the image's place\"";

/// Of several images of a row, the last counts.
fn put(name: &str, columns: &[String], fixed: &[String], key: &[String]) -> String {
    let set: Vec<_> = columns
        .iter()
        .filter(|column| !key.contains(column) && !fixed.contains(column))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    let then = if set.is_empty() { "nothing".to_owned() } else { format!("update set {}", set.join(", ")) };
    let (columns, key) = (columns.join(", "), key.join(", "));
    format!(
        "insert into {name} ({columns}) overriding system value
         select {columns} from (
           select distinct on ({key}) image.*, element.{PLACE}
           from json_array_elements($1::json) with ordinality element(json, {PLACE}), json_populate_record(null::{name}, element.json) image
           order by {key}, element.{PLACE} desc) last
         order by {PLACE}
         on conflict ({key}) do {then}"
    )
}

fn delete(name: &str, key: &[String]) -> String {
    let same: Vec<_> = key.iter().map(|column| format!("{name}.{column} = image.{column}")).collect();
    format!(
        "delete from {name} using json_populate_recordset(null::{name}, $1::json) image where {}",
        same.join(" and ")
    )
}
