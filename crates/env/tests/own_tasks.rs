//! Your own tasks with a toolbox written in Rust: what a file offers, what is wrong with one,
//! and what an episode is worth.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use env::own::{Accept, OwnSuite, Record, Session, Toolbox, check_file, read_score};
use env::{Environment, Suite};
use episode::{Message, Observation, Role, Score, StopReason, ToolCall, Turn};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Counts up from a row's `start`, and ends the episode at 9.
struct Counters {
    name: &'static str,
    tools: Vec<Value>,
    judges: bool,
    replies: bool,
}

struct Counter {
    count: u64,
    goal: Option<u64>,
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}})
}

fn counters(names: &[&str]) -> Counters {
    Counters {
        name: "counters",
        tools: names.iter().map(|name| tool(name)).collect(),
        judges: false,
        replies: false,
    }
}

impl Toolbox for Counters {
    fn name(&self) -> &str {
        self.name
    }

    fn tools(&self) -> &[Value] {
        &self.tools
    }

    fn begin(&self, row: &env::own::TaskRow) -> Result<Vec<Message>, String> {
        match row.extra.get("greeting") {
            Some(greeting) => Ok(vec![Message::new(Role::User, greeting.to_string())]),
            None => Err("the row has no `greeting`".to_owned()),
        }
    }

    fn open(&self, row: &env::own::TaskRow) -> Result<Box<dyn Session>, String> {
        let count = row.extra.get("start").map_or(Some(0), Value::as_u64);
        Ok(Box::new(Counter {
            count: count.ok_or("`start` is no number")?,
            goal: row.extra.get("goal").and_then(Value::as_u64),
        }))
    }

    fn judges(&self) -> bool {
        self.judges
    }

    fn replies(&self) -> bool {
        self.replies
    }
}

impl Session for Counter {
    fn call(&mut self, _call: &ToolCall) -> Observation {
        self.count += 1;
        Observation {
            text: format!("{} so far", self.count),
            failed: false,
        }
    }

    fn reply(&mut self, turn: &Turn) -> Option<String> {
        (turn.content == "more?").then(|| "yes".to_owned())
    }

    fn is_over(&self) -> bool {
        self.count == 9
    }

    fn judge(&mut self, record: &Record) -> Result<Score, String> {
        let goal = self.goal.ok_or("the row has no `goal`")?;
        assert_eq!(record.calls.len() as u64, self.count);
        read_score(&json!({
            "reward": self.count == goal,
            "metrics": {"said": record.answer.is_some(), "stopped": record.stop.is_some()},
        }))
    }
}

fn file(lines: &[Value]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.jsonl");
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    (folder, path)
}

fn load(toolbox: Counters, lines: &[Value]) -> OwnSuite {
    let (_folder, path) = file(lines);
    OwnSuite::load(&path, vec![Arc::new(toolbox)], Accept::Contains).unwrap()
}

fn asked(id: &str) -> Value {
    json!({"id": id, "messages": [{"role": "user", "content": "Count."}]})
}

fn with(mut row: Value, fields: Value) -> Value {
    let fields = fields.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(fields);
    row
}

fn call(environment: &mut dyn Environment, name: &str) -> Observation {
    environment.call(&ToolCall {
        name: name.to_owned(),
        arguments: Default::default(),
    })
}

fn said(content: &str) -> Turn {
    Turn {
        content: content.to_owned(),
        ..Turn::default()
    }
}

