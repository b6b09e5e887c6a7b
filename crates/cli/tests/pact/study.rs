//! A grid of runs of random models: what is run, what is left alone, what is gone on with.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use super::{Place, QUICK, pact};

/// Two methods, two seeds, a search of two values, and a run before all.
pub(super) const STUDY: &str = r#"# Two steps of a random model change nothing.
config = "run.toml"
seeds = [1, 2]
jobs = 2
baseline = "base"
reference = "pact"

[before]
config = "run.toml"
set = ["objective.algorithm=sft", "train.steps=1", "eval.tasks=1"]

[search]
key = "optimizer.learning-rate"
values = [1e-3, 2e-3]
seeds = [9]
mode = "sampled"
set = ["train.steps=1", "data.eval.world.split=validation"]

[methods.base]
set = ["train.steps=0"]
search = false

[methods.pact]
set = ["objective.algorithm=pact"]
"#;

fn a_place_with_a_study(study: &str) -> Place {
    let place = Place::new();
    place.write("run.toml", QUICK).write("study.toml", study);
    place
}

#[test]
fn a_study_runs_its_grid_and_leaves_what_is_done_alone() {
    let place = a_place_with_a_study(STUDY);
    let none = place.pact("study study.toml --status").done();
    assert_snapshot!(none, @r"
    before  0/1
    base    0/2
    pact    0/2  search 0/2
    0 of 7 runs are done
    ");

    place.pact("study study.toml --only base").done();
    let some = place.pact("study study.toml --status").done();
    assert_snapshot!(some, @r"
    before  1/1
    base    2/2
    pact    0/2  search 0/2
    3 of 7 runs are done
    ");

    let outcome = place.pact("study study.toml");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("base, seed"), "{}", outcome.stderr);
    let found = "search of pact: optimizer.learning-rate=0.001 is best";
    assert!(outcome.stderr.contains(found), "{}", outcome.stderr);
    let out = |file: &str| place.read(&format!("runs/out/study/study/{file}"));
    let config = out("pact/seed-2/config.toml");
    for line in [
        "seed = 2",
        "path = \"runs/out/study/study/before/checkpoints/step-000001\"",
        "learning-rate = 0.001",
        "algorithm = \"pact\"",
    ] {
        assert!(config.lines().any(|it| it == line), "{line}\n{config}");
    }
    assert_eq!(out("base/seed-1/evaluations.jsonl").lines().count(), 2);
    assert_eq!(out("pact/seed-1/metrics.jsonl").lines().count(), 2);

    let page = out("report/study.md");
    assert!(page.starts_with("# Two steps of a random model change nothing.\n"));
    assert!(page.contains("\n| pact | 0.001 | 2 | "), "{page}");
    assert!(out("report/study-methods.svg").starts_with("<svg "));
    let elsewhere = place.pact("study study.toml --report docs").done();
    assert_eq!(elsewhere, "report: docs/study.md\n");
    assert!(place.read("docs/study.md") == page);

    let again = place.pact("study study.toml");
    assert!(!again.stderr.contains("begun"), "{}", again.stderr);
    assert_eq!(again.code, Some(0));
}

/// The same folders, file by file, as one that nobody stopped.
#[test]
fn a_study_that_is_interrupted_goes_on_and_ends_as_an_unbroken_one() {
    let study = "# It is stopped.\nconfig = \"run.toml\"\nseeds = [1]\nbaseline = \"a\"\n\
                 [methods.a]\nset = [\"train.steps=40\"]\n\
                 [methods.b]\nafter = \"a\"\n";
    let place = a_place_with_a_study(study);
    place.pact("study study.toml --out unbroken").done();

    let mut child = pact()
        .args(["study", "study.toml", "--out", "broken"])
        .current_dir(place.folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut lines = lines.map(|line| line.expect("UTF-8"));
    assert_eq!(lines.next().as_deref(), Some("a, seed 1: begun"));
    let first_step = place.path("broken/a/seed-1/metrics.jsonl");
    while !first_step.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // A second study in the folder would be refused.
    let refused = place.pact("study study.toml --out broken").refused(2);
    assert!(refused.contains("a study is under way"), "{refused}");
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("`kill` starts");
    assert!(killed.success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest:?}");
    assert_eq!(rest.last().map(String::as_str), Some("a, seed 1: stopped"));
    let status = place.pact("study study.toml --out broken --status").done();
    assert!(status.contains("begun: a, seed 1: step "), "{status}");

    let outcome = place.pact("study study.toml --out broken");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(
        outcome.stderr.starts_with("a, seed 1: goes on after step "),
        "{}",
        outcome.stderr
    );
    for file in ["episodes.jsonl", "evaluations.jsonl"] {
        for run in ["a/seed-1", "b/seed-1"] {
            let [unbroken, broken] =
                ["unbroken", "broken"].map(|out| place.read(&format!("{out}/{run}/{file}")));
            assert!(unbroken == broken, "{run}/{file} differs");
        }
    }
}

#[test]
fn a_run_of_another_config_than_the_study_now_asks_for_is_not_taken_for_its_own() {
    let place = a_place_with_a_study(STUDY);
    place.pact("study study.toml --only base").done();
    let changed = STUDY.replace(
        "train.steps=0\"",
        "train.steps=0\", \"rollout.max-turns=3\"",
    );
    place.write("study.toml", &changed);
    let message = place.pact("study study.toml --only base").refused(2);
    assert_snapshot!(message, @r"
    error: `runs/out/study/study/base/seed-1`: this run was made with another config than the study asks for: it had `max-turns = 2`, and is to have `max-turns = 3`
    hint: move the folder away to make it again, or name another place with `--out`
    ");
    fs::remove_dir_all(place.path("runs/out/study/study/base")).expect("as the hint says");
    place.pact("study study.toml --only base").done();
}

#[test]
fn a_run_that_fails_is_told_and_the_others_go_on() {
    let failing = format!(
        "{STUDY}\n[methods.wide]\nset = [\"rollout.max-prompt-tokens=1\"]\nlike = \"base\"\n"
    );
    let place = a_place_with_a_study(&failing);
    let outcome = place.pact("study study.toml --only base --only wide");
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let text = outcome.stderr;
    assert!(
        text.contains("wide, seed 1: failed, exit status: "),
        "{text}"
    );
    assert!(text.contains("\n  error: "), "{text}");
    assert!(text.contains("base, seed 2: done in "), "{text}");
}

#[test]
fn what_cannot_be_meant_is_refused_before_any_run_begins() {
    let place = a_place_with_a_study(&STUDY.replace("train.steps=0", "train.step=0"));
    let message = place.pact("study study.toml").refused(2);
    let expected = "error: `study.toml`, base, seed 1: `--set train.step=0`: unknown field `step`";
    assert!(message.starts_with(expected), "{message}");
    assert!(!place.path("runs").exists());

    place.write("study.toml", STUDY);
    let message = place.pact("study study.toml --only pct").refused(2);
    assert_snapshot!(message, @r"
    error: `--only pct`: the study has no such method
    hint: did you mean `pact`?
    ");
    let message = place.pact("study none.toml").refused(2);
    assert_snapshot!(message, @r"
    error: `none.toml`: No such file or directory (os error 2)
    hint: `pact study --help` shows what such a file holds
    ");
}
