//! A run as tables of plain rows, for whichever program reads them.

use episode::{Credit, Episode};
use serde_json::{Map, Value, json};

use crate::summary::stop_name;
use crate::{RecordedEpisode, ReportError, RunFolder};

/// A row: values by column.
pub type Row = Map<String, Value>;

/// One row a step: `step` and its metrics.
pub fn step_rows(run: &RunFolder) -> Result<Vec<Row>, ReportError> {
    run.metrics()
}

/// One row a training episode, without its tokens and texts: which it was, how it went, what it was
/// worth (its suite's metrics under `metrics`), and what training made of it (null where it was
/// left out of the loss, or not scored under a trace).
pub fn episode_rows(run: &RunFolder) -> Result<Vec<Row>, ReportError> {
    let rows = run.episodes()?.map(|recorded| Ok(row(&recorded?)));
    rows.collect()
}

fn row(recorded: &RecordedEpisode) -> Row {
    let RecordedEpisode {
        step,
        credit,
        episode,
    } = recorded;
    let turns = &episode.turns;
    let observations = || turns.iter().flat_map(|turn| &turn.observations);
    let row = json!({
        "step": step,
        "task": episode.task,
        "scenario": episode.scenario,
        "sample": episode.sample,
        "reward": episode.score.reward,
        "stop": stop_name(episode.stop),
        "turns": turns.len(),
        "calls": turns.iter().map(|turn| turn.calls.len()).sum::<usize>(),
        "parse-failures": turns.iter().map(|turn| turn.failures.len()).sum::<usize>(),
        "failed-observations": observations().filter(|it| it.failed).count(),
        "prompt-tokens": episode.prompt_tokens,
        "sampled-tokens": episode.sampled_tokens(),
        "anchored": credit.anchored,
        "advantage": mean(credit.advantages.iter().copied()),
        "trace-lift": trace_lift(credit, episode),
        "metrics": episode.score.metrics,
    });
    match row {
        Value::Object(row) => row,
        _ => unreachable!("an object was written"),
    }
}

/// Mean of log pi(y|x,z) - log pi(y|x) over the tokens that the policy sampled, in nats.
fn trace_lift(credit: &Credit, episode: &Episode) -> Option<f64> {
    let sampled = episode.turns.iter().map(|turn| {
        let segment = episode.segments.get(turn.segment)?;
        segment.logprobs.get(turn.start..turn.end)
    });
    let sampled: Vec<f32> = sampled.collect::<Option<Vec<_>>>()?.concat();
    if sampled.len() != credit.under_trace.len() {
        return None;
    }
    let pairs = credit.under_trace.iter().zip(&sampled);
    mean(pairs.map(|(under_trace, sampled)| under_trace - sampled))
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), it| {
        (sum + f64::from(it), count + 1)
    });
    (count > 0).then(|| sum / f64::from(count))
}

/// Rows as CSV (RFC 4180): a column for each name, in the order in which they first occur; an
/// object's fields are columns of their own, `metrics.solve-f1`; what is not known is empty.
pub fn csv(rows: &[Row]) -> String {
    let rows: Vec<Vec<(String, String)>> = rows.iter().map(|row| cells("", row)).collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let line = |cells: Vec<String>| cells.join(",") + "\r\n";
    let mut text = line(names.iter().map(|name| quoted(name)).collect());
    for row in &rows {
        let cell = |name: &&str| row.iter().find(|(known, _)| known == name);
        let cells = names.iter().map(|name| cell(name).map_or("", |(_, it)| it));
        text += &line(cells.map(quoted).collect());
    }
    text
}

/// Names and texts of a row's values.
fn cells(within: &str, row: &Row) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in row {
        let name = format!("{within}{name}");
        match value {
            Value::Object(inner) => all.extend(cells(&format!("{name}."), inner)),
            Value::Null => all.push((name, String::new())),
            Value::String(text) => all.push((name, text.clone())),
            value => all.push((name, value.to_string())),
        }
    }
    all
}

fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn run(episodes: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), "").unwrap();
        fs::write(folder.path().join("episodes.jsonl"), episodes).unwrap();
        folder
    }

    fn row_of(more: &str) -> Row {
        let line = format!(
            r#"{{"step":4,{more}"task":"a","scenario":"s","sample":1,"seed":1,"stop":"turn-limit","score":{{"reward":0.5,"metrics":{{"pass":1.0}}}},"prompt_tokens":2,"turns":[{{"segment":0,"start":2,"end":4,"text":"","calls":[{{"name":"f","arguments":{{}}}}],"failures":["unclosed"],"observations":[{{"text":"","failed":true}},{{"text":"","failed":false}}]}}],"segments":[{{"tokens":[1,2,3,4],"authors":["template","template","policy","policy"],"parts":["context","context","call","call"],"logprobs":[0.0,0.0,-1.0,-2.0]}}]}}"#
        );
        let folder = run(&(line + "\n{\"step\":4,\"ta"));
        let run = RunFolder::open(folder.path()).unwrap();
        let [row] = episode_rows(&run).unwrap().try_into().unwrap();
        row
    }

    #[test]
    fn an_episode_is_a_row_of_what_it_was_worth_and_what_training_made_of_it() {
        let credit = r#""anchored":false,"advantages":[0.25],"under_trace":[-0.5,-1.0],"#;
        assert_eq!(
            Value::from(row_of(credit)),
            json!({
                "step": 4, "task": "a", "scenario": "s", "sample": 1, "reward": 0.5,
                "stop": "turn-limit", "turns": 1, "calls": 1, "parse-failures": 1,
                "failed-observations": 1, "prompt-tokens": 2, "sampled-tokens": 2,
                "anchored": false, "advantage": 0.25, "trace-lift": 0.75,
                "metrics": {"pass": 1.0}
            })
        );
    }

    #[test]
    fn what_training_did_not_make_is_null_and_not_zero() {
        for credit in ["", r#""under_trace":[-0.5],"#] {
            let row = row_of(credit);
            for name in ["anchored", "advantage", "trace-lift"] {
                assert_eq!(row[name], Value::Null, "{name}");
            }
        }
    }

    #[test]
    fn cells_are_quoted_where_they_would_be_read_as_more() {
        let rows = [
            json!({"step": 0, "task": "a,\"b\"\nc", "metrics": {"pass": 0.5}}),
            json!({"step": 1, "task": "=é", "kl": null, "metrics": {"calls": 2}}),
        ];
        let rows = rows.map(|row| row.as_object().unwrap().clone());
        assert_eq!(
            csv(&rows),
            "step,task,metrics.pass,kl,metrics.calls\r\n\
             0,\"a,\"\"b\"\"\nc\",0.5,,\r\n\
             1,=é,,,2\r\n"
        );
        assert_eq!(csv(&[]), "\r\n");
    }
}
