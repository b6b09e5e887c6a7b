//! Runs whose tools are killed from outside, in the middle of a call, as a machine short of memory
//! does it: the agent is told, and the run goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use episode::Episode;
use serde_json::Value;

use super::{Place, base, pact};

/// What the tool does that is to be killed: it says which process it is, and waits for it.
const WAITS: &str = "
    import os, time
    with open('waits', 'w') as file:
        file.write(f'{os.getpid()}\\n')
    time.sleep(3600)
";

/// Two steps of two tasks by the base, which calls tools; each call has a process.
fn config() -> String {
    format!(
        "
[model]
path = \"{}\"
[data.train.ftrl]
file = \"tasks.jsonl\"
traces = \"traces.jsonl\"
[rollout]
group-size = 2
max-turns = 3
max-turn-tokens = 96
max-tokens = 1500
[train]
steps = 2
prompts-per-step = 2
checkpoint-every = 1
[eval]
greedy = false
sampled = false
[python]
call-seconds = 3600.0
",
        base().display()
    )
}

/// A place with two tasks, and which tool waits: the first that the first task's expert calls.
fn place_with_a_tool_that_waits() -> (Place, String) {
    let place = Place::new();
    place.make_world(2);
    let of_lines = |name: &str| -> Vec<Value> {
        let text = place.read(name);
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("lines of JSON")
    };
    let traces = of_lines("traces.jsonl");
    let name = traces[0]["turns"][0]["calls"][0]["name"].as_str();
    let name = name.expect("a call").to_owned();
    let mut tasks = of_lines("tasks.jsonl");
    let codes = tasks[0]["codes"].as_str().expect("JSON as text");
    let mut codes: Value = serde_json::from_str(codes).expect("the tools' sources");
    codes[&name] = format!("def {name}(person):{WAITS}").into();
    tasks[0]["codes"] = codes.to_string().into();
    let lines: String = tasks.iter().map(|task| format!("{task}\n")).collect();
    place.write("tasks.jsonl", &lines);
    place.write("run.toml", &config());
    fs::create_dir(place.path("tmp")).expect("a folder");
    (place, name)
}

/// Trains, and does `to` with every process that waits in a tool, once; how many there were.
fn train_while(place: &Place, to: impl Fn(usize, u32)) -> usize {
    let errors = fs::File::create(place.path("errors")).expect("a file");
    let mut run: Child = pact()
        .args(["train", "run.toml", "--run", "out"])
        .env("TMPDIR", place.path("tmp"))
        .current_dir(place.folder.path())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .expect("the binary starts");
    let mut seen = BTreeSet::new();
    loop {
        for process in waiting(&place.path("tmp")) {
            if seen.insert(process) {
                to(seen.len() - 1, process);
            }
        }
        if let Some(status) = run.try_wait().expect("a process") {
            assert!(status.success(), "{status}: {}", place.read("errors"));
            return seen.len();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes that say that they wait, in the folders of the tools.
fn waiting(folder: &Path) -> Vec<u32> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let text = fs::read_to_string(folder.join("waits")).unwrap_or_default();
        let process = text
            .strip_suffix('\n')
            .and_then(|it| it.parse::<u32>().ok());
        found.extend(process);
        folders.extend(entries(&folder).into_iter().filter(|it| it.is_dir()));
    }
    found
}

fn kill(process: u32) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("kill -KILL {process}")]);
    assert!(command.status().expect("a shell").success(), "{process}");
}

fn parent(process: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent
        .expect("its parent")
        .trim()
        .parse()
        .expect("a number")
}

fn metric(place: &Place, name: &str) -> Vec<f64> {
    let metrics = place.read("out/metrics.jsonl");
    let lines = metrics.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("a step's metrics");
        line[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {line}"))
    });
    lines.collect()
}

/// Each call that was killed was told to its agent, and nobody else of anything; the agents went
/// on.
fn check_episodes(place: &Place, tool: &str, killed: usize) {
    let text = place.read("out/episodes.jsonl");
    let lines = text.lines().map(serde_json::from_str);
    let episodes: Vec<Episode> = lines.collect::<Result<_, _>>().expect("whole episodes");
    assert_eq!(
        episodes.len(),
        8,
        "two steps of two tasks, two samples each"
    );
    let (mut told, mut went_on) = (0, 0);
    for episode in &episodes {
        for (number, turn) in episode.turns.iter().enumerate() {
            for (call, observation) in turn.calls.iter().zip(&turn.observations) {
                if !observation.text.contains("ended its process") {
                    continue;
                }
                let how = "the tool ended its process (killed by signal 9)";
                assert!(observation.text.contains(how), "{observation:?}");
                assert!(observation.failed && call.name == tool, "{call:?}");
                assert!(episode.task.ends_with("-0"), "{}", episode.task);
                told += 1;
                went_on += usize::from(episode.turns.len() > number + 1);
            }
        }
    }
    assert_eq!(told, killed);
    assert!(went_on > 0, "an agent reads it and says more");
    place.pact("show out").done();
    place.pact("report out --format json -o report.json").done();
    assert!(place.path("out/checkpoints/step-000002").is_dir());
}

#[test]
fn a_call_whose_process_is_killed_from_outside_fails_and_the_run_goes_on() {
    let (place, tool) = place_with_a_tool_that_waits();
    let killed = train_while(&place, |_, process| kill(process));
    assert!(killed > 0, "the base calls its first tool");
    check_episodes(&place, &tool, killed);
    // It may have been the tool itself, so that nothing is held against the machine.
    assert_eq!(metric(&place, "tool-restarts"), [0.0, 0.0]);
    assert_eq!(metric(&place, "tools-unserved"), [0.0, 0.0]);
    assert_eq!(metric(&place, "tool-timeouts"), [0.0, 0.0]);
}

#[test]
fn an_interpreter_that_is_killed_is_started_again_and_its_call_asked_once_more() {
    let (place, tool) = place_with_a_tool_that_waits();
    let killed = train_while(&place, |number, process| match number {
        0 => kill(parent(process)),
        _ => kill(process),
    });
    assert!(killed > 1, "the call came again");
    check_episodes(&place, &tool, killed - 1);
    assert_eq!(metric(&place, "tool-restarts"), [1.0, 0.0]);
    assert_eq!(metric(&place, "tools-unserved"), [0.0, 0.0]);
    let errors = place.read("errors");
    let warning = "an interpreter or a server of tools died and was started again";
    assert!(errors.contains(warning), "{errors}");
}
