//! Parquet by way of Arrow: a column's type is what all its values have in common.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use arrow_json::{LineDelimitedWriter, ReaderBuilder};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::{Row, file_error};
use crate::EnvError;

/// A table that its reader says nothing of for so long is given up.
const PATIENCE: Duration = Duration::from_secs(8);

/// Every row, without its columns that are null. The library walks through lists of two thousand
/// million items that a damaged file of fifty bytes claims to have, and so it does that in a
/// thread of its own.
pub(super) fn read_parquet(path: &Path) -> Result<Vec<Row>, EnvError> {
    read_within(path, PATIENCE)
}

fn read_within(path: &Path, patience: Duration) -> Result<Vec<Row>, EnvError> {
    let file = File::open(path).map_err(|source| file_error(path, source))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        // Whoever has given up does not want to know.
        let failed = send_rows(file, &sender).err();
        let _ = sender.send(failed.map_or(Read::All, Read::Failed));
    });
    let mut rows = Vec::new();
    loop {
        let problem = match receiver.recv_timeout(patience) {
            Ok(Read::Rows(more)) => {
                rows.extend(more);
                continue;
            }
            Ok(Read::All) => return Ok(rows),
            Ok(Read::Failed(problem)) => problem,
            Err(RecvTimeoutError::Disconnected) => "it makes its reader panic".to_owned(),
            Err(RecvTimeoutError::Timeout) => {
                format!("its reader has found nothing in it for {patience:?}")
            }
        };
        return Err(unreadable(path, &problem));
    }
}

/// What comes of a table, piece by piece.
enum Read {
    Rows(Vec<Row>),
    Failed(String),
    All,
}

/// Reads a table to its end, or to where nobody listens any more.
fn send_rows(file: File, sender: &SyncSender<Read>) -> Result<(), String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| error.to_string())?;
    for batch in reader {
        let mut lines = Vec::new();
        batch
            .and_then(|batch| LineDelimitedWriter::new(&mut lines).write(&batch))
            .map_err(|error| error.to_string())?;
        let rows: Result<Vec<Row>, _> = serde_json::Deserializer::from_slice(&lines)
            .into_iter()
            .collect();
        let rows = rows.map_err(|error| error.to_string())?;
        if sender.send(Read::Rows(rows)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes rows with one column for each name, in the order in which they first occur. Values
/// of one column that have nothing in common are an error.
pub(super) fn write_parquet(path: &Path, rows: &[Row]) -> Result<(), EnvError> {
    let unwritable = |problem: String| EnvError::Form {
        path: path.to_owned(),
        problem,
    };
    let schema = Arc::new(Schema::new(columns(rows).map_err(unwritable)?));
    let file = File::create(path).map_err(|source| file_error(path, source))?;
    write_rows(file, schema, rows).map_err(|error| unwritable(error.to_string()))
}

fn write_rows(file: File, schema: Arc<Schema>, rows: &[Row]) -> Result<(), ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
    let mut decoder = ReaderBuilder::new(schema)
        .with_batch_size(rows.len().max(1))
        .build_decoder()?;
    decoder.serialize(rows)?;
    if let Some(batch) = decoder.flush()? {
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(())
}

fn columns(rows: &[Row]) -> Result<Fields, String> {
    let mut all = Vec::new();
    for row in rows {
        add_fields(&mut all, row, "")?;
    }
    Ok(fields(all))
}

/// What is known of a value's type.
#[derive(Clone, Debug)]
enum Kind {
    Null,
    Plain(DataType),
    List(Box<Kind>),
    Struct(Vec<(String, Kind)>),
}

fn add_fields(known: &mut Vec<(String, Kind)>, row: &Row, within: &str) -> Result<(), String> {
    for (name, value) in row {
        let at = match within {
            "" => name.clone(),
            within => format!("{within}.{name}"),
        };
        let kind = kind_of(value, &at)?;
        match known.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = joined(known.clone(), kind, &at)?,
            None => known.push((name.clone(), kind)),
        }
    }
    Ok(())
}

fn kind_of(value: &Value, at: &str) -> Result<Kind, String> {
    Ok(match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Plain(DataType::Boolean),
        Value::Number(number) if number.is_i64() => Kind::Plain(DataType::Int64),
        Value::Number(number) if number.is_u64() => {
            return Err(format!(
                "column `{at}` has {number}, more than 64 bits with a sign hold"
            ));
        }
        Value::Number(_) => Kind::Plain(DataType::Float64),
        Value::String(_) => Kind::Plain(DataType::Utf8),
        Value::Array(items) => {
            let mut all = Kind::Null;
            for item in items {
                all = joined(all, kind_of(item, at)?, at)?;
            }
            Kind::List(Box::new(all))
        }
        Value::Object(row) => {
            let mut all = Vec::new();
            add_fields(&mut all, row, at)?;
            Kind::Struct(all)
        }
    })
}