fn names(suite: &OwnSuite, index: usize) -> Vec<&str> {
    let tools = suite.tasks()[index].tools.iter();
    tools
        .map(|it| it["function"]["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_task_offers_every_tool_or_those_that_it_lists() {
    let described = with(
        tool("up"),
        json!({"function": {"name": "up", "description": "Mine."}}),
    );
    let suite = load(
        counters(&["up", "down"]),
        &[
            asked("a"),
            with(asked("b"), json!({"tools": ["down"]})),
            with(
                asked("c"),
                json!({"tools": [described], "suite": "counters"}),
            ),
        ],
    );
    assert_eq!(names(&suite, 0), ["up", "down"]);
    assert_eq!(names(&suite, 1), ["down"]);
    assert_eq!(
        suite.tasks()[2].tools[0]["function"]["description"],
        "Mine."
    );
    assert_eq!(suite.tasks()[0].scenario, "own");
    let mut environment = suite.open(&suite.tasks()[1]);
    assert_eq!(
        call(&mut *environment, "up"),
        Observation {
            text: "error: there is no tool `up`; the tools are down".to_owned(),
            failed: true
        }
    );
    assert_eq!(call(&mut *environment, "down").text, "1 so far");
}

#[test]
fn every_episode_has_a_session_of_its_own_with_the_rows_extra_fields() {
    let row = with(asked("a"), json!({"start": 7}));
    let suite = load(counters(&["up"]), &[row]);
    let task = &suite.tasks()[0];
    for _ in 0..2 {
        let mut environment = suite.open(task);
        assert_eq!(call(&mut *environment, "up").text, "8 so far");
        assert!(!environment.is_over());
        assert_eq!(call(&mut *environment, "up").text, "9 so far");
        assert!(environment.is_over());
    }
}

#[test]
fn a_session_that_cannot_be_opened_is_what_the_agent_reads() {
    let row = with(asked("a"), json!({"start": "seven"}));
    let suite = load(counters(&["up"]), &[row]);
    let mut environment = suite.open(&suite.tasks()[0]);
    let observation = call(&mut *environment, "up");
    assert_eq!(
        observation.text,
        "error: the tools cannot be used: `start` is no number"
    );
    assert!(observation.failed);
    environment.close(StopReason::TurnLimit, &[]);
    assert_eq!(environment.score().metrics["errors"], 1.0);
}

#[test]
fn a_task_with_goldens_is_worth_its_solve_f1() {
    let row = with(asked("a"), json!({"goldens": {"up": ["2"]}, "answer": "2"}));
    let suite = load(counters(&["up"]), &[row]);
    assert_eq!(suite.unsolved(&suite.tasks()[0]).unwrap().left(), 1);
    let mut environment = suite.open(&suite.tasks()[0]);
    call(&mut *environment, "up");
    call(&mut *environment, "up");
    assert_eq!(environment.answer(&said("three")), None);
    environment.close(StopReason::Answered, &[]);
    let score = environment.score();
    assert_eq!(score.reward, 2.0 / 3.0);
    assert_eq!(score.metrics["solve-r"], 1.0);
    assert_eq!(score.metrics["answer"], 0.0);
}

#[test]
fn a_task_with_answers_is_worth_one_where_any_of_them_is_given() {
    let (_folder, path) = file(&[with(asked("a"), json!({"answer": ["1,000", "a thousand"]}))]);
    let check = |accept: Accept, content: &str, reward: f64| {
        let toolbox: Arc<dyn Toolbox> = Arc::new(counters(&["up"]));
        let suite = OwnSuite::load(&path, vec![toolbox], accept).unwrap();
        let mut environment = suite.open(&suite.tasks()[0]);
        environment.answer(&said(content));
        environment.close(StopReason::Answered, &[]);
        assert_eq!(environment.score().reward, reward, "{accept:?} {content}");
    };
    check(Accept::Contains, "It is 1000 now", 1.0);
    check(Accept::Contains, "A THOUSAND", 1.0);
    check(Accept::Contains, "100", 0.0);
    check(Accept::Exact, "It is 1000 now", 0.0);
    check(Accept::Exact, "<answer>1000</answer>", 1.0);
    check(Accept::Exact, "Thousand.", 1.0);
}

#[test]
fn without_goldens_answers_and_judge_an_episode_is_worth_nothing() {
    let suite = load(counters(&["up"]), &[asked("a")]);
    assert!(suite.unsolved(&suite.tasks()[0]).is_none());
    let mut environment = suite.open(&suite.tasks()[0]);
    call(&mut *environment, "up");
    environment.close(StopReason::TurnLimit, &[]);
    let score = environment.score();
    assert_eq!(score.reward, 0.0);
    let metrics: Vec<&str> = score.metrics.keys().map(String::as_str).collect();
    assert_eq!(metrics, ["calls", "errors", "score"]);
}

#[test]
fn a_toolbox_that_judges_has_the_last_word() {
    let toolbox = Counters {
        judges: true,
        ..counters(&["up"])
    };
    let lines = [
        with(asked("met"), json!({"goal": 1, "goldens": {"up": ["5"]}})),
        with(asked("missed"), json!({"goal": 2, "answer": "x"})),
        with(asked("aimless"), json!({"answer": "x"})),
    ];
    let suite = load(toolbox, &lines);
    let mut scores = suite.tasks().iter().map(|task| {
        let mut environment = suite.open(task);
        call(&mut *environment, "up");
        environment.answer(&said("x"));
        environment.close(StopReason::Answered, &[]);
        environment.score()
    });
    let met = scores.next().unwrap();
    assert_eq!(met.reward, 1.0);
    assert_eq!(met.metrics["said"], 1.0);
    assert_eq!(met.metrics["stopped"], 1.0);
    assert_eq!(met.metrics["solve-f1"], 0.0);
    let missed = scores.next().unwrap();
    assert_eq!((missed.reward, missed.metrics["answer"]), (0.0, 1.0));
    assert!(!missed.metrics.contains_key("unscored"));
    let aimless = scores.next().unwrap();
    assert_eq!((aimless.reward, aimless.metrics["unscored"]), (0.0, 1.0));
}

#[test]
fn an_episode_that_calls_nothing_is_judged_too() {
    let toolbox = Counters {
        judges: true,
        ..counters(&["up"])
    };
    let suite = load(toolbox, &[with(asked("a"), json!({"goal": 0}))]);
    let mut environment = suite.open(&suite.tasks()[0]);
    environment.close(StopReason::TokenLimit, &[]);
    let score = environment.score();
    assert_eq!((score.reward, score.metrics["said"]), (1.0, 0.0));
}

#[test]
fn the_last_answer_counts_where_a_user_goes_on() {
    let toolbox = Counters {
        replies: true,
        ..counters(&["up"])
    };
    let suite = load(toolbox, &[with(asked("a"), json!({"answer": "right"}))]);
    let mut environment = suite.open(&suite.tasks()[0]);
    assert_eq!(environment.answer(&said("more?")).as_deref(), Some("yes"));
    assert_eq!(environment.answer(&said("right")), None);
    environment.close(StopReason::Answered, &[]);
    assert_eq!(environment.score().reward, 1.0);
}

#[test]
fn a_toolbox_may_begin_a_conversation_that_the_row_does_not() {
    let row = json!({"id": "a", "messages": [], "greeting": 5});
    let suite = load(counters(&["up"]), &[row]);
    assert_eq!(suite.tasks()[0].messages, [Message::new(Role::User, "5")]);
}

#[test]
fn a_row_brings_its_trace() {
    let trace = json!({
        "source": "by hand",
        "turns": [{"calls": [{"name": "up", "arguments": {}}], "results": ["1 so far"]}],
        "answer": "1",
    });
    let suite = load(
        counters(&["up"]),
        &[
            asked("a"),
            with(
                asked("b"),
                json!({"trace": trace, "goldens": {"up": ["1"]}}),
            ),
        ],
    );
    let [trace] = suite.traces() else {
        panic!("one row has a trace")
    };
    assert_eq!(trace.task, "b");
    let report = env::replay(&suite, trace);
    assert_eq!(report.problems(trace), [""; 0]);
}

#[test]
fn everything_that_is_wrong_with_a_file_is_listed() {
    let lines = [
        json!({"id": "a"}),
        with(
            asked("b"),
            json!({"tools": ["up", "sideways"], "goldens": {"left": ["1"]}}),
        ),
        with(asked("c"), json!({"tools": []})),
        with(asked("d"), json!({"suite": "abacus"})),
        asked("e"),
        asked("e"),
        json!({"id": "f", "messages": []}),
        with(asked("g"), json!({"goldens": {"left": ["1"]}})),
    ];
    let (_folder, path) = file(&lines);
    let toolboxes: Vec<Arc<dyn Toolbox>> = vec![Arc::new(counters(&["up", "down"]))];
    let report = check_file(&path, &toolboxes).unwrap();
    let file = path.display();
    let problems = [
        "line 1, field `messages`: missing",
        "line 2, field `goldens`: `left` is not the name of one of the task's tools",
        "line 2, field `tools`: nobody offers a tool `sideways`\nhint: there is up, down",
        "line 3, field `tools`: no tool is listed\nhint: leave `tools` out to offer every tool of the toolbox",
        "line 4, field `suite`: no toolbox is called `abacus`; there is `counters`",
        "line 6, field `id`: `e` is the id of an earlier row",
        "line 7, field `messages`: empty, and the row has no `greeting`",
        "line 8, field `goldens`: `left` is not the name of one of the task's tools",
    ];
    assert_eq!(
        report.problems,
        problems.map(|it| format!("`{file}`, {it}"))
    );
    assert_eq!((report.tasks, report.tools), (1, 2));
    let first = OwnSuite::load(&path, toolboxes, Accept::Contains)
        .err()
        .unwrap();
    assert_eq!(first.to_string(), report.problems[0]);
}

#[test]
fn toolboxes_that_no_task_could_use_are_refused() {
    let (_folder, path) = file(&[asked("a")]);
    let check = |toolboxes: Vec<Counters>, expected: &str| {
        let toolboxes = toolboxes
            .into_iter()
            .map(|it| Arc::new(it) as Arc<dyn Toolbox>);
        let error = OwnSuite::load(&path, toolboxes.collect(), Accept::Contains);
        assert_eq!(error.err().unwrap().to_string(), expected);
    };
    check(
        vec![counters(&[])],
        "tools of `counters`: it offers no tools",
    );
    check(
        vec![counters(&["up", "up"])],
        "tools of `counters`: tool `up` is also one of `counters`\nhint: rename one, or give the \
         toolbox a `prefix`, or leave one out with `exclude`, where it has them",
    );
    let other = Counters {
        name: "abacus",
        ..counters(&["up"])
    };
    check(
        vec![counters(&["up"]), other],
        "tools of `abacus`: tool `up` is also one of `counters`\nhint: rename one, or give the \
         toolbox a `prefix`, or leave one out with `exclude`, where it has them",
    );
    check(
        vec![counters(&["up"]), counters(&["down"])],
        "tools of `counters`: two toolboxes have this name",
    );
    let broken = Counters {
        tools: vec![
            json!({"type": "function", "function": {"name": "up", "parameters": {"type": "text"}}}),
        ],
        ..counters(&[])
    };
    check(
        vec![broken],
        "tools of `counters`: tool `up`: `parameters.type` is \"text\", expected \"object\"\n\
         hint: a tool is described by a JSON Schema of its parameters",
    );
    let judge = |name, tool| Counters {
        name,
        judges: true,
        ..counters(&[tool])
    };
    check(
        vec![judge("one", "up"), judge("two", "down")],
        "tools of `two`: it is the second to judge episodes\nhint: let one of them say what an \
         episode is worth and what the user says",
    );
}
