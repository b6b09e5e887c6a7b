//! Sessions: tools that keep state for an episode, what an agent is told of them, how they end.

use std::process::Command;
use std::thread;

use sandbox::{Failure, Pool, PythonConfig, PythonTool, SandboxConfig, Session};
use serde_json::{Map, Value, json};

fn pool_with(change: impl FnOnce(&mut PythonConfig, &mut SandboxConfig)) -> Option<Pool> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return None;
    }
    let mut python = PythonConfig {
        workers: 1,
        call_seconds: 5.0,
        memory_mib: 512,
        ..PythonConfig::default()
    };
    let mut sandbox = SandboxConfig::default();
    change(&mut python, &mut sandbox);
    Some(Pool::new(python, sandbox).unwrap())
}

fn session(source: &str) -> Option<Session> {
    let mut session = pool_with(|_, _| {})?.session().unwrap();
    session.load(source, "tools.py").unwrap();
    Some(session)
}

fn arguments(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn raised(kind: &str, message: &str, at: Option<&str>) -> Failure {
    Failure::Raised {
        kind: kind.to_owned(),
        message: message.to_owned(),
        at: at.map(str::to_owned),
    }
}

#[test]
fn a_session_keeps_what_its_functions_keep_and_shares_it_with_nobody() {
    let Some(pool) = pool_with(|_, _| {}) else {
        return;
    };
    let source = "kept = []\n\ndef add(x):\n    kept.append(x)\n    return kept";
    let mut sessions: Vec<Session> = (0..3).map(|_| pool.session().unwrap()).collect();
    for session in &mut sessions {
        session.load(source, "tools.py").unwrap();
    }
    for round in 0..2 {
        for (number, session) in sessions.iter_mut().enumerate() {
            let text = session.call("add", &arguments(json!({"x": number})), None);
            let expected = vec![number; round + 1];
            assert_eq!(text, Ok(json!(expected).to_string().replace(',', ", ")));
        }
    }
}

#[test]
fn functions_are_described_by_their_hints_and_docstrings() {
    let source = r#"
from typing import Literal, Optional
import os

LIMIT = 3

def find(city: str, days: int = 1, kinds: "list[str]" = (), unit: Literal["C", "F"] = "C",
         near: Optional[float] = None) -> dict:
    """Finds the weather.

    Over several days.

    Args:
        city: The city's name,
            in English.
        days (int): How many.

    Returns:
        A forecast.
    """

def _hidden():
    pass

def bare(x, **others):
    pass
"#;
    let Some(mut session) = session(source) else {
        return;
    };
    let functions = session.functions().unwrap();
    let [find, bare] = functions.as_slice() else {
        panic!("two public functions: {functions:?}");
    };
    assert_eq!(
        find.tool(),
        json!({"type": "function", "function": {
            "name": "find",
            "description": "Finds the weather.\n\nOver several days.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "The city's name, in English."},
                    "days": {"type": "integer", "description": "How many.", "default": 1},
                    "kinds": {"type": "array", "items": {"type": "string"}, "default": []},
                    "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                    "near": {"type": "number"},
                },
                "required": ["city"],
            },
        }})
    );
    assert_eq!(find.file, "tools.py");
    assert_eq!(
        bare.parameters,
        json!({"type": "object", "properties": {"x": {}}, "required": ["x"],
               "additionalProperties": true})
    );
}

#[test]
fn parameters_are_described_in_every_common_style_of_docstring() {
    let numpy = "    '''Does.\n\n    Parameters\n    ----------\n    x : int\n        The x,\n        \
                 whole.\n    y\n        The y.\n\n    Returns\n    -------\n    int\n        z\n    '''";
    let fields = "    '''Does.\n\n    :param int x: The x,\n        whole.\n    :param y: The y.\n    \
                  :returns: z\n    '''";
    for docstring in [numpy, fields] {
        let Some(mut session) = session(&format!("def f(x, y):\n{docstring}\n")) else {
            return;
        };
        let function = session.functions().unwrap().remove(0);
        assert_eq!(function.description, "Does.");
        let properties = &function.parameters["properties"];
        assert_eq!(properties["x"]["description"], "The x, whole.");
        assert_eq!(properties["y"]["description"], "The y.");
    }
}

