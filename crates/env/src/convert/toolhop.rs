//! ToolHop's questions as tasks with Python tools, asked as its mandatory scenario asks.

use std::mem;

use episode::{Message, Role};
use serde_json::{Map, json};

use crate::jsonl::{Fields, LineProblem};
use crate::own::TaskRow;
use crate::toolhop::{Scenario, ToolHopRow};

/// Of two tools of one name, the last one's source is its code: FTRL has one.
pub(super) fn read(fields: Fields) -> Result<TaskRow, LineProblem> {
    let mut row = ToolHopRow::read(fields)?;
    let scenario = Scenario::Mandatory;
    let codes: Map<_, _> = (row.functions.iter())
        .filter_map(|(name, sources)| Some((name.clone(), json!(sources.last()?))))
        .collect();
    let mut extra = mem::take(&mut row.extra);
    extra.shift_remove("id");
    extra.insert("codes".to_owned(), json!(codes));
    Ok(TaskRow {
        id: row.id.clone(),
        scenario: Some(format!("toolhop/{}", scenario.name())),
        messages: vec![Message::new(Role::User, scenario.prompt(&row.question))],
        tools: Some(row.hops.iter().map(|hop| hop.tool.clone()).collect()),
        answers: vec![row.answer.clone()],
        goldens: Some(row.goldens()),
        extra,
        ..TaskRow::default()
    })
}
