//! How an expert solves a task: one turn for each depth of its branches, all branches at
//! once, a call again where a tool asks for another key. Its results are the tools' own.

use episode::{Message, Role, ToolCall, Trace, TraceTurn};
use serde_json::{Map, Value};

use super::problem::{Problem, Step};
use super::tool::{self, Tool};
use super::wording;

/// The expert's solution of a problem.
pub(super) fn solve(problem: &Problem) -> Trace {
    let longest = problem.branches.iter().map(Vec::len).max().unwrap_or(0);
    let mut turns = Vec::new();
    for depth in 0..longest {
        let steps = problem.branches.iter().filter_map(|steps| steps.get(depth));
        let steps: Vec<&Step> = steps.collect();
        let first: Vec<(&Step, &str)> = steps.iter().map(|s| (*s, s.key.as_str())).collect();
        let needs: Vec<String> = first
            .iter()
            .map(|(step, key)| wording::need(&step.tool, key))
            .collect();
        turns.push(turn(problem, &needs, &[], &first));

        let again: Vec<(&Step, &str)> = steps
            .iter()
            .filter_map(|s| Some((*s, s.alias.as_deref()?)))
            .collect();
        if !again.is_empty() {
            let aliases: Vec<String> = again
                .iter()
                .map(|(step, alias)| wording::listed_as(&step.key, alias))
                .collect();
            turns.push(turn(problem, &[], &aliases, &again));
        }
    }
    let answer = problem.task.answer.clone();
    let found = answer.as_deref().unwrap_or_default();
    Trace {
        task: problem.task.id.clone(),
        turns,
        answer_reasoning: format!("Found {found}."),
        answer,
    }
}

/// A finished trace as the turns of a conversation, and the request to solve its task again.
pub(super) fn worked_example(trace: &Trace) -> Vec<Message> {
    let mut messages = Vec::new();
    for turn in &trace.turns {
        messages.push(Message {
            reasoning_content: Some(turn.reasoning.clone()),
            tool_calls: turn.calls.clone(),
            ..Message::new(Role::Assistant, "")
        });
        let results = turn.results.iter();
        messages.extend(results.map(|result| Message::new(Role::Tool, result)));
    }
    messages.push(Message {
        reasoning_content: Some(trace.answer_reasoning.clone()),
        ..Message::new(Role::Assistant, trace.answer.as_deref().unwrap_or_default())
    });
    messages.push(Message::new(Role::User, wording::AGAIN));
    messages
}

/// One turn that makes `lookups`, each a step and the key to ask it with.
fn turn(
    problem: &Problem,
    needs: &[String],
    aliases: &[String],
    lookups: &[(&Step, &str)],
) -> TraceTurn {
    let names: Vec<&str> = lookups.iter().map(|(step, _)| step.tool.as_str()).collect();
    let calls: Vec<ToolCall> = lookups
        .iter()
        .map(|(step, key)| call(&problem.tools, &step.tool, key))
        .collect();
    let results: Vec<String> = calls
        .iter()
        .map(|call| tool::call(&problem.tools, call).text)
        .collect();
    debug_assert!(
        lookups.iter().zip(&results).all(|((step, key), result)| {
            let refused = step.alias.is_some() && step.key == *key;
            refused || *result == step.result
        }),
        "the tables answer every step as drawn"
    );
    TraceTurn {
        reasoning: wording::reasoning(needs, aliases, &names),
        calls,
        results,
    }
}

fn call(tools: &[Tool], name: &str, key: &str) -> ToolCall {
    let tool = tools.iter().find(|tool| tool.name == name);
    let parameter = tool
        .expect("every step's tool is offered")
        .parameter
        .clone();
    ToolCall {
        name: name.to_owned(),
        arguments: Map::from_iter([(parameter, Value::from(key))]),
    }
}