#[test]
fn an_enumeration_is_described_by_its_values_and_called_with_its_members() {
    let source = "from enum import Enum\nfrom typing import List, Optional\n\
                  class Colour(Enum):\n    RED = 'red'\n    BLUE = 'blue'\n\
                  def paint(one: Colour, many: List[Colour], none: Optional[Colour] = Colour.RED):\n\
                  \x20   return [one is Colour.RED, many == [Colour.BLUE], none is Colour.RED, none]\n";
    let Some(mut session) = session(source) else {
        return;
    };
    let colour = json!({"type": "string", "enum": ["red", "blue"]});
    let mut optional = colour.clone();
    optional["default"] = json!("red");
    let parameters = session.functions().unwrap().remove(0).parameters;
    assert_eq!(
        parameters["properties"],
        json!({"one": colour, "many": {"type": "array", "items": colour}, "none": optional})
    );
    let mut paint = |one: &str| {
        let given = json!({"one": one, "many": ["blue"], "none": null});
        session.evaluate("paint", &arguments(given))
    };
    assert_eq!(paint("red"), Ok(json!([true, true, false, null])));
    let unknown = raised("ValueError", "'pink' is not a valid Colour", None);
    assert_eq!(paint("pink"), Err(unknown));
}

#[test]
fn only_what_all_names_is_public_where_there_is_one() {
    let source = "__all__ = ['_b']\ndef a(): pass\ndef _b(): pass";
    let Some(mut session) = session(source) else {
        return;
    };
    let functions = session.functions().unwrap();
    let names: Vec<&str> = functions.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["_b"]);
}

