//! Tables of rows in the forms that data sets come in: JSON lines, one JSON list of objects,
//! Parquet. A row is an object of its columns; knows nothing of what the columns mean.

#[cfg(feature = "parquet")]
mod parquet;

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::EnvError;
use crate::jsonl::{Fields, LineProblem, Place};
use crate::python_json::python_json;

/// One row by its columns.
pub(crate) type Row = Map<String, Value>;

/// A row's fields, or what is wrong with it.
pub(crate) type ReadRow = Result<Fields, LineProblem>;

/// Every row with its place, or what is wrong with it. `.parquet` is Parquet; a text that
/// begins with `[` is one JSON list; every other is JSON lines.
pub(crate) fn read(path: &Path) -> Result<Vec<(Place, ReadRow)>, EnvError> {
    if is_parquet(path) {
        let rows = read_parquet(path)?.into_iter().enumerate();
        let placed = rows.map(|(index, row)| (Place::Row(index + 1), Ok(Fields::new(row))));
        return Ok(placed.collect());
    }
    let text = fs::read_to_string(path).map_err(|source| file_error(path, source))?;
    if text.trim_start().starts_with('[') {
        return read_list(path, &text);
    }
    let lines = text.lines().enumerate();
    let rows = lines.filter(|(_, line)| !line.trim().is_empty());
    Ok(rows
        .map(|(index, line)| (Place::Line(index + 1), Fields::parse(line)))
        .collect())
}

/// Every row of a file in any of these forms; one that cannot be read is an error with its place.
pub fn read_all(path: &Path) -> Result<Vec<Row>, EnvError> {
    let rows = read(path)?.into_iter().map(|(place, row)| match row {
        Ok(fields) => Ok(fields.rest()),
        Err(problem) => Err(problem.at(path, place)),
    });
    rows.collect()
}

/// Writes rows, as Parquet where the path ends in `.parquet`, else as JSON lines.
pub fn write(path: &Path, rows: &[Row]) -> Result<(), EnvError> {
    if is_parquet(path) {
        return write_parquet(path, rows);
    }
    let lines: String = rows
        .iter()
        .map(|row| python_json(row).expect("a row is plain JSON") + "\n")
        .collect();
    fs::write(path, lines).map_err(|source| file_error(path, source))
}

fn read_list(path: &Path, text: &str) -> Result<Vec<(Place, ReadRow)>, EnvError> {
    let list: Vec<Value> = serde_json::from_str(text).map_err(|error| {
        let problem = format!("not a JSON list of objects: {error}");
        LineProblem::of_line(problem).at(path, error.line())
    })?;
    let rows = list.into_iter().enumerate().map(|(index, value)| {
        let fields = match value {
            Value::Object(row) => Ok(Fields::new(row)),
            _ => Err(LineProblem::of_line("not a JSON object")),
        };
        (Place::Row(index + 1), fields)
    });
    Ok(rows.collect())
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "parquet")
}

fn file_error(path: &Path, source: std::io::Error) -> EnvError {
    EnvError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(feature = "parquet")]
use self::parquet::{read_parquet, write_parquet};

#[cfg(not(feature = "parquet"))]
fn read_parquet(path: &Path) -> Result<Vec<Row>, EnvError> {
    Err(built_without(path))
}

#[cfg(not(feature = "parquet"))]
fn write_parquet(path: &Path, _rows: &[Row]) -> Result<(), EnvError> {
    Err(built_without(path))
}

#[cfg(not(feature = "parquet"))]
fn built_without(path: &Path) -> EnvError {
    EnvError::Form {
        path: path.to_owned(),
        problem: "this pact was built without Parquet\n\
                  hint: build it with `--features parquet`, or use JSON lines"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    type Shown = (String, Result<Row, String>);

    fn rows(name: &str, text: &str) -> Result<Vec<Shown>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let shown = |(place, fields): (Place, Result<Fields, LineProblem>)| {
            let row = fields.map(Fields::rest).map_err(|it| it.problem);
            (place.to_string(), row)
        };
        match read(&path) {
            Ok(rows) => Ok(rows.into_iter().map(shown).collect()),
            Err(error) => {
                let folder = format!("{}/", folder.path().display());
                Err(error.to_string().replace(&folder, ""))
            }
        }
    }

    fn row(number: u64) -> Row {
        Row::from_iter([("a".to_owned(), number.into())])
    }

    #[test]
    fn lines_are_placed_by_line_and_elements_of_a_list_by_row() {
        let found = rows("t.jsonl", "{\"a\": 1}\n\n{\"a\": 2}").unwrap();
        assert_eq!(
            found,
            [("line 1".into(), Ok(row(1))), ("line 3".into(), Ok(row(2)))]
        );
        let found = rows("t.json", " [{\"a\": 1},\n 7]").unwrap();
        assert_eq!(
            found,
            [
                ("row 1".into(), Ok(row(1))),
                ("row 2".into(), Err("not a JSON object".into()))
            ]
        );
    }

    #[test]
    fn a_list_that_does_not_end_is_an_error_with_its_line() {
        let error = rows("t.json", "[{\"a\": 1},\n{\"a\":").unwrap_err();
        assert!(
            error.starts_with("`t.json`, line 2: not a JSON list of objects: EOF"),
            "{error}"
        );
    }

    #[test]
    fn what_is_written_as_lines_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("t.jsonl");
        write(&path, &[row(1), row(2)]).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"a\": 1}\n{\"a\": 2}\n"
        );
    }
}
