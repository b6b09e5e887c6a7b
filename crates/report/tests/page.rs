//! `pact report`'s page, of run folders that the tests write.

use std::fs;
use std::path::Path;

use report::{Page, PageRun};
use serde_json::{Value, json};
use tempfile::TempDir;

const CONFIG: &str = "# A run of two steps teaches a call.\nseed = 3\n\n[model]\npath = \"base\"\n\n\
     [objective]\nalgorithm = \"pact\"\n\n[train]\nsteps = 2\n";

/// Everything that a hostile model, tool or file may try.
const HOSTILE: &str =
    "<script>alert(1)</script><img src=x onerror=alert(2)>\u{1b}[2J\u{202e}`````\n</pre>]]>-->\"'&";

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

/// One turn that calls `tool`, and one that answers.
fn episode(step: u64, task: &str, sample: u64, reward: f64, said: &str) -> Value {
    json!({
        "step": step, "task": task, "scenario": "single_hop", "sample": sample, "seed": 1,
        "stop": "answered", "score": {"reward": reward, "metrics": {"solve-f1": reward}},
        "prompt_tokens": 2, "advantages": [reward - 0.5, reward - 0.5],
        "turns": [
            {"segment": 0, "start": 2, "end": 5, "text": format!("<think>\n{said}\n</think>\n"),
             "content": "", "calls": [{"name": "find", "arguments": {"who": said}}],
             "failures": ["unclosed"],
             "observations": [{"text": format!("no record of 17: {said}"), "failed": true}]},
            {"segment": 0, "start": 6, "end": 8, "text": said, "content": said, "calls": [],
             "failures": [], "observations": []},
        ],
        "segments": [{"tokens": [72, 105, 0, 0, 0, 0, 0, 0], "authors": [], "parts": [], "logprobs": []}],
    })
}

fn evaluation(step: u64, values: &[(&str, f64)]) -> Value {
    let tasks = values.iter().enumerate().map(|(i, (scenario, value))| {
        json!({"task": format!("t{i}"), "scenario": scenario, "metrics": {"solve-f1": value}})
    });
    let mean = values.iter().map(|(_, value)| value).sum::<f64>() / values.len() as f64;
    json!({"step": step, "mode": "greedy", "metrics": {"solve-f1": mean},
           "tasks": tasks.collect::<Vec<_>>()})
}

/// A finished run of two steps, of two tasks with two rollouts each.
fn run(said: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(path, "config.toml", CONFIG);
    let step = |step: u64, reward: f64| {
        json!({"step": step, "reward": reward, "loss-trace": 2.0 - reward, "entropy": 0.5,
               "flat-groups": 0.5, "anchored": 0.25, "trace-lift-positive": 0.125,
               "seconds-rollout": 3.0, "seconds-learn": 1.0, "tree-tokens": 60.0,
               "tokens-shared": 0.4, "skipped": step, "unheard-of": 7.0})
    };
    write(
        path,
        "metrics.jsonl",
        &lines(&[step(0, 0.25), step(1, 0.75)]),
    );
    let episodes: Vec<Value> = (0..8)
        .map(|i| {
            episode(
                i / 4,
                ["a", "b"][i as usize / 2 % 2],
                i % 2,
                i as f64 / 8.0,
                said,
            )
        })
        .collect();
    write(path, "episodes.jsonl", &lines(&episodes));
    let before = [("single_hop", 0.0), ("single_hop", 0.5), (said, 0.0)];
    let after = [("single_hop", 1.0), ("single_hop", 1.0), (said, 0.25)];
    let evaluations = [evaluation(0, &before), evaluation(2, &after)];
    write(path, "evaluations.jsonl", &lines(&evaluations));
    let played = [
        episode(2, "t0", 0, 1.0, said),
        episode(2, "t1", 0, 0.0, said),
    ];
    write(
        path,
        "evaluations/step-000002-greedy.jsonl",
        &lines(&played),
    );
    let skipped = json!({"step": 1, "tasks": ["a"], "refused": [{"what": "loss"}]});
    write(path, "skipped/step-000001.jsonl", &lines(&[skipped]));
    let warning = json!({"level": "WARN", "fields": {"message": format!("beware {said}")}});
    write(path, "log.jsonl", &lines(&[warning.clone(), warning]));
    let record = json!({
        "format": 1, "contents": {"model": "ab12"},
        "sessions": [{"step": 0, "command": ["pact", "train", "a b.toml", said], "version": "0.1.0",
                      "machine": {"cores": 4, "threads": 2, "instructions": "avx2"}}],
    });
    write(path, "run.json", &record.to_string());
    folder
}

