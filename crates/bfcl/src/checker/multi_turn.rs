//! Whether a dialogue led to what the accepted calls lead to: the same states after each turn,
//! and every result that they give. Both are executed here, in fresh instances of the same
//! back ends, so that they cannot differ in how numbers are computed.

use python::{Dict, Value};

use super::{Failure, Rule};
use crate::executor::Instances;

/// Checks a model's calls, turns of steps of call strings, against the accepted ones, turn by
/// turn. `model` and `truth` are executed on the instances given, which must be fresh. Steps
/// without a call are none.
///
/// A turn in which nothing is accepted is not checked: what the model called there stays, and
/// shows in the states of later turns. The results of all turns so far count for a turn, each
/// as often as it was given in them; the order of calls does not.
pub fn check(
    model: (&[Vec<Vec<String>>], Instances),
    truth: (&[Vec<String>], Instances),
) -> Result<(), Failure> {
    let (model, mut model_instances) = model;
    let (truth, mut truth_instances) = truth;
    if model.len() != truth.len() {
        return Err(Failure::new(
            Rule::ForceTerminated,
            format!(
                "Model was force-terminated during inference phase. The length of the model result turns ({}) does not match the length of the ground truth turns ({}).",
                model.len(),
                truth.len()
            ),
        ));
    }
    let mut seen: Vec<String> = Vec::new();
    for (turn, (steps, accepted)) in model.iter().zip(truth).enumerate() {
        let calls: Vec<&String> = steps.iter().flatten().collect();
        seen.extend(calls.iter().map(|call| model_instances.execute(call)));
        let expected: Vec<String> = accepted
            .iter()
            .map(|call| truth_instances.execute(call))
            .collect();
        if accepted.is_empty() {
            continue;
        }
        if calls.is_empty() {
            return Err(Failure::new(
                Rule::EmptyTurn,
                format!("Model response list is empty for turn {turn}"),
            ));
        }
        check_states(&model_instances, &truth_instances)?;
        check_results(&seen, &expected, turn)?;
    }
    Ok(())
}

/// The first class whose attributes differ fails, with all that differ.
fn check_states(model: &Instances, truth: &Instances) -> Result<(), Failure> {
    for (model, truth) in model.backends().iter().zip(truth.backends()) {
        let differences = differences(&model.state(), &truth.state());
        if !differences.is_empty() {
            let message = format!(
                "Model instance for {} does not match the state with ground truth instance.",
                truth.class()
            );
            return Err(Failure {
                differences,
                ..Failure::new(Rule::StateMismatch, message)
            });
        }
    }
    Ok(())
}

fn differences(model: &Dict, truth: &Dict) -> Vec<String> {
    let attributes = truth.iter();
    attributes
        .filter(|(name, value)| name.as_str().and_then(|name| model.get(name)) != Some(value))
        .map(|(name, _): (&Value, &Value)| name.to_string())
        .collect()
}

/// Each expected result uses up one that was seen; only within the turn, so that the next one
/// finds all of them again.
fn check_results(seen: &[String], expected: &[String], turn: usize) -> Result<(), Failure> {
    let mut unused: Vec<&String> = seen.iter().collect();
    let mut missing_items = Vec::new();
    for result in expected {
        match unused.iter().position(|it| *it == result) {
            Some(at) => {
                unused.remove(at);
            }
            None => missing_items.push(result.clone()),
        }
    }
    if missing_items.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Model response execution results so far does not contain all the ground truth response execution results for turn {turn}."
    );
    Err(Failure {
        missing_items,
        ..Failure::new(Rule::ResponseMismatch, message)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tables::Tables;

    fn instances() -> Instances {
        let classes = ["GorillaFileSystem", "MathAPI"].map(str::to_owned);
        let tables = Arc::new(Tables::default());
        Instances::open(&classes, &Dict::new(), false, &tables).expect("default states")
    }

    /// Turns are written `call;call | call`, one call a step.
    fn verdict(model: &str, truth: &str) -> Result<(), Failure> {
        let turns = |text: &str| -> Vec<Vec<String>> {
            let calls = |turn: &str| turn.split(';').map(|call| call.trim().to_owned()).collect();
            let turns = text.split('|').map(calls);
            let written = |turn: Vec<String>| turn.into_iter().filter(|it| !it.is_empty());
            turns.map(|turn| written(turn).collect()).collect()
        };
        let steps = |turn: Vec<String>| turn.into_iter().map(|call| vec![call]).collect();
        let model: Vec<Vec<Vec<String>>> = turns(model).into_iter().map(steps).collect();
        check((&model, instances()), (&turns(truth), instances()))
    }

    fn fails(model: &str, truth: &str, rule: Rule) -> Failure {
        let failure = verdict(model, truth).expect_err(model);
        assert_eq!(failure.rule, rule, "{model}");
        failure
    }

    #[test]
    fn a_dialogue_passes_that_leads_to_the_same() {
        let check = |model: &str, truth: &str| assert_eq!(verdict(model, truth), Ok(()), "{model}");
        check(
            "mkdir('a'); add(a=1, b=2)",
            "mkdir(dir_name='a'); add(1, 2)",
        );
        check("add(1, 2); mkdir('a')", "mkdir('a'); add(1, 2)");
        check("ls(); mkdir('a'); ls()", "mkdir('a')");
        check("add(1, 2); add(3, 4) | ls()", "add(1, 2) | add(3, 4)");
        check("add(1, 2) | ls()", "add(1, 2) | add(1, 2)");
        check("mkdir('a') | mkdir('b')", " | mkdir('a'); mkdir('b')");
    }

    #[test]
    fn what_is_wrong_has_its_official_name() {
        let failure = fails(
            "mkdir('a') | ls()",
            "mkdir('b') | ls()",
            Rule::StateMismatch,
        );
        assert_eq!(failure.differences, ["root"]);
        let failure = fails("add(1, 2)", "add(1, 2); add(1, 2)", Rule::ResponseMismatch);
        assert_eq!(failure.missing_items, [r#"{"result": 3}"#]);
        fails("add(1.0, 2)", "add(1, 2)", Rule::ResponseMismatch);
        fails("add(1, 2) | ", "add(1, 2) | ls()", Rule::EmptyTurn);
        fails("ls()", "ls() | ls()", Rule::ForceTerminated);
        fails("mkdir('a') | ls()", " | ls()", Rule::StateMismatch);
        fails("ls()", "add(1, 2)", Rule::ResponseMismatch);
    }
}
