//! What strangers' tools can do to us, each with what the agent reads of it.

use std::io::Write;
use std::process::Command;

use env::ftrl::{FtrlOptions, FtrlSuite, Row};
use env::{PythonConfig, Suite};
use episode::{Message, Observation, Role, ToolCall};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

fn row(tools: &[(&str, &str)]) -> Row {
    Row {
        messages: vec![Message::new(Role::User, "Question: which?")],
        tools: tools
            .iter()
            .map(|(name, _)| json!({"type": "function", "function": {"name": name}}))
            .collect(),
        codes: tools
            .iter()
            .map(|(name, source)| ((*name).to_owned(), (*source).to_owned()))
            .collect(),
        unsolved_set: IndexMap::from([(tools[0].0.to_owned(), vec!["42".to_owned()])]),
        solve_rate: 0.0,
        data_source: "self/single_hop".to_owned(),
        split: None,
        answer: Some("42".to_owned()),
        ground_truth: None,
        id: None,
        world: None,
    }
}

fn options() -> FtrlOptions {
    FtrlOptions {
        python: PythonConfig {
            workers: 1,
            call_seconds: 5.0,
            memory_mib: 512,
            ..PythonConfig::default()
        },
        allow_broken_tools: true,
        ..FtrlOptions::default()
    }
}

fn load(rows: &[Row], options: FtrlOptions) -> Option<FtrlSuite> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return None;
    }
    let mut file = NamedTempFile::new().unwrap();
    for row in rows {
        writeln!(file, "{}", row.to_line()).unwrap();
    }
    Some(FtrlSuite::load(file.path(), options).unwrap())
}

fn call(name: &str, arguments: Value) -> ToolCall {
    ToolCall {
        name: name.to_owned(),
        arguments: serde_json::from_value(arguments).unwrap(),
    }
}

fn returned(text: &str) -> Observation {
    Observation {
        text: text.to_owned(),
        failed: false,
    }
}

fn failed(exception: &str) -> Observation {
    Observation {
        text: format!("an error occured when call f: {exception}"),
        failed: true,
    }
}

/// Calls `f` of this source, then a sound tool through the same worker.
fn check(source: &str, arguments: Value, expected: Observation) {
    let sound = "def sound():\n    return 'still here'";
    let Some(suite) = load(&[row(&[("f", source), ("sound", sound)])], options()) else {
        return;
    };
    let mut environment = suite.open(&suite.tasks()[0]);
    assert_eq!(environment.call(&call("f", arguments)), expected);
    let after = environment.call(&call("sound", json!({})));
    assert_eq!(after, returned("still here"));
}

#[test]
fn a_result_is_text_or_a_json_dump_or_what_str_makes_of_it() {
    let echo = "def f(x):\n    return eval(x)";
    let cases = [
        ("'où'", "où"),
        (
            "{'a': [1, 'où'], 'b': None}",
            r#"{"a": [1, "où"], "b": null}"#,
        ),
        ("[1.0, True, float('nan')]", "[1.0, true, NaN]"),
        ("3.0", "3.0"),
        ("None", "None"),
        ("(1, 2)", "(1, 2)"),
    ];
    for (expression, text) in cases {
        check(echo, json!({"x": expression}), returned(text));
    }
}

#[test]
fn host_names_are_visible_and_those_of_the_source_are_not() {
    let host = "def f(x):\n    return json.dumps(deepcopy([x])) + sha256(b'').hexdigest()[:4]";
    check(host, json!({"x": 1}), returned("[1]e3b0"));
    let helper = "def g():\n    return 1\ndef f():\n    return g()";
    check(helper, json!({}), failed("name 'g' is not defined"));
    let import = "import re\ndef f():\n    return re.sub('a', 'b', 'a')";
    check(import, json!({}), failed("name 're' is not defined"));
    let recursion = "def f():\n    return f()";
    check(recursion, json!({}), failed("name 'f' is not defined"));
}

#[test]
fn what_the_source_does_at_its_top_level_happens_on_every_call() {
    let prints = "def f():\n    return 'ok'\nprint(f())";
    check(prints, json!({}), returned("ok"));
    let raises = "def f():\n    return 'ok'\nraise KeyError('top')";
    check(raises, json!({}), failed("'top'"));
}

#[test]
fn wrong_arguments_and_exceptions_are_told_in_pythons_words() {
    let source = "def f(x):\n    return 1 / x";
    check(source, json!({"x": 0}), failed("division by zero"));
    check(
        source,
        json!({"y": 0}),
        failed("f() got an unexpected keyword argument 'y'"),
    );
    let set = "def f():\n    return [{1}]";
    check(
        set,
        json!({}),
        failed("Object of type set is not JSON serializable"),
    );
    let other = "def g():\n    return 1";
    check(other, json!({}), failed("'f'"));
    let broken = "def f(:\n    return 1";
    check(
        broken,
        json!({}),
        failed("invalid syntax (<string>, line 1)"),
    );
}