fn page_of(folder: &Path) -> Result<Page, report::ReportError> {
    let text = |tokens: &[u32]| -> String {
        tokens
            .iter()
            .filter_map(|token| char::from_u32(*token))
            .collect()
    };
    let run = PageRun {
        name: Some("mine".into()),
        folder: folder.to_owned(),
        decode: Some(Box::new(text)),
    };
    let defaults = "seed = 0\n[train]\nsteps = 2\n".parse().unwrap();
    Page::read(&[run], &defaults)
}

fn page(folder: &Path) -> Page {
    page_of(folder).unwrap()
}

/// The folder's own path, which differs from test to test, by another name.
fn settled(text: &str, folder: &Path) -> String {
    let name = folder.file_name().unwrap().to_string_lossy();
    let text = text.replace(&folder.display().to_string(), "RUN");
    text.replace(&*name, "RUN")
}

#[test]
fn a_run_is_a_page_of_markdown() {
    let run = run("Ann");
    let text = page(run.path()).to_markdown();
    insta::assert_snapshot!(settled(&text, run.path()));
}

#[test]
fn a_page_of_html_has_its_chapters_in_order_and_needs_nothing_beside_it() {
    let run = run("Ann");
    let html = page(run.path()).to_html();
    let ids = [
        "question",
        "setup",
        "curves",
        "scenarios",
        "credit",
        "cost",
        "failures",
        "episodes",
        "repeat",
    ];
    let places = ids.map(|id| html.find(&format!("<h2 id=\"{id}\">")).expect(id));
    assert!(places.is_sorted(), "{places:?}");
    assert!(!html.contains("<script") && !html.contains("<link") && !html.contains("url("));
    assert!(!html.contains("http:") && !html.contains("https:"));
    assert!(!html.contains("NaN") && !html.contains(">inf"));
    let (pictures, described) = (
        html.matches("<svg viewBox").count(),
        html.matches("aria-describedby").count(),
    );
    assert!(described > 10 && pictures >= described);
}

