//! What whoever watches sees, of runs in every state.

use std::fs;
use std::path::Path;

use live::{Moment, Page, RunState, View, page};
use serde_json::{Value, json};

const CONFIG: &str =
    "[objective]\nalgorithm = \"pact\"\n[model]\npath = \"base\"\n[train]\nsteps = 40\n";

const KEYS: [(&str, &str); 2] = [("q", "quit"), ("e", "episode, on a page of its own")];

/// A token is a character here.
fn decode(tokens: &[u32]) -> String {
    let character = |token: &u32| char::from_u32(*token).unwrap();
    tokens.iter().map(character).collect()
}

fn moment() -> Moment<'static> {
    Moment {
        now: 1_000_192.0,
        is_here: true,
        decode: Some(&decode),
        notice: None,
        colour: false,
        keys: &KEYS,
    }
}

/// The frame of a folder, which is called `RUN` in it.
fn shown(folder: &Path, width: u16, height: u16) -> String {
    let run = RunState::open(folder).unwrap();
    let mut view = View::default();
    let page = page(&run, &mut view, &moment(), width, height);
    let (_, rest) = page.split_once("pact, base").unwrap();
    format!("RUN  pact, base  {}", rest.trim_start_matches(' '))
}

fn lines(values: impl Iterator<Item = Value>) -> String {
    values.map(|value| format!("{value}\n")).collect()
}

fn step(step: u32) -> Value {
    let x = f64::from(step);
    json!({
        "step": step, "reward": (x / 4.0).sin().abs(), "solve-f1": 0.5 + x / 100.0, "calls": 7.25,
        "errors": 3.0 - x / 8.0, "turns": 4.5, "progress": x / 40.0, "anchor": 0.3,
        "anchored": 0.25, "imitation-weight": 1.0 - x / 40.0, "loss-rollouts": 1e-5 * x,
        "loss-trace": 3.5 / (1.0 + x), "entropy": 0.1, "kl": null, "grad-norm": 2.5,
        "trace-lift-positive": 0.5, "trace-lift-negative": -0.25, "privilege-gap": 0.125,
        "sampler-gap": 8.28e-6, "skipped": 0.0, "seconds-rollout": 2.5, "seconds-learn": 1.5
    })
}

fn episode(sample: u32, turn: &str, observation: &str) -> Value {
    let prompt: Vec<u32> = "<user>Who?\n".chars().map(u32::from).collect();
    json!({
        "step": 11, "anchored": false, "task": "w-7", "scenario": "multi-hop", "sample": sample,
        "seed": 5, "stop": "answered",
        "score": {"reward": 0.5, "metrics": {"solve-f1": 0.5}},
        "prompt_tokens": prompt.len(),
        "turns": [{
            "segment": 0, "start": 11, "end": 12, "text": turn, "content": "",
            "calls": [{"name": "find", "arguments": {"name": "Ann"}}], "failures": ["unclosed"],
            "observations": [{"text": observation, "failed": false}]
        }],
        "segments": [{
            "tokens": prompt, "authors": vec!["template"; 11], "parts": vec!["context"; 11],
            "logprobs": vec![0.0; 11]
        }]
    })
}

fn evaluation(step: u32, mode: &str, value: f64) -> Value {
    let task = |id: &str, scenario: &str, value: f64| json!({"task": id, "scenario": scenario, "metrics": {"solve-f1": value}});
    json!({
        "step": step, "mode": mode, "metrics": {"solve-f1": value},
        "tasks": [task("a", "multi-hop", value), task("b", "single-hop", 1.0 - value)]
    })
}