fn joined(one: Kind, other: Kind, at: &str) -> Result<Kind, String> {
    use DataType::{Float64, Int64};
    Ok(match (one, other) {
        (Kind::Null, kind) | (kind, Kind::Null) => kind,
        (Kind::Plain(one), Kind::Plain(other)) if one == other => Kind::Plain(one),
        (Kind::Plain(Int64 | Float64), Kind::Plain(Int64 | Float64)) => Kind::Plain(Float64),
        (Kind::List(one), Kind::List(other)) => Kind::List(Box::new(joined(*one, *other, at)?)),
        (Kind::Struct(mut all), Kind::Struct(other)) => {
            for (name, kind) in other {
                let at = format!("{at}.{name}");
                match all.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => *known = joined(known.clone(), kind, &at)?,
                    None => all.push((name, kind)),
                }
            }
            Kind::Struct(all)
        }
        (one, other) => {
            return Err(format!(
                "column `{at}` has {} in one row and {} in another, and a column of Parquet \
                 has one type\nhint: write JSON lines instead",
                one.name(),
                other.name()
            ));
        }
    })
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Plain(DataType::Boolean) => "a truth value",
            Self::Plain(DataType::Utf8) => "a text",
            Self::Plain(_) => "a number",
            Self::List(_) => "a list",
            Self::Struct(_) => "an object",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            // Parquet has no column without a type, nor an object without a field.
            Self::Null => DataType::Utf8,
            Self::Struct(all) if all.is_empty() => {
                DataType::Struct(Fields::from(vec![Field::new("_", DataType::Boolean, true)]))
            }
            Self::Plain(plain) => plain,
            Self::List(item) => DataType::new_list(item.data_type(), true),
            Self::Struct(all) => DataType::Struct(fields(all)),
        }
    }
}

fn fields(all: Vec<(String, Kind)>) -> Fields {
    all.into_iter()
        .map(|(name, kind)| Field::new(name, kind.data_type(), true))
        .collect()
}

fn unreadable(path: &Path, problem: &str) -> EnvError {
    EnvError::Form {
        path: path.to_owned(),
        problem: format!("not a table that can be read: {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Row {
        match value {
            Value::Object(row) => row,
            other => panic!("{other} is no row"),
        }
    }

    fn round_trip(rows: &[Row]) -> Result<Vec<Row>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let shown = |error: EnvError| {
            let folder = format!("{}/", folder.path().display());
            error.to_string().replace(&folder, "")
        };
        write_parquet(&path, rows).map_err(shown)?;
        read_parquet(&path).map_err(shown)
    }

    #[test]
    fn a_table_is_read_back_with_its_order_and_without_its_nulls() {
        let rows = [
            row(json!({"z": "é", "n": 1, "list": [{"role": "user"}, {"role": "tool", "id": 2}]})),
            row(json!({"z": "", "n": -2, "list": [], "deep": {"b": [[0.5]], "a": true}})),
        ];
        assert_eq!(round_trip(&rows).unwrap(), rows);
        let with_null = [row(json!({"a": 1, "b": null})), row(json!({"a": 2}))];
        let without = [row(json!({"a": 1})), row(json!({"a": 2}))];
        assert_eq!(round_trip(&with_null).unwrap(), without);
        assert_eq!(round_trip(&[]).unwrap(), [] as [Row; 0]);
    }

    #[test]
    fn whole_numbers_beside_others_become_such() {
        let rows = [row(json!({"n": 1})), row(json!({"n": 0.5}))];
        let expected = [row(json!({"n": 1.0})), row(json!({"n": 0.5}))];
        assert_eq!(round_trip(&rows).unwrap(), expected);
    }

    #[test]
    fn values_with_nothing_in_common_are_an_error_that_names_the_column() {
        let rows = [row(json!({"a": {"b": "x"}})), row(json!({"a": {"b": [1]}}))];
        assert_eq!(
            round_trip(&rows).unwrap_err(),
            "`t.parquet`: column `a.b` has a text in one row and a list in another, and a \
             column of Parquet has one type\nhint: write JSON lines instead"
        );
    }

    /// Fuzzing found it: a footer whose list of truth values, each of no byte, has no end in sight.
    #[test]
    fn a_list_of_nothing_without_an_end_is_given_up() {
        let table = b"P2\x00\xf5/\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\x7f!\xbb\xbb\xbb\xbbl\
            \xb8\x0e\xc4\xff\xff\xff\xff\xff\xff\x002\x00\x9e\x00\x00\x00\x00\x00\
            \x00AR\x22R\x22\x00\x00\x00PAR1";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        std::fs::write(&path, table).unwrap();
        let error = read_within(&path, Duration::from_millis(50)).unwrap_err();
        let said = "its reader has found nothing in it for 50ms";
        assert!(error.to_string().contains(said), "{error}");
    }

    #[test]
    fn a_file_that_is_no_parquet_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        std::fs::write(&path, "{\"a\": 1}").unwrap();
        let error = read_parquet(&path).unwrap_err().to_string();
        assert!(
            error.contains("t.parquet`: not a table that can be read"),
            "{error}"
        );
    }
}
