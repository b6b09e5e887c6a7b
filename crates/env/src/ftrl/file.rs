//! A file of rows: what can be read of it, and which of its tools are no programs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sandbox::Pool;

use super::Row;
use crate::jsonl::{LineProblem, Place};
use crate::{EnvError, table};

/// Rows with the places where they stand.
pub(super) struct RowFile {
    pub(super) path: PathBuf,
    pub(super) rows: Vec<(Place, Row)>,
}

impl RowFile {
    /// Reads every row that can be read, and says what is wrong with each of the others.
    pub(super) fn read(path: &Path) -> Result<(Self, Vec<EnvError>), EnvError> {
        let mut rows = Vec::new();
        let mut problems = Vec::new();
        let mut ids = HashSet::new();
        for (index, (place, fields)) in table::read(path)?.into_iter().enumerate() {
            let row = fields.and_then(Row::read);
            match row.and_then(|row| identify(row, index, &mut ids)) {
                Ok(row) => rows.push((place, row)),
                Err(problem) => problems.push(problem.at(path, place)),
            }
        }
        let path = path.to_owned();
        Ok((Self { path, rows }, problems))
    }

    /// Tools whose source Python cannot compile.
    pub(super) fn broken_tools(&self, pool: &Pool) -> Result<Vec<EnvError>, EnvError> {
        let mut broken = Vec::new();
        for (place, row) in &self.rows {
            let sources: Vec<&str> = row.codes.values().map(String::as_str).collect();
            for (tool, complaint) in row.codes.keys().zip(pool.compile(&sources)?) {
                broken.extend(complaint.map(|problem| EnvError::Tool {
                    path: self.path.clone(),
                    place: *place,
                    field: "codes",
                    tool: tool.clone(),
                    problem,
                }));
            }
        }
        Ok(broken)
    }
}

/// Gives a row without an id its number, from 0, and refuses what no episode could use.
fn identify(mut row: Row, index: usize, ids: &mut HashSet<String>) -> Result<Row, LineProblem> {
    for tool in row.codes.keys() {
        if row.tool_names().all(|name| name != tool) {
            let problem = format!("`{tool}` is not the name of one of the row's tools");
            return Err(LineProblem::in_field("codes", problem));
        }
    }
    let id = row.id.get_or_insert_with(|| index.to_string());
    if !ids.insert(id.clone()) {
        let problem = format!("`{id}` is the id of an earlier row");
        return Err(LineProblem::in_field("id", problem));
    }
    Ok(row)
}
