//! A Python file as the tools of your own tasks: its functions, its `reset`, its `reward`, and
//! files that are no tools.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use env::own::{Accept, OwnSuite, PythonTools, Toolbox};
use env::{Environment, Suite};
use episode::{Observation, StopReason, ToolCall, Turn};
use sandbox::{Pool, PythonConfig, SandboxConfig};
use serde_json::{Value, json};

const SHOP: &str = r#"
"""A shop that sells tea."""
from typing import Literal, Optional

STOCK = {}
_sold = []


def reset(task):
    STOCK.update(task.get("stock", {}))
    if "crash" in task:
        raise KeyError(task["crash"])


def buy(what: str, count: int = 1, colour: Optional[Literal["green", "black"]] = None) -> dict:
    """Buys something.

    Args:
        what: The ware.
        count: How many
            of them.
    """
    if STOCK[what] < count:
        raise ValueError(f"only {STOCK[what]} left")
    STOCK[what] -= count
    _sold.append(what)
    return {"left": STOCK[what], "colour": colour}


def sold():
    return _sold


def leave():
    import os
    os._exit(3)


def _secret():
    return "never a tool"


def reward(task, episode):
    if episode["stop"] == "turn-limit":
        raise RuntimeError("too long")
    return {
        "reward": STOCK == task["goal"],
        "metrics": {
            "calls-seen": len(episode["calls"]),
            "failed-seen": sum(call["failed"] for call in episode["calls"]),
            "answered": episode["answer"] == "done",
        },
    }
"#;

/// Whether there is an interpreter; says so where there is none.
fn pool() -> Option<Pool> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return None;
    }
    let python = PythonConfig {
        call_seconds: 2.0,
        ..PythonConfig::default()
    };
    Some(Pool::new(python, SandboxConfig::default()).unwrap())
}

fn load(pool: Pool, source: &str) -> Result<PythonTools, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.py");
    fs::write(&path, source).unwrap();
    let loaded = PythonTools::load("python", &path, pool).map_err(|error| error.to_string());
    let folder = folder.path().display().to_string();
    loaded.map_err(|error| error.replace(&folder, ""))
}

fn suite(tools: PythonTools, row: &Value) -> OwnSuite {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.jsonl");
    fs::write(&path, row.to_string()).unwrap();
    let suite = OwnSuite::load(&path, vec![Arc::new(tools)], Accept::Contains);
    suite.unwrap_or_else(|error| panic!("{error}"))
}

fn shop(more: Value) -> Option<OwnSuite> {
    let mut row =
        json!({"id": "a", "messages": [{"role": "user", "content": "Buy."}], "stock": {"tea": 3}});
    row.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Some(suite(load(pool()?, SHOP).unwrap(), &row))
}

fn call(episode: &mut dyn Environment, name: &str, arguments: Value) -> Observation {
    episode.call(&ToolCall {
        name: name.to_owned(),
        arguments: arguments.as_object().unwrap().clone(),
    })
}

fn said(text: &str) -> Observation {
    Observation {
        text: text.to_owned(),
        failed: false,
    }
}

fn failed(text: &str) -> Observation {
    Observation {
        text: text.to_owned(),
        failed: true,
    }
}