#[test]
fn a_tool_that_nobody_offered_fails_with_its_name() {
    let Some(suite) = load(&[row(&[("g", "def g():\n    return 42")])], options()) else {
        return;
    };
    let mut environment = suite.open(&suite.tasks()[0]);
    assert_eq!(environment.call(&call("f", json!({}))), failed("'f'"));
    let score = environment.score();
    assert_eq!(
        (score.metrics["calls"], score.metrics["errors"]),
        (1.0, 1.0)
    );
}

#[test]
fn a_tool_that_prints_or_reads_disturbs_nobody() {
    let prints = "def f():\n    import os, sys\n    print('{\"id\": 1}')\n    \
                  os.write(1, b'{}\\n')\n    sys.stderr.write('x')\n    return 'ok'";
    check(prints, json!({}), returned("ok"));
    let reads = "def f():\n    return input()";
    check(reads, json!({}), failed("EOF when reading a line"));
}

#[test]
fn a_tool_that_ends_its_process_ends_only_its_call() {
    let exits = "def f():\n    import sys\n    sys.exit('bye')";
    check(exits, json!({}), failed("the tool tried to exit (bye)"));
    let leaves = "def f():\n    import os\n    os._exit(3)";
    check(
        leaves,
        json!({}),
        failed("the tool ended its process (exit status 3)"),
    );
}

#[test]
fn a_tool_that_allocates_without_end_is_out_of_memory() {
    let source =
        "def f():\n    kept = []\n    while True:\n        kept.append(bytearray(1 << 24))";
    check(source, json!({}), failed("out of memory"));
    let long = "def f():\n    return 'x' * (1 << 21)";
    check(
        long,
        json!({}),
        failed("the result has 2097152 characters, more than 1048576"),
    );
}

#[test]
fn a_tool_that_hangs_is_killed_and_the_pool_goes_on() {
    let hanging = "def f(busy):\n    while True:\n        busy or sleep(1)";
    let sound = "def g():\n    return 42";
    let mut options = options();
    options.python.call_seconds = 1.5;
    let Some(suite) = load(&[row(&[("g", sound), ("f", hanging)])], options) else {
        return;
    };
    let mut environment = suite.open(&suite.tasks()[0]);
    for busy in [true, false] {
        let observation = environment.call(&call("f", json!({"busy": busy})));
        assert_eq!(observation, failed("timed out after 1.5 seconds"));
    }
    assert_eq!(environment.call(&call("g", json!({}))), returned("42"));
    assert_eq!(environment.score().metrics["solve-r"], 1.0);
}

#[test]
fn calls_share_no_state() {
    let counts = "def f():\n    import math\n    math.count = getattr(math, 'count', 0) + 1\n    \
                  json.count = getattr(json, 'count', 0) + 1\n    return [math.count, json.count]";
    let Some(suite) = load(&[row(&[("f", counts)])], options()) else {
        return;
    };
    let mut environment = suite.open(&suite.tasks()[0]);
    for _ in 0..3 {
        assert_eq!(environment.call(&call("f", json!({}))), returned("[1, 1]"));
    }
}

#[test]
fn chance_and_the_order_of_sets_are_the_same_in_every_worker() {
    let source = "def f():\n    import random\n    return [random.random(), list({'a', 'b', 'c', 'd', 'e'})]";
    let results: Vec<Observation> = (0..3)
        .filter_map(|_| load(&[row(&[("f", source)])], options()))
        .map(|suite| suite.open(&suite.tasks()[0]).call(&call("f", json!({}))))
        .collect();
    assert!(
        results
            .iter()
            .all(|result| *result == results[0] && !result.failed)
    );
}

#[test]
fn tools_see_the_day_that_the_config_says_whatever_they_ask() {
    let source = "def f():\n    import time, datetime as d\n    from datetime import datetime, date, timedelta, timezone\n    \
                  now = datetime.now()\n    yesterday = d.date.today() - timedelta(days=1)\n    \
                  return [str(now), str(datetime.now(timezone.utc)), str(yesterday), time.ctime(), time.time(), \
                  time.strftime('%d'), isinstance(now, date), isinstance(yesterday, date), \
                  datetime.strptime('2024-02-29', '%Y-%m-%d') < now]";
    let mut options = options();
    options.python.date = "2026-11-22".to_owned();
    let Some(suite) = load(&[row(&[("f", source)])], options) else {
        return;
    };
    let observation = suite.open(&suite.tasks()[0]).call(&call("f", json!({})));
    let expected = r#"["2026-11-22 00:00:00", "2026-11-22 00:00:00+00:00", "2026-11-21", "Sun Nov 22 00:00:00 2026", 1795305600.0, "22", true, true, true]"#;
    assert_eq!(observation, returned(expected));
}

#[test]
fn a_day_that_is_none_is_refused() {
    for date in ["2026-02-29", "2026-13-01", "26-01-01", "today"] {
        let mut options = options();
        options.python.date = date.to_owned();
        let file = NamedTempFile::new().unwrap();
        let error = FtrlSuite::load(file.path(), options).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("`python.date` is `{date}`, expected a day as `YYYY-MM-DD`")
        );
    }
}
