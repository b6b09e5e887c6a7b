//! How an expert solves a task: one turn for each depth of its branches, all branches at
//! once, a call again where a tool asks for another key. Its results are the tools' own.

use episode::{Message, Role, Seed, ToolCall, Trace, TraceTurn};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use super::problem::{Problem, Step};
use super::tool::{self, Tool};
use super::wording;

/// The expert's solution of a problem; `detours` is [`super::Config::detours`].
pub(super) fn solve(problem: &Problem, detours: f64) -> Trace {
    let seed = Seed(0).named("detours").named(&problem.task.id);
    let mut rng = ChaCha8Rng::seed_from_u64(seed.0);
    let longest = problem.branches.iter().map(Vec::len).max().unwrap_or(0);
    let mut turns = Vec::new();
    for depth in 0..longest {
        let steps = problem.branches.iter().filter_map(|steps| steps.get(depth));
        let steps: Vec<&Step> = steps.collect();
        for detour in detours_of(problem, steps[0], |_| rng.random_bool(detours)) {
            turns.push(detour);
        }
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
        source: "planner".to_owned(),
        turns,
        answer_reasoning: format!("Found {found}."),
        answer,
        ..Trace::default()
    }
}

/// Turns that ask other tools about the key of `step`, each that is `taken`.
fn detours_of(
    problem: &Problem,
    step: &Step,
    mut taken: impl FnMut(&Tool) -> bool,
) -> Vec<TraceTurn> {
    let by_id = step.key.starts_with('#');
    let is_asked = |tool: &Tool| {
        let mut steps = problem.branches.iter().flatten();
        steps.any(|step| step.tool == tool.name)
    };
    let others = problem
        .tools
        .iter()
        .filter(|tool| tool.by_id == by_id && !is_asked(tool));
    others
        .filter(|tool| taken(tool))
        .map(|other| {
            let call = call(&problem.tools, &other.name, &step.key);
            TraceTurn {
                reasoning: wording::reasoning(
                    &[wording::need(&other.name, &step.key)],
                    &[],
                    &[&other.name],
                ),
                results: vec![tool::call(&problem.tools, &call).text],
                calls: vec![call],
                ..TraceTurn::default()
            }
        })
        .collect()
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
        ..TraceTurn::default()
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