fn status(phase: &str) -> Value {
    json!({
        "phase": phase, "step": 12, "steps": 40, "since": 1_000_180.0, "updated": 1_000_191.0,
        "process": 77, "done": 43, "of": 128
    })
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

/// A run after twelve steps, in its next rollout.
fn write_run(folder: &Path) {
    write(folder, "config.toml", CONFIG);
    write(
        folder,
        "run.json",
        r#"{"format":1,"sessions":[{"began":1000000.0},{"began":1000100.0}]}"#,
    );
    write(folder, "status.json", &status("rollout").to_string());
    write(folder, "metrics.jsonl", &lines((0..12).map(step)));
    let evaluations = [("greedy", 0.25), ("sampled", 0.125)];
    let evaluations = [0, 12].iter().flat_map(|&step| {
        evaluations.map(|(mode, value)| evaluation(step, mode, value + f64::from(step) / 100.0))
    });
    write(folder, "evaluations.jsonl", &lines(evaluations));
    let call = "<call>find Ann</call>";
    let episodes = (0..3).map(|sample| episode(sample, call, "nobody"));
    write(folder, "episodes.jsonl", &lines(episodes));
}

fn run() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path());
    folder
}

#[test]
fn a_run_in_its_rollout_on_a_small_terminal() {
    insta::assert_snapshot!(shown(run().path(), 80, 24));
}

#[test]
fn a_run_in_its_rollout_on_a_large_terminal() {
    insta::assert_snapshot!(shown(run().path(), 200, 60));
}

#[test]
fn a_run_that_has_only_a_config() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "config.toml", CONFIG);
    insta::assert_snapshot!(shown(folder.path(), 80, 24));
}

