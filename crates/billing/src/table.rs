//! Tables as files: comma-separated values (RFC 4180) with a header, or one JSON object a line, both in UTF-8.
//!
//! A spreadsheet takes a cell for a formula that begins with one of `= + - @`, a tab or a line break, and names are typed
//! by strangers. So in CSV a text that begins with one of these, or with an apostrophe, has an apostrophe put before
//! it: a spreadsheet shows the text, and a program that takes one leading apostrophe off has it as it was. Numbers and
//! days are ours and stay bare. JSON Lines has every text as it is.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use kernel::Money;
use serde::{Serialize, Serializer};

use crate::Error;

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// There is none: empty in CSV, `null` in JSON.
    Empty,
    /// Any text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with decimals, as exact as it is written: a number in CSV, a text in JSON.
    Decimal(String),
    /// A calendar day.
    Day(NaiveDate),
    /// An instant.
    Moment(DateTime<Utc>),
}

impl Cell {
    /// A text of ours, such as an id or a code.
    pub(crate) fn of(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// What there may be none of.
    pub(crate) fn option<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Empty, cell)
    }

    /// An amount in major units, its currency beside it.
    pub(crate) fn amount(money: Money) -> Self {
        Self::Decimal(money.decimal())
    }

    fn plain(self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) | Self::Decimal(text) => text,
            Self::Integer(number) => number.to_string(),
            Self::Day(day) => day.to_string(),
            Self::Moment(moment) => moment.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        }
    }

    /// As CSV has it.
    fn guarded(self) -> String {
        let is_text = matches!(self, Self::Text(_));
        let text = self.plain();
        if is_text && text.starts_with(['\'', '=', '+', '-', '@', '\t', '\r', '\n']) {
            return format!("'{text}");
        }
        text
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_none(),
            Self::Integer(number) => serializer.serialize_i64(*number),
            cell => serializer.serialize_str(&cell.clone().plain()),
        }
    }
}

/// Writes a table piece by piece.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    format: Format,
    columns: [&'static str; N],
    is_begun: bool,
}

/// An object whose members are in the order of the columns.
struct Object<'a, const N: usize>(&'a [&'static str; N], &'a [Cell; N]);

impl<const N: usize> Serialize for Object<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(format: Format, columns: [&'static str; N]) -> Self {
        Self { format, columns, is_begun: false }
    }

    /// The next rows as bytes; the header before the first of them.
    ///
    /// # Errors
    /// [`Error::Stored`] for a row that no file can hold; there is none.
    pub(crate) fn piece(&mut self, rows: impl IntoIterator<Item = [Cell; N]>) -> Result<Vec<u8>, Error> {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        match self.format {
            Format::Csv => self.csv(rows, is_first).map_err(|_| Error::Stored("row")),
            Format::JsonLines => self.json_lines(rows).map_err(|_| Error::Stored("row")),
        }
    }

    fn csv(
        &self,
        rows: impl IntoIterator<Item = [Cell; N]>,
        with_header: bool,
    ) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        if with_header {
            writer.write_record(self.columns)?;
        }
        for row in rows {
            writer.write_record(row.map(Cell::guarded))?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }

    fn json_lines(&self, rows: impl IntoIterator<Item = [Cell; N]>) -> Result<Vec<u8>, serde_json::Error> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, &Object(&self.columns, &row))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(format: Format, rows: &[[Cell; 2]]) -> String {
        let mut table = Table::new(format, ["name", "amount"]);
        let pieces = rows.chunks(1).map(|rows| table.piece(rows.to_vec()).unwrap()).collect::<Vec<_>>();
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[test]
    fn a_text_is_no_formula_and_a_number_stays_one() {
        let money = Money::new(-1250, "EUR".parse().unwrap());
        let texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "'t Hooft", "a=b", "Bäcker, \"Süd\""];
        let rows = texts.map(|text| [Cell::of(text), Cell::amount(money)]);
        let csv = file(Format::Csv, &rows);
        assert!(csv.starts_with("name,amount\r\n'=1+1,-12.50\r\n'+1,-12.50\r\n'-1,-12.50\r\n"), "{csv}");
        assert!(
            csv.ends_with("''t Hooft,-12.50\r\na=b,-12.50\r\n\"Bäcker, \"\"Süd\"\"\",-12.50\r\n"),
            "{csv}"
        );
        assert_eq!(csv.matches("name,amount").count(), 1);
        let row = [Cell::Empty, Cell::Integer(-3)];
        assert_eq!(file(Format::Csv, std::slice::from_ref(&row)), "name,amount\r\n,-3\r\n");
        let lines = file(Format::JsonLines, &[row, [Cell::of("=1"), Cell::amount(money)]]);
        assert_eq!(lines, "{\"name\":null,\"amount\":-3}\n{\"name\":\"=1\",\"amount\":\"-12.50\"}\n");
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        let piece = |format| Table::new(format, ["name", "amount"]).piece([]).unwrap();
        assert_eq!((piece(Format::Csv), piece(Format::JsonLines)), (b"name,amount\r\n".to_vec(), vec![]));
    }

    proptest! {
        #[test]
        fn every_text_comes_back(texts in prop::collection::vec("['=+@\\-\\t\\r\\n,\"a\u{e4}; ]{0,6}", 1..6)) {
            let rows: Vec<_> = texts.iter().map(|text| [Cell::of(text), Cell::Integer(1)]).collect();
            let csv = file(Format::Csv, &rows);
            let mut reader = csv::Reader::from_reader(csv.as_bytes());
            for (record, text) in reader.records().map(Result::unwrap).zip(&texts) {
                prop_assert!(!record[0].starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "{:?}", record);
                prop_assert_eq!(record[0].strip_prefix('\'').unwrap_or(&record[0]), text);
            }
            for (line, text) in file(Format::JsonLines, &rows).split_terminator('\n').zip(&texts) {
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(line).unwrap()["name"], text);
            }
        }
    }
}
