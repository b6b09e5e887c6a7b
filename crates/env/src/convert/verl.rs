//! verl's table: one row a prompt, with what its reward function is told
//! (<https://verl.readthedocs.io/en/latest/preparation/prepare_data.html>). All that it does not
//! name stands in columns of its own, which verl hands on.

use serde_json::{Map, Value, json};

use super::columns::{add_rest, take_rest};
use super::{Lost, id_of, read_answers, write_answers};
use crate::jsonl::{Fields, LineProblem};
use crate::message::{read_messages, write_messages};
use crate::own::TaskRow;
use crate::table::Row;

const ABILITY: &str = "tool-use";
const STYLE: &str = "rule";

pub(super) fn read(mut fields: Fields, index: usize) -> Result<TaskRow, LineProblem> {
    let prompt = fields.required("prompt")?;
    let scenario: Option<String> = fields.optional("data_source")?;
    let ability: Option<String> = fields.optional("ability")?;
    let mut reward: Map<String, Value> = fields.optional("reward_model")?.unwrap_or_default();
    let mut info: Map<String, Value> = fields.optional("extra_info")?.unwrap_or_default();
    let mut row = TaskRow {
        messages: read_messages("prompt", prompt)?,
        scenario,
        answers: read_answers("reward_model", reward.shift_remove("ground_truth"))?,
        ..TaskRow::default()
    };
    if info.get("index") == Some(&json!(index)) {
        info.shift_remove("index");
    }
    let id = info.shift_remove("id");
    row.id = id_of(id.or_else(|| info.get("index").cloned()), index);
    if reward.get("style").is_some_and(|style| style == STYLE) {
        reward.shift_remove("style");
    }
    let ability = ability.filter(|ability| ability != ABILITY);
    let kept = [
        ("split", info.shift_remove("split")),
        ("ability", ability.map(Value::from)),
        ("reward_model", not_empty(reward)),
        ("extra_info", not_empty(info)),
    ];
    for (name, value) in kept {
        row.extra
            .extend(value.map(|value| (name.to_owned(), value)));
    }
    take_rest(fields, &mut row)?;
    Ok(row)
}

pub(super) fn write(rows: &[TaskRow], lost: &mut Lost) -> Vec<Row> {
    let answers = write_answers(rows);
    let row = |(index, task): (usize, &TaskRow)| {
        let mut task = task.clone();
        let mut taken = |name: &str| task.extra.shift_remove(name);
        let ability = taken("ability").unwrap_or_else(|| ABILITY.into());
        let split = taken("split");
        let mut reward = object(taken("reward_model"));
        let mut info = object(taken("extra_info"));
        reward.entry("style").or_insert(STYLE.into());
        reward.insert("ground_truth".to_owned(), answers(&task));
        if task.answers.is_empty() {
            lost.note("no answer: their `reward_model.ground_truth` is null");
        }
        info.insert("id".to_owned(), task.id.clone().into());
        info.entry("index").or_insert(index.into());
        info.extend(split.map(|split| ("split".to_owned(), split)));
        let scenario = task.scenario.as_deref().unwrap_or("own");
        let mut columns = Row::from_iter([
            ("data_source".to_owned(), scenario.into()),
            ("prompt".to_owned(), write_messages(&task.messages).into()),
            ("ability".to_owned(), ability),
            ("reward_model".to_owned(), reward.into()),
            ("extra_info".to_owned(), info.into()),
        ]);
        add_rest(&mut columns, &task, true, lost);
        columns
    };
    rows.iter().enumerate().map(row).collect()
}

fn not_empty(map: Map<String, Value>) -> Option<Value> {
    (!map.is_empty()).then_some(Value::Object(map))
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}
