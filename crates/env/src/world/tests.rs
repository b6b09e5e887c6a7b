//! What holds for every generated task.

use std::collections::HashSet;

use episode::{Message, Role, ToolCall};
use serde_json::{Map, Value};

use super::*;
use crate::Suite;

fn config(family: Family, split: Split) -> Config {
    Config {
        tasks: 200,
        family,
        split,
        error_rate: 0.3,
        ..Config::default()
    }
}

fn all_configs() -> impl Iterator<Item = Config> {
    [Family::Plain, Family::Keyed]
        .into_iter()
        .flat_map(|family| {
            [Split::Train, Split::Validation, Split::Test].map(|split| config(family, split))
        })
}

fn call(name: &str, arguments: &[(&str, Value)]) -> ToolCall {
    let arguments = arguments
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()));
    ToolCall {
        name: name.to_owned(),
        arguments: arguments.collect(),
    }
}

/// The names of people in a text.
fn people(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| word.len() == 6 && word.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_expert_solves_every_task_and_pays_one_call_for_each_error() {
    for config in all_configs() {
        let world = generate(&config);
        for (task, trace) in world.suite.tasks().iter().zip(&world.traces) {
            let mut environment = world.suite.open(task);
            let mut errors = 0.0;
            for turn in &trace.turns {
                assert!(turn.calls.len() <= 2);
                for (call, result) in turn.calls.iter().zip(&turn.results) {
                    let observation = environment.call(call);
                    assert_eq!(observation.text, *result);
                    assert!(!observation.failed);
                    errors += f64::from(u8::from(result.starts_with("error: ")));
                }
            }
            let metrics = environment.score().metrics;
            assert_eq!(metrics["solve-r"], 1.0, "{task:?}");
            assert_eq!(metrics["named"], 1.0);
            let calls = metrics["calls"];
            assert_eq!(metrics["solve-p"], (calls - errors) / calls);
        }
    }
}

#[test]
fn without_errors_an_expert_scores_one() {
    for family in [Family::Plain, Family::Keyed] {
        let config = Config {
            error_rate: 0.0,
            ..config(family, Split::Train)
        };
        let world = generate(&config);
        for (task, trace) in world.suite.tasks().iter().zip(&world.traces) {
            let mut environment = world.suite.open(task);
            for call in trace.turns.iter().flat_map(|turn| &turn.calls) {
                environment.call(call);
            }
            assert_eq!(environment.score().reward, 1.0, "{task:?}");
        }
    }
}

#[test]
fn a_task_depends_on_its_index_alone() {
    let config = config(Family::Plain, Split::Train);
    let whole = generate(&config);
    let part = generate_range(&config, 150..200);
    assert_eq!(whole.suite.tasks()[150..], *part.suite.tasks());
    assert_eq!(whole.traces[150..], part.traces);
    assert_eq!(
        task(&config, 150),
        (part.suite.tasks()[0].clone(), part.traces[0].clone())
    );
    let other = Config { seed: 1, ..config };
    assert_ne!(task(&other, 150).0.messages, part.suite.tasks()[0].messages);
}

#[test]
fn a_worked_task_is_the_same_task_behind_its_own_trace() {
    for family in [Family::Plain, Family::Keyed] {
        let plain = generate(&config(family, Split::Train));
        let worked = generate(&Config {
            worked: 1.0,
            ..config(family, Split::Train)
        });
        assert_eq!(worked.traces, plain.traces);
        let tasks = plain.suite.tasks().iter().zip(worked.suite.tasks());
        for ((without, with), trace) in tasks.zip(&plain.traces) {
            let (asked, example) = with.messages.split_at(1);
            assert_eq!(asked, without.messages);
            assert_eq!((&with.id, &with.tools), (&without.id, &without.tools));
            let (again, turns) = example.split_last().expect("a worked example");
            assert_eq!(*again, Message::new(Role::User, AGAIN));
            let calls: Vec<&ToolCall> = turns.iter().flat_map(|m| &m.tool_calls).collect();
            let expected: Vec<&ToolCall> = trace.turns.iter().flat_map(|t| &t.calls).collect();
            assert_eq!(calls, expected);
            let answer = turns.last().map(|message| &message.content);
            assert_eq!(answer, with.answer.as_ref());
        }
    }
}

#[test]
fn only_tasks_of_the_other_family_are_worked_and_as_often_as_asked() {
    let mixed = Config {
        tasks: 2000,
        other_family: Some(Family::Keyed),
        other: 0.6,
        worked: 0.75,
        ..config(Family::Plain, Split::Train)
    };
    let world = generate(&mixed);
    let tasks = world.suite.tasks();
    let (keyed, plain): (Vec<_>, Vec<_>) = (tasks.iter()).partition(|t| t.id.starts_with("keyed"));
    assert!(plain.iter().all(|task| task.messages.len() == 1));
    assert!(keyed.len().abs_diff(1200) < 80, "{}", keyed.len());
    let worked = keyed.iter().filter(|task| task.messages.len() > 1).count();
    assert!(worked.abs_diff(900) < 80, "{worked}");
}

#[test]
fn an_expert_that_takes_detours_finds_everything_with_more_calls() {
    let of = |detours| {
        generate(&Config {
            detours,
            error_rate: 0.0,
            distractors: [2, 2],
            ..config(Family::Keyed, Split::Train)
        })
    };
    let (direct, winding) = (of(0.0), of(1.0));
    for (index, trace) in winding.traces.iter().enumerate() {
        assert_eq!(trace.answer, direct.traces[index].answer);
        let hops = direct.traces[index].turns.len() / 2;
        // Two tools that nobody asked for, at each look-up by identifier.
        assert_eq!(
            trace.turns.len(),
            direct.traces[index].turns.len() + 2 * hops
        );
        let mut environment = winding.suite.open(&winding.suite.tasks()[index]);
        for call in trace.turns.iter().flat_map(|turn| &turn.calls) {
            environment.call(call);
        }
        let metrics = environment.score().metrics;
        assert_eq!(metrics["solve-r"], 1.0);
        assert!(metrics["solve-p"] < 1.0);
    }
}

#[test]
fn no_person_and_no_tool_name_of_training_is_in_a_held_out_task() {
    for family in [Family::Plain, Family::Keyed] {
        let names = |split| {
            let world = generate(&config(family, split));
            let mut all = HashSet::new();
            for (task, trace) in world.suite.tasks().iter().zip(&world.traces) {
                all.extend(people(&task.messages[0].content));
                all.extend(people(
                    &serde_json::to_string(trace).expect("a trace is JSON"),
                ));
                let tools = task.tools.iter().map(|tool| &tool["function"]["name"]);
                all.extend(tools.filter_map(Value::as_str).map(str::to_owned));
            }
            all
        };
        let train = names(Split::Train);
        assert!(train.len() > 500, "{}", train.len());
        for held_out in [names(Split::Validation), names(Split::Test)] {
            let both: Vec<_> = train.intersection(&held_out).collect();
            assert!(both.is_empty(), "{both:?}");
        }
    }
}

#[test]
fn scenarios_are_drawn_by_their_weights() {
    let config = Config {
        scenarios: [1.0, 0.0, 3.0, 0.0],
        ..config(Family::Plain, Split::Train)
    };
    let world = generate(&config);
    let count = |name| {
        world
            .suite
            .tasks()
            .iter()
            .filter(|t| t.scenario == name)
            .count()
    };
    assert_eq!(count("single_hop") + count("multi_hop"), 200);
    assert!(
        (120..180).contains(&count("multi_hop")),
        "{}",
        count("multi_hop")
    );
}

#[test]
fn a_tool_name_must_be_read() {
    let config = Config {
        tasks: 2000,
        ..config(Family::Plain, Split::Train)
    };
    let mut counts = std::collections::BTreeMap::new();
    let world = generate(&config);
    for task in world.suite.tasks() {
        let provider_of = |tool: &serde_json::Value| {
            let name = tool["function"]["name"].as_str().expect("a name");
            name.split_once('_').expect("a provider").1.to_owned()
        };
        let provider = provider_of(&task.tools[0]);
        let is_its = |tool| provider_of(tool) == provider;
        assert!(task.tools.iter().all(is_its), "one provider a task");
        *counts.entry(provider[..3].to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 48, "every syllable begins a provider's name");
    let most = counts.values().max().expect("there are tasks");
    assert!(*most < 2 * config.tasks / 48, "{counts:?}");
}

#[test]
fn a_call_that_does_not_fit_is_told_why() {
    let world = generate(&config(Family::Plain, Split::Train));
    let task = &world.suite.tasks()[0];
    let right = &world.traces[0].turns[0].calls[0];
    let name = right.name.as_str();
    let (parameter, key) = right.arguments.iter().next().expect("one argument");
    let check = |call: ToolCall, failed: bool, expected: String| {
        let observation = world.suite.open(task).call(&call);
        assert_eq!((observation.text, observation.failed), (expected, failed));
    };
    check(
        call(name, &[(parameter, key.clone()), ("x", Value::Null)]),
        true,
        format!(
            "an error occured when call {name}: {name}() got an unexpected keyword argument 'x'"
        ),
    );
    check(
        ToolCall {
            name: name.to_owned(),
            arguments: Map::new(),
        },
        true,
        format!(
            "an error occured when call {name}: {name}() missing 1 required positional argument: '{parameter}'"
        ),
    );
    check(
        call("teleport", &[]),
        true,
        "an error occured when call teleport: 'teleport'".to_owned(),
    );
    check(
        call(name, &[(parameter, Value::from(3))]),
        false,
        format!("error: {parameter} must be a string"),
    );
    check(
        call(name, &[(parameter, Value::from("Nobody"))]),
        false,
        "error: no record of Nobody".to_owned(),
    );
}

#[test]
fn a_keyed_tool_refuses_a_name() {
    let world = generate(&config(Family::Keyed, Split::Train));
    let (task, trace) = (&world.suite.tasks()[0], &world.traces[0]);
    let registry = &trace.turns[0].calls[0];
    assert!(registry.name.starts_with("registry_"));
    let relation = trace
        .turns
        .iter()
        .flat_map(|turn| &turn.calls)
        .find(|call| call.arguments.contains_key("id"))
        .expect("a relation is looked up by id");
    let observation = world
        .suite
        .open(task)
        .call(&call(&relation.name, &[("id", Value::from("Kelvor"))]));
    assert_eq!(observation.text, "error: Kelvor is not an id");
}

#[test]
fn a_task_reads_as_this() {
    let show = |family| {
        let config = Config {
            tasks: 4,
            ..config(family, Split::Train)
        };
        let world = generate(&config);
        let mut text = String::new();
        for (task, trace) in world.suite.tasks().iter().zip(&world.traces) {
            text += &format!(
                "== {} {}\n{}\n",
                task.id, task.scenario, task.messages[0].content
            );
            for tool in &task.tools {
                let function = &tool["function"];
                let parameter = &function["parameters"]["required"][0];
                text += &format!(
                    "- {}: {}({})\n",
                    function["description"], function["name"], parameter
                );
            }
            for turn in &trace.turns {
                text += &format!("{}\n", turn.reasoning);
                for (call, result) in turn.calls.iter().zip(&turn.results) {
                    let arguments = Value::from(call.arguments.clone());
                    text += &format!("  {}{arguments} -> {result}\n", call.name);
                }
            }
            text += &format!(
                "{} | {}\n",
                trace.answer_reasoning,
                trace.answer.as_deref().unwrap_or("-")
            );
        }
        text
    };
    insta::assert_snapshot!("plain", show(Family::Plain));
    insta::assert_snapshot!("keyed", show(Family::Keyed));
}
