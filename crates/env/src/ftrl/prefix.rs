//! FTRL's step-wise samples: an episode told as rows that each go on from where it stood.

use std::path::Path;

use episode::{Message, Role, Task, Trace, TraceTurn};

use super::Row;
use super::file::RowFile;
use super::suite::split;
use crate::{EnvError, UnsolvedSet, load_traces};

/// Every row of a file, each with those that its traces make of it. Their ids are the row's and
/// a number.
pub(crate) fn read_prefixes(path: &Path, traces: &Path) -> Result<Vec<Row>, EnvError> {
    let (file, problems) = RowFile::read(path)?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem);
    }
    let tasks: Vec<Task> = (file.rows.iter())
        .map(|(_, row)| split(row.clone()).1)
        .collect();
    let traces = load_traces(traces, &tasks)?;
    let mut rows = Vec::new();
    for ((_, row), task) in file.rows.iter().zip(&tasks) {
        rows.push(row.clone());
        let of_row = traces.iter().filter(|trace| trace.task == task.id);
        let later = of_row.flat_map(|trace| row.prefixes(trace).into_iter().skip(1));
        rows.extend(later.enumerate().map(|(number, prefix)| Row {
            id: Some(format!("{}+{}", task.id, number + 1)),
            ..prefix
        }));
    }
    Ok(rows)
}

impl Row {
    /// The row itself, then one row for each turn of the trace that calls: the conversation so
    /// far, what is left to solve, and the share that is solved. What a turn says besides, its
    /// reasoning in tags, stays in its message. The trace is of this row.
    pub fn prefixes(&self, trace: &Trace) -> Vec<Row> {
        let mut unsolved = UnsolvedSet::new(self.unsolved_set.clone());
        let total = unsolved.left() as f64 / (1.0 - self.solve_rate).max(f64::EPSILON);
        let mut rows = vec![self.clone()];
        let mut messages = self.messages.clone();
        for turn in &trace.turns {
            messages.extend(conversation(turn));
            if turn.calls.is_empty() {
                continue;
            }
            for (call, result) in turn.calls.iter().zip(&turn.results) {
                unsolved.take(&call.name, result);
            }
            let left = unsolved.left();
            let id = self.id.as_ref().map(|id| format!("{id}+{}", rows.len()));
            rows.push(Row {
                messages: messages.clone(),
                unsolved_set: unsolved.remaining().clone(),
                solve_rate: if left == 0 {
                    1.0
                } else {
                    1.0 - left as f64 / total
                },
                id,
                ..self.clone()
            });
        }
        rows
    }
}

/// A turn as messages: the agent's, then the tools' or the user's.
fn conversation(turn: &TraceTurn) -> Vec<Message> {
    let reasoning = match turn.reasoning.as_str() {
        "" => String::new(),
        reasoning => format!("<think>\n{reasoning}\n</think>\n\n"),
    };
    let said = reasoning + &turn.content;
    let mut messages = vec![Message {
        tool_calls: turn.calls.clone(),
        ..Message::new(Role::Assistant, said.trim())
    }];
    let results = turn.results.iter();
    messages.extend(results.map(|result| Message::new(Role::Tool, result)));
    let reply = turn.reply.iter();
    messages.extend(reply.map(|reply| Message::new(Role::User, reply)));
    messages
}

#[cfg(test)]
mod tests {
    use episode::ToolCall;
    use indexmap::IndexMap;
    use serde_json::json;

    use super::*;

    fn row() -> Row {
        Row::parse(
            &json!({
                "messages": [{"role": "user", "content": "Which crop?"}],
                "tools": [], "codes": {},
                "unsolved_set": {"quake": ["Nepal"], "crop": ["Rice", "Maize", "Rice"]},
                "data_source": "self/multi_hop", "answer": "Rice", "id": "7",
            })
            .to_string(),
        )
        .unwrap()
    }

    fn turn(reasoning: &str, calls: &[(&str, &str)]) -> TraceTurn {
        let call = |name: &str| ToolCall {
            name: name.to_owned(),
            arguments: serde_json::Map::from_iter([("x".to_owned(), json!("é"))]),
        };
        TraceTurn {
            reasoning: reasoning.to_owned(),
            calls: calls.iter().map(|(name, _)| call(name)).collect(),
            results: calls
                .iter()
                .map(|(_, result)| (*result).to_owned())
                .collect(),
            ..TraceTurn::default()
        }
    }

    fn trace() -> Trace {
        Trace {
            task: "7".to_owned(),
            turns: vec![
                turn("hm", &[("quake", "Nepal"), ("crop", "none")]),
                turn("", &[("crop", "rice")]),
            ],
            answer: Some("Rice".to_owned()),
            ..Trace::default()
        }
    }

    #[test]
    fn every_turn_that_calls_is_a_row_that_goes_on_from_there() {
        let rows = row().prefixes(&trace());
        assert_eq!(rows[0], row());
        let lengths: Vec<usize> = rows.iter().map(|row| row.messages.len()).collect();
        assert_eq!(lengths, [1, 4, 6]);
        let rates: Vec<f64> = rows.iter().map(|row| row.solve_rate).collect();
        assert_eq!(rates, [0.0, 0.25, 0.5]);
        let left = IndexMap::from([
            ("quake".to_owned(), vec![]),
            (
                "crop".to_owned(),
                vec!["Maize".to_owned(), "Rice".to_owned()],
            ),
        ]);
        assert_eq!(rows[2].unsolved_set, left);
        assert_eq!(rows[1].messages[1].content, "<think>\nhm\n</think>");
        assert_eq!(rows[2].id.as_deref(), Some("7+2"));
    }

    #[test]
    fn a_row_that_goes_on_is_read_back_and_can_go_on_again() {
        let rows = row().prefixes(&trace());
        let second = Row::parse(&rows[1].to_line()).unwrap();
        assert_eq!(second, rows[1]);
        let rest = Trace {
            turns: vec![turn("", &[("crop", "rice")])],
            ..trace()
        };
        let third = second.prefixes(&rest).remove(1);
        assert_eq!(third.solve_rate, rows[2].solve_rate);
        assert_eq!(third.unsolved_set, rows[2].unsolved_set);
        assert_eq!(third.messages, rows[2].messages);
    }
}
