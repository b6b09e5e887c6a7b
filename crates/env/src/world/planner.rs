//! From a row back to the plan that solves it: the row's tables answer each sub-answer under
//! one key, and a key that is another step's answer says which step comes before. Knows no
//! config and draws nothing.

use episode::{Task, Trace};

use super::expert;
use super::problem::{Problem, Step};
use super::suite::Toolbox;
use super::tool::Tool;
use super::wording;

/// The expert's trace for a task of which only the tools and the sub-answers are known; `None`
/// where a sub-answer stands nowhere in its tool's table, or under several keys.
pub(super) fn plan(task: &Task, toolbox: &Toolbox) -> Option<Trace> {
    let mut steps = Vec::new();
    for (name, goldens) in &toolbox.goldens {
        let tool = toolbox.tools.iter().find(|tool| tool.name == *name)?;
        for golden in goldens {
            steps.push(step(tool, golden)?);
        }
    }
    let problem = Problem {
        task: task.clone(),
        tools: toolbox.tools.clone(),
        branches: into_branches(steps),
    };
    Some(expert::solve(&problem, 0.0))
}

/// The look-up that returns `golden`, and the refused key that it stands in for, if any.
fn step(tool: &Tool, golden: &str) -> Option<Step> {
    let mut rows = tool.table.iter().filter(|(_, answer)| *answer == golden);
    let (Some((found, _)), None) = (rows.next(), rows.next()) else {
        return None;
    };
    let refused = tool
        .table
        .iter()
        .find(|(key, answer)| **answer == format!("error: {}", wording::listed_as(key, found)));
    Some(Step {
        tool: tool.name.clone(),
        key: refused.map_or(found, |(key, _)| key).clone(),
        alias: refused.map(|_| found.clone()),
        result: golden.to_owned(),
    })
}

/// Chains of steps, each asked with what the one before it found. The first steps are those
/// whose key nobody finds, in the order in which the row solves them.
fn into_branches(steps: Vec<Step>) -> Vec<Vec<Step>> {
    let results: Vec<String> = steps.iter().map(|step| step.result.clone()).collect();
    let (mut later, firsts): (Vec<_>, Vec<_>) = steps
        .into_iter()
        .partition(|step| results.contains(&step.key));
    let mut branches: Vec<Vec<Step>> = firsts.into_iter().map(|first| vec![first]).collect();
    for branch in &mut branches {
        while let Some(next) = (later.iter())
            .position(|step| Some(&step.key) == branch.last().map(|last| &last.result))
        {
            branch.push(later.remove(next));
        }
    }
    branches
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Family, WorldSuite, generate, write_rows};

    #[test]
    fn the_plan_of_a_row_is_the_plan_by_which_the_row_was_made() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rows = folder.path().join("rows.jsonl");
        for family in [Family::Plain, Family::Keyed] {
            let world = generate(&Config {
                tasks: 200,
                family,
                error_rate: 0.3,
                ..Config::default()
            });
            write_rows(&rows, &world).expect("the folder can be written to");
            let suite = WorldSuite::load(&rows).expect("rows as written");
            assert_eq!(suite.planner_traces(), world.traces);
        }
    }

    #[test]
    fn a_row_whose_tables_do_not_hold_its_sub_answers_has_no_plan() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rows = folder.path().join("rows.jsonl");
        let world = generate(&Config {
            tasks: 1,
            ..Config::default()
        });
        write_rows(&rows, &world).expect("the folder can be written to");
        let text = std::fs::read_to_string(&rows).expect("it was just written");
        let golden = world.traces[0].turns.last().expect("a turn").results[0].clone();
        let edited = text.replace(&format!("\\\"{golden}\\\"]"), "\\\"Nobody\\\"]");
        assert_ne!(edited, text);
        std::fs::write(&rows, edited).expect("the folder can be written to");
        let suite = WorldSuite::load(&rows).expect("a row still");
        assert_eq!(suite.planner_traces(), []);
    }
}