#[test]
fn a_run_that_was_half_copied() {
    let folder = run();
    for file in ["status.json", "run.json", "evaluations.jsonl"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let metrics = lines((0..3).map(step)) + "{\"step\":3,\"rewa";
    write(folder.path(), "metrics.jsonl", &metrics);
    let cut = episode(0, "one", "two").to_string() + "\n{\"step\":1,\"task\":";
    write(folder.path(), "episodes.jsonl", &cut);
    insta::assert_snapshot!(shown(folder.path(), 80, 24));
}

#[test]
fn hostile_text_is_shown_and_never_executed() {
    let folder = run();
    let escape = "\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}\r漢字🦀\n</call>";
    let mut hostile = episode(0, escape, &"é".repeat(3_000_000));
    hostile["task"] = escape.into();
    hostile["scenario"] = escape.into();
    write(
        folder.path(),
        "episodes.jsonl",
        &lines([hostile].into_iter()),
    );
    let mut at = status("rollout");
    at["message"] = escape.into();
    write(folder.path(), "status.json", &at.to_string());
    let mut metrics = step(0);
    metrics[escape] = json!(1e308);
    metrics["reward"] = json!(-1e308);
    write(
        folder.path(),
        "metrics.jsonl",
        &lines([metrics].into_iter()),
    );
    let text = shown(folder.path(), 80, 24);
    let is_plain = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
    assert!(text.chars().all(is_plain));
    insta::assert_snapshot!(text);
}

#[test]
fn no_size_of_terminal_is_too_small_or_too_large() {
    let folder = run();
    let run = RunState::open(folder.path()).unwrap();
    for page_shown in [Page::Run, Page::Episode, Page::Help] {
        for (width, height) in [(1, 1), (3, 2), (20, 5), (131, 40), (500, 200)] {
            let mut view = View::default();
            view.toggle(page_shown);
            let text = page(&run, &mut view, &moment(), width, height);
            assert_eq!(text.lines().count(), usize::from(height));
        }
    }
}

#[test]
fn an_episode_and_the_keys_have_pages_of_their_own() {
    let folder = run();
    let run = RunState::open(folder.path()).unwrap();
    let mut view = View::default();
    let shown = |view: &mut View| page(&run, view, &moment(), 60, 12);
    assert!(shown(&mut view).contains("sample 2"), "the newest");
    view.toggle(Page::Episode);
    view.older();
    let text = shown(&mut view);
    assert!(
        text.contains("sample 1") && text.contains("prompt: <user>Who?"),
        "{text}"
    );
    view.toggle(Page::Help);
    let text = shown(&mut view);
    assert!(
        text.contains("e               episode, on a page of its own"),
        "{text}"
    );
}

#[test]
fn a_run_is_followed_and_a_resumed_one_shows_no_step_twice() {
    let folder = run();
    let mut run = RunState::open(folder.path()).unwrap();
    let shown = |run: &RunState| page(run, &mut View::default(), &moment(), 100, 30);
    let (name, at) = ("metrics.jsonl", "status.json");
    let mut further = lines((0..13).map(step));
    write(folder.path(), name, &further);
    run.poll();
    assert!(shown(&run).contains("0.6200"), "solve-f1 of step 12");
    // Killed after that, and resumed from its eighth step.
    let mut again = step(8);
    again["solve-f1"] = json!(0.123);
    further = lines((0..8).map(step).chain([again]));
    write(folder.path(), name, &further);
    fs::remove_file(folder.path().join(at)).unwrap();
    run.poll();
    let text = shown(&run);
    assert!(
        text.contains("0.1230") && text.contains("step 9 of 40"),
        "{text}"
    );
}

#[test]
fn what_a_run_does_is_told_in_words() {
    let folder = run();
    let told = |status: &Value, is_here: bool| {
        write(folder.path(), "status.json", &status.to_string());
        let run = RunState::open(folder.path()).unwrap();
        let moment = Moment {
            is_here,
            ..moment()
        };
        let text = page(&run, &mut View::default(), &moment, 140, 24);
        let lines = text.lines().take(3).map(|line| {
            let line = line.split_once("base").map_or(line, |(_, times)| times);
            line.trim_start_matches([' ', '━', '╌'])
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let going = "began 3m 12s ago, about 1m 52s to go\n\
                 step 12 of 40, rollout 43 of 128 for 12 s, heard of 1 s ago\n";
    assert_eq!(told(&status("rollout"), true), going);
    assert_eq!(told(&status("rollout"), false), going);
    let mut silent = status("learn");
    silent["updated"] = 1_000_100.0.into();
    assert!(told(&silent, true).ends_with("learning 43 of 128 for 12 s, heard of 1m 32s ago\n"));
    assert_eq!(
        told(&silent, false),
        "began 3m 12s ago\nstep 12 of 40, process 77 is gone or elsewhere, heard of 1m 32s ago\n"
    );
    let mut paused = status("paused");
    paused["of"] = 0.into();
    assert!(told(&paused, true).contains("\nstep 12 of 40, paused for 12 s"));
    let mut failed = status("failed");
    failed["of"] = 0.into();
    failed["message"] = "the disk is full".into();
    assert_eq!(
        told(&failed, false),
        "took 3m 11s\nstep 12 of 40, failed\nthe disk is full"
    );
    let mut slow = status("rollout");
    slow["waiting"] =
        json!({"task": "w-3", "sample": 2, "turn": 4, "on": "the tool `find`", "seconds": 61});
    assert!(
        told(&slow, true)
            .ends_with("slowest: task w-3, sample 2, turn 4 waits for the tool `find`, 1m 01s")
    );
}

#[test]
fn what_cannot_be_read_is_told_and_no_end() {
    let folder = run();
    write(folder.path(), "status.json", "{\"phase\":\"dancing\"}");
    let text = shown(folder.path(), 160, 24);
    assert!(
        text.contains("status.json`: unknown variant `dancing`"),
        "{text}"
    );
    write(folder.path(), "status.json", &status("learn").to_string());
    write(folder.path(), "metrics.jsonl", "{\"step\":0}\n[]\n");
    let text = shown(folder.path(), 160, 24);
    assert!(
        text.contains("a line of `metrics.jsonl`: invalid type"),
        "{text}"
    );
    let error = RunState::open(&folder.path().join("checkpoints")).unwrap_err();
    assert!(error.to_string().contains("is not a run folder"), "{error}");
    write(folder.path(), "run.json", r#"{"format":7}"#);
    let error = RunState::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("is of format 7"), "{error}");
}