#[test]
fn public_functions_are_tools_by_their_hints_and_docstrings() {
    let Some(pool) = pool() else { return };
    let tools = load(pool, SHOP).unwrap();
    let names: Vec<&str> = (tools.tools().iter())
        .map(|it| it["function"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["buy", "sold", "leave"]);
    assert_eq!(
        tools.tools()[0]["function"],
        json!({
            "name": "buy",
            "description": "Buys something.",
            "parameters": {
                "type": "object",
                "properties": {
                    "what": {"type": "string", "description": "The ware."},
                    "count": {"type": "integer", "description": "How many of them.", "default": 1},
                    "colour": {"type": "string", "enum": ["green", "black"]},
                },
                "required": ["what"],
            },
        })
    );
    assert!(tools.judges());
}

#[test]
fn every_episode_has_its_own_state_from_reset_to_reward() {
    let Some(suite) = shop(json!({"goal": {"tea": 1}})) else {
        return;
    };
    let task = &suite.tasks()[0];
    let mut one = suite.open(task);
    let mut two = suite.open(task);
    let bought = call(&mut *one, "buy", json!({"what": "tea", "count": 2}));
    assert_eq!(bought, said(r#"{"left": 1, "colour": null}"#));
    let bought = call(&mut *two, "buy", json!({"what": "tea", "colour": "green"}));
    assert_eq!(bought, said(r#"{"left": 2, "colour": "green"}"#));
    assert_eq!(call(&mut *one, "sold", json!({})), said(r#"["tea"]"#));
    assert_eq!(
        call(&mut *one, "buy", json!({"what": "tea", "count": 9})),
        failed("error: ValueError: only 1 left")
    );
    one.answer(&Turn {
        content: "done".to_owned(),
        ..Turn::default()
    });
    one.close(StopReason::Answered, &[]);
    two.close(StopReason::Answered, &[]);
    let (one, two) = (one.score(), two.score());
    assert_eq!((one.reward, two.reward), (1.0, 0.0));
    assert_eq!(one.metrics["calls-seen"], 3.0);
    assert_eq!(one.metrics["failed-seen"], 1.0);
    assert_eq!(
        (one.metrics["answered"], two.metrics["answered"]),
        (1.0, 0.0)
    );
}

#[test]
fn whatever_an_agent_calls_wrongly_is_what_it_reads() {
    let Some(suite) = shop(json!({"goal": {}})) else {
        return;
    };
    let mut episode = suite.open(&suite.tasks()[0]);
    let check = |episode: &mut dyn Environment, name: &str, arguments: Value, expected: &str| {
        assert_eq!(call(episode, name, arguments), failed(expected));
    };
    check(
        &mut *episode,
        "buy",
        json!({"wat": 1}),
        "error: TypeError: buy() got an unexpected keyword argument 'wat'",
    );
    check(
        &mut *episode,
        "_secret",
        json!({}),
        "error: there is no tool `_secret`; the tools are buy, sold, leave",
    );
    check(
        &mut *episode,
        "reward",
        json!({"task": {}, "episode": {}}),
        "error: there is no tool `reward`; the tools are buy, sold, leave",
    );
}

#[test]
fn an_episode_whose_tools_end_is_told_so_and_is_unscored() {
    let Some(suite) = shop(json!({"goal": {"tea": 3}})) else {
        return;
    };
    let mut episode = suite.open(&suite.tasks()[0]);
    let left = call(&mut *episode, "leave", json!({}));
    assert!(
        left.failed && left.text.contains("the tools' process ended"),
        "{}",
        left.text
    );
    let next = call(&mut *episode, "sold", json!({}));
    assert!(
        next.failed && next.text.contains("the tools' process ended"),
        "{}",
        next.text
    );
    episode.close(StopReason::Answered, &[]);
    let score = episode.score();
    assert_eq!((score.reward, score.metrics["unscored"]), (0.0, 1.0));
    let mut fresh = suite.open(&suite.tasks()[0]);
    assert_eq!(call(&mut *fresh, "sold", json!({})), said("[]"));
}

#[test]
fn a_reward_that_raises_and_a_reset_that_raises_are_told() {
    let Some(suite) = shop(json!({"goal": {"tea": 3}})) else {
        return;
    };
    let mut episode = suite.open(&suite.tasks()[0]);
    episode.close(StopReason::TurnLimit, &[]);
    assert_eq!(episode.score().metrics["unscored"], 1.0);

    let suite = shop(json!({"crash": "till"})).unwrap();
    let mut episode = suite.open(&suite.tasks()[0]);
    let told = call(&mut *episode, "sold", json!({})).text;
    let expected = "error: the tools cannot be used: `reset`: KeyError: 'till' (";
    assert!(told.starts_with(expected), "{told}");
    assert!(told.ends_with("shop.py, line 12, in reset)"), "{told}");
}

#[test]
fn a_file_that_does_not_import_is_an_error_with_pythons_words_and_the_line() {
    let Some(pool) = pool() else { return };
    let check = |source: &str, expected: &str| {
        let problem = load(pool.clone(), source).err().unwrap();
        let expected = format!("`/shop.py` does not import: {expected}\nhint: ");
        assert!(problem.starts_with(&expected), "{problem}");
    };
    check(
        "x = 1\ndef f(:\n    pass\n",
        "SyntaxError: invalid syntax (shop.py, line 2) (shop.py, line 2)",
    );
    check(
        "import no_such_module\n",
        "ModuleNotFoundError: No module named 'no_such_module' (shop.py, line 1, in <module>)",
    );
    check(
        "\n\nraise RuntimeError('not today')\n",
        "RuntimeError: not today (shop.py, line 3, in <module>)",
    );
    check(
        "import sys\nsys.exit(2)\n",
        "SystemExit: 2 (shop.py, line 2, in <module>)",
    );
}

#[test]
fn a_file_without_a_function_offers_no_tools() {
    let Some(pool) = pool() else { return };
    let tools = load(pool, "def _f():\n    pass\n\ndef reset(task):\n    pass\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.jsonl");
    fs::write(&path, "").unwrap();
    let refused = OwnSuite::load(&path, vec![Arc::new(tools)], Accept::Contains);
    assert_eq!(
        refused.err().unwrap().to_string(),
        "tools of `python`: it offers no tools"
    );
}