#[test]
fn nothing_that_a_model_a_tool_or_a_file_says_becomes_a_tag() {
    let (tame, hostile) = (run("x"), run(HOSTILE));
    let tags = |html: &str| {
        let names = html.split('<').skip(1).map(|it| {
            let end = it.find(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!');
            it[..end.unwrap_or(it.len())].to_owned()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        names
    };
    let html = page(hostile.path()).to_html();
    assert_eq!(tags(&html), tags(&page(tame.path()).to_html()));
    assert!(
        html.contains("&lt;script&gt;alert(1)"),
        "it is shown as text"
    );
    assert!(!html.contains("onerror=alert(2)>") && !html.contains("--alert"));
    let is_hidden = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
    let markdown = page(hostile.path()).to_markdown();
    assert!(!html.contains(is_hidden) && !markdown.contains(is_hidden));
    // In Markdown what is not within a fence has no `<`.
    let mut fence: Option<&str> = None;
    for line in markdown.lines() {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None => assert!(!line.contains('<'), "{line}"),
        }
    }
    assert_eq!(fence, None, "every fence is closed by its own");
}

#[test]
fn what_is_said_at_length_is_cut() {
    let run = run(&"<b>long</b> ".repeat(200_000));
    assert!(page(run.path()).to_html().len() < 600_000);
    assert!(
        page(run.path())
            .to_markdown()
            .contains("further characters are left out")
    );
}

#[test]
fn totals_agree_with_the_episodes() {
    let run = run("Ann");
    let json: Value = serde_json::from_str(&page(run.path()).to_json()).unwrap();
    let run = &json["runs"][0];
    let stops = run["failures"]["stops"].as_array().unwrap();
    let count = |stop: &Value| stop["count"].as_u64().unwrap();
    assert_eq!(stops.iter().map(count).sum::<u64>(), 8);
    assert_eq!(
        run["failures"]["parse-failures"]["cut off before its closing tag"]["count"],
        8
    );
    let error = &run["failures"]["tool-errors"][0];
    assert_eq!(
        (&error["tool"], &error["count"]),
        (&json!("find"), &json!(8))
    );
    assert_eq!(error["message"], "no record of N: Ann");
    assert_eq!(run["failures"]["skipped"][0]["reason"], "not finite: loss");
    assert_eq!(run["failures"]["warnings"]["beware Ann"], 2);
    let seconds = |phase: usize| run["cost"]["phases"][phase]["seconds"].clone();
    assert_eq!((seconds(0), seconds(1)), (json!(6.0), json!(2.0)));
    // Half of the tasks' mean rewards of the first step: (0 + 1/8) / 2 and (2/8 + 3/8) / 2.
    let training = run["training"].as_array().unwrap();
    let reward = training
        .iter()
        .find(|line| line["name"] == "reward")
        .unwrap();
    assert_eq!(reward["points"][0], json!([0.0, 0.1875]));
    assert_eq!(run["training-episodes"][0]["reward"], 0.875);
    assert_eq!(run["training-episodes"][0]["prompt"], "Hi");
    assert_eq!(run["changes"][0]["difference"], json!((2.25 - 0.5) / 3.0));
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let run = run("Ann");
    assert_eq!(page(run.path()).to_html(), page(run.path()).to_html());
    assert_eq!(page(run.path()).to_json(), page(run.path()).to_json());
}

#[test]
fn a_run_that_has_just_begun_says_of_each_part_that_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "config.toml", "seed = 1\n");
    let text = page(folder.path()).to_markdown();
    insta::assert_snapshot!(settled(&text, folder.path()));
    assert!(!page(folder.path()).to_html().contains("NaN"));
}

#[test]
fn a_torn_last_line_is_no_line_and_a_broken_one_is_named_and_passed_over() {
    let run = run("Ann");
    let path = run.path().join("episodes.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        format!("{{\"step\": broken\n{whole}{{\"step\": 9, \"ta"),
    )
    .unwrap();
    fs::write(run.path().join("run.json"), "{").unwrap();
    let json: Value = serde_json::from_str(&page(run.path()).to_json()).unwrap();
    let problems = json["runs"][0]["problems"].to_string();
    assert!(problems.contains("episodes.jsonl`, line 1"), "{problems}");
    assert!(problems.contains("run.json"), "{problems}");
    assert_eq!(json["runs"][0]["failures"]["stops"][0]["count"], 8);
}

#[test]
fn a_folder_of_a_later_pact_is_refused() {
    let run = run("Ann");
    write(run.path(), "run.json", "{\"format\": 99}");
    let error = page_of(run.path()).err().expect("it is newer").to_string();
    assert!(error.contains("format 99"), "{error}");
    let nothing = tempfile::tempdir().unwrap();
    let error = page_of(nothing.path()).err().expect("no run").to_string();
    assert!(error.contains("hint:"), "{error}");
}

#[test]
fn several_runs_are_compared_and_share_their_pictures() {
    let (one, other) = (run("Ann"), run("Ann"));
    write(other.path(), "config.toml", &CONFIG.replace("pact", "grpo"));
    let run = |name: &str, folder: &TempDir| PageRun {
        name: Some(name.into()),
        folder: folder.path().to_owned(),
        decode: None,
    };
    let runs = [run("first", &one), run("second", &other)];
    let page = Page::read(&runs, &toml::Table::new()).unwrap();
    let json: Value = serde_json::from_str(&page.to_json()).unwrap();
    let differing = &json["comparison"]["differing"];
    assert_eq!(
        differing,
        &json!([["objective.algorithm", ["pact", "grpo"]]])
    );
    let methods = &json["comparison"]["standings"]["greedy"]["methods"];
    assert_eq!(methods[1]["method"], "second");
    assert_eq!(methods[1]["difference"], json!(0.0));
    let html = page.to_html();
    assert!(html.contains("<h2 id=\"comparison\">") && html.contains("Held-out Solve-F1"));
}