#[test]
fn results_are_texts_or_json_and_coroutines_are_awaited() {
    let source = "import asyncio\n\
                  async def later(x):\n    await asyncio.sleep(0)\n    return [x, 'où']\n\
                  def nothing(): pass\n\
                  def nan(): return float('nan')\n\
                  def deep():\n    x = []\n    for _ in range(500): x = [x]\n    return x\n";
    let Some(mut session) = session(source) else {
        return;
    };
    let x = arguments(json!({"x": 1.5}));
    let none = Map::new();
    let text = session.call("later", &x, None);
    assert_eq!(text.as_deref(), Ok(r#"[1.5, "où"]"#));
    assert_eq!(session.evaluate("later", &x), Ok(json!([1.5, "où"])));
    assert_eq!(session.call("nothing", &none, None).as_deref(), Ok("None"));
    assert_eq!(session.evaluate("nothing", &none), Ok(Value::Null));
    assert_eq!(session.call("nan", &none, None).as_deref(), Ok("nan"));
    let Err(Failure::Raised { kind, .. }) = session.evaluate("nan", &none) else {
        panic!("NaN is no JSON");
    };
    assert_eq!(kind, "ValueError");
    assert!(matches!(
        session.evaluate("deep", &none),
        Err(Failure::Raised { .. })
    ));
    assert_eq!(session.call("nothing", &none, None).as_deref(), Ok("None"));
}

#[test]
fn a_state_is_the_first_argument_of_whoever_asks_for_it() {
    let source =
        "def spend(data, amount):\n    data['balance'] -= amount\n    return data['balance']";
    let Some(pool) = pool_with(|_, _| {}) else {
        return;
    };
    pool.share("bank", &json!({"balance": 10, "name": "Ann"}));
    let mut sessions: Vec<Session> = (0..2).map(|_| pool.session().unwrap()).collect();
    for session in &mut sessions {
        session.load(source, "spend.py").unwrap();
    }
    let three = arguments(json!({"amount": 3}));
    assert_eq!(
        sessions[0].call("spend", &three, Some("bank")).as_deref(),
        Ok("7")
    );
    assert_eq!(
        sessions[0].get("bank"),
        Ok(json!({"balance": 7, "name": "Ann"}))
    );
    assert_eq!(
        sessions[1].get("bank"),
        Ok(json!({"balance": 10, "name": "Ann"}))
    );
    sessions[1].put("purse", &json!({"balance": 4})).unwrap();
    assert_eq!(
        sessions[1].call("spend", &three, Some("purse")).as_deref(),
        Ok("1")
    );
    assert_eq!(
        sessions[0].call("spend", &three, Some("purse")),
        Err(raised("KeyError", "'purse'", None))
    );
}

#[test]
fn of_several_sources_each_keeps_its_names_and_the_last_goes_before() {
    let Some(mut session) =
        session("def f():\n    return helper()\ndef helper():\n    return 'one'")
    else {
        return;
    };
    session
        .load("def helper():\n    return 'two'", "more.py")
        .unwrap();
    assert_eq!(session.call("f", &Map::new(), None).as_deref(), Ok("one"));
    assert_eq!(
        session.call("helper", &Map::new(), None).as_deref(),
        Ok("two")
    );
    let files: Vec<(String, String)> = session
        .functions()
        .unwrap()
        .into_iter()
        .map(|it| (it.name, it.file))
        .collect();
    let owned = |name: &str, file: &str| (name.to_owned(), file.to_owned());
    assert_eq!(files, [owned("f", "tools.py"), owned("helper", "more.py")]);
}

#[test]
fn an_exception_is_told_with_its_kind_and_its_place_and_the_session_goes_on() {
    let source = "def f(x):\n    y = 1\n    return y / x";
    let Some(mut session) = session(source) else {
        return;
    };
    assert_eq!(
        session.call("f", &arguments(json!({"x": 0})), None),
        Err(raised(
            "ZeroDivisionError",
            "division by zero",
            Some("tools.py, line 3, in f")
        ))
    );
    let failure = session.call("g", &Map::new(), None).unwrap_err();
    assert_eq!(
        failure,
        raised("NameError", "name 'g' is not defined", None)
    );
    assert_eq!(failure.to_string(), "NameError: name 'g' is not defined");
    let one = arguments(json!({"x": 1}));
    assert_eq!(session.call("f", &one, None).as_deref(), Ok("1.0"));
    let broken = session.load("def f(:\n    pass", "broken.py").unwrap_err();
    let Failure::Raised { kind, at, .. } = broken else {
        panic!("a syntax error is an exception: {broken}");
    };
    assert_eq!(
        (kind.as_str(), at.as_deref()),
        ("SyntaxError", Some("broken.py, line 1"))
    );
    let missing = session
        .load("import nowhere_to_be_found", "imports.py")
        .unwrap_err();
    assert_eq!(
        missing,
        raised(
            "ModuleNotFoundError",
            "No module named 'nowhere_to_be_found'",
            Some("imports.py, line 1, in <module>")
        )
    );
}

#[test]
fn a_session_that_has_ended_says_so_from_then_on() {
    let Some(pool) = pool_with(|python, _| python.call_seconds = 1.0) else {
        return;
    };
    let source = "import os, time\ndef leave(): os._exit(3)\ndef hang(): time.sleep(60)";
    for (function, first, then) in [
        (
            "leave",
            "the tools' process ended: exit status 3",
            "the tools' process ended: exit status 3",
        ),
        (
            "hang",
            "timed out after 1 seconds",
            "the tools' process ended: it was stopped after 1 seconds",
        ),
    ] {
        let mut session = pool.session().unwrap();
        session.load(source, "tools.py").unwrap();
        let failure = session.call(function, &Map::new(), None).unwrap_err();
        assert_eq!(failure.to_string(), first);
        for _ in 0..2 {
            assert_eq!(session.get("state").unwrap_err().to_string(), then);
        }
    }
    let health = pool.health();
    assert_eq!((health.asked, health.unserved, health.timeouts), (2, 0, 1));
}

/// One hangs in its call while others answer theirs, of the same interpreter.
#[test]
fn a_call_that_hangs_holds_up_nobody_else() {
    let Some(pool) = pool_with(|python, _| {
        python.workers = 2;
        python.call_seconds = 4.0;
    }) else {
        return;
    };
    let source = "def f():\n    while True: pass";
    let mut hanging = pool.session().unwrap();
    hanging.load(source, "tools.py").unwrap();
    let tool = PythonTool { name: "f", source };
    thread::scope(|scope| {
        let session = scope.spawn(|| hanging.call("f", &Map::new(), None));
        let call = scope.spawn(|| pool.call(tool, &Map::new()));
        let quick = PythonTool {
            name: "g",
            source: "def g():\n    return 1",
        };
        for _ in 0..20 {
            assert_eq!(pool.call(quick, &Map::new()).text, "1");
            let mut other = pool.session().unwrap();
            other.put("x", &json!(1)).unwrap();
        }
        assert!(!session.is_finished() && !call.is_finished());
        assert_eq!(
            session.join().unwrap(),
            Err(Failure::TimedOut { seconds: 4.0 })
        );
        let told = "an error occured when call f: timed out after 4 seconds";
        assert_eq!(call.join().unwrap().text, told);
    });
}

#[test]
fn a_thousand_sessions_live_at_once() {
    let Some(pool) = pool_with(|_, sandbox| sandbox.sessions = 1000) else {
        return;
    };
    let mut sessions: Vec<Session> = (0..1000).map(|_| pool.session().unwrap()).collect();
    let error = pool.session().err().unwrap();
    assert_eq!(
        error.to_string(),
        "no session for another episode: 1000 are open\nhint: raise `sandbox.sessions`"
    );
    for (number, session) in sessions.iter_mut().enumerate().step_by(97) {
        session.put("number", &json!(number)).unwrap();
        assert_eq!(session.get("number"), Ok(json!(number)));
    }
    sessions.truncate(10);
    assert!(pool.session().is_ok());
    let health = pool.health();
    assert_eq!((health.asked, health.unserved), (1002, 1));
    assert_eq!(health.cause, Some(error.to_string()));
}

#[test]
fn a_session_writes_into_its_folder_and_reads_what_it_may() {
    let shelf = tempfile::tempdir().unwrap();
    std::fs::write(shelf.path().join("sibling.py"), "VALUE = 7").unwrap();
    std::fs::write(shelf.path().join("table.txt"), "rows").unwrap();
    let Some(pool) = pool_with(|_, sandbox| sandbox.readable = vec![shelf.path().to_owned()])
    else {
        return;
    };
    let source = "import sibling\n\
                  def note(text):\n    with open('notes', 'a') as f: f.write(text)\n    \
                  return open('notes').read()\n\
                  def read(path):\n    return open(path).read() + str(sibling.VALUE)";
    let mut session = pool.session().unwrap();
    session.load(source, "tools.py").unwrap();
    let note = arguments(json!({"text": "ab"}));
    assert_eq!(session.call("note", &note, None).as_deref(), Ok("ab"));
    assert_eq!(session.call("note", &note, None).as_deref(), Ok("abab"));
    let table = arguments(json!({"path": shelf.path().join("table.txt")}));
    assert_eq!(session.call("read", &table, None).as_deref(), Ok("rows7"));
}

#[test]
fn chance_and_the_day_are_the_same_in_every_session() {
    let source = "import random, datetime\ndef f():\n    \
                  return [random.random(), list({'a', 'b', 'c'}), str(datetime.datetime.now())]";
    let Some(pool) = pool_with(|python, _| python.date = "2026-11-22".to_owned()) else {
        return;
    };
    let results: Vec<String> = (0..3)
        .map(|_| {
            let mut session = pool.session().unwrap();
            session.load(source, "tools.py").unwrap();
            session.call("f", &Map::new(), None).unwrap()
        })
        .collect();
    assert!(results.iter().all(|result| *result == results[0]));
    assert!(results[0].contains("2026-11-22 00:00:00"));
}

#[test]
fn a_source_that_brings_the_compiler_down_is_found_among_others() {
    let Some(pool) = pool_with(|_, _| {}) else {
        return;
    };
    let deep = "(".repeat(100_000) + &")".repeat(100_000);
    let complaints = pool.compile(&["x = 1", &deep, "def f(:"]).unwrap();
    assert_eq!(complaints[0], None);
    assert!(complaints[1].is_some());
    assert!(complaints[2].as_ref().unwrap().starts_with("SyntaxError: "));
}

#[test]
fn what_cannot_run_is_known_before_an_episode_begins() {
    let refused = |change: fn(&mut PythonConfig, &mut SandboxConfig)| {
        let (mut python, mut sandbox) = (PythonConfig::default(), SandboxConfig::default());
        change(&mut python, &mut sandbox);
        Pool::new(python, sandbox).err().unwrap().to_string()
    };
    let nowhere = refused(|python, _| python.interpreter = "/nowhere/python".to_owned());
    assert!(
        nowhere.starts_with("cannot run `/nowhere/python`: "),
        "{nowhere}"
    );
    let negative = refused(|python, _| python.call_seconds = -1.0);
    assert!(negative.contains("`call-seconds`"), "{negative}");
    let day = refused(|python, _| python.date = "2026-02-29".to_owned());
    assert!(day.starts_with("`python.date` is `2026-02-29`"), "{day}");
    if pool_with(|_, _| {}).is_none() {
        return;
    }
    let unknown = refused(|_, sandbox| sandbox.require = vec!["moat".to_owned()]);
    assert!(
        unknown.starts_with("`sandbox.require`: there is no layer `moat`"),
        "{unknown}"
    );
    let contradiction = refused(|_, sandbox| {
        sandbox.require = vec!["full".to_owned()];
        sandbox.without = vec!["seccomp".to_owned()];
    });
    assert!(
        contradiction.contains("lacks `seccomp` (left out by `sandbox.without`)"),
        "{contradiction}"
    );
    let small = refused(|python, _| python.memory_mib = 1);
    assert!(
        small.contains("did not start, of `memory-mib` = 1: "),
        "{small}"
    );
}
