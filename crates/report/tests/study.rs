//! The page of a study, from run folders written by hand.

use std::fs;
use std::path::{Path, PathBuf};

use report::{ListedMethod, ListedRun, StudyList, StudyPage, study_page};
use serde_json::json;
use tempfile::TempDir;

/// A run of so many steps, each of 2 threads for `seconds`, with 3 episodes of 10 tokens.
struct Written<'a> {
    folder: &'a Path,
    seed: u64,
    algorithm: &'a str,
    seconds: f64,
    /// After each step, from none: the values of the first two tasks, and of all four after
    /// the last.
    evaluations: &'a [&'a [f64]],
}

impl Written<'_> {
    fn write(&self) {
        let (seed, algorithm) = (self.seed, self.algorithm);
        let config = format!(
            "seed = {seed}\nengine.threads = 2\nobjective.algorithm = \"{algorithm}\"\n\
             train.prompts-per-step = 1\nrollout.group-size = 3\n"
        );
        let metrics = (1..self.evaluations.len()).map(|step| {
            let metrics = json!({
                "step": step - 1, "seconds-rollout": 0.75 * self.seconds,
                "seconds-learn": 0.25 * self.seconds, "episode-tokens": 10,
                "sampled-tokens": 30, "target-tokens": 5,
            });
            format!("{metrics}\n")
        });
        let evaluations = self.evaluations.iter().enumerate().map(|(step, values)| {
            let tasks = values.iter().enumerate().map(|(i, value)| {
                let scenario = ["single-hop", "multi-hop"][i % 2];
                let metrics = json!({"solve-f1": value});
                json!({"task": format!("t{i}"), "scenario": scenario, "metrics": metrics})
            });
            let tasks: Vec<_> = tasks.collect();
            let line = json!({"step": step, "mode": "greedy", "metrics": {}, "tasks": tasks});
            format!("{line}\n")
        });
        let write = |file: &str, text: String| fs::write(self.folder.join(file), text).unwrap();
        fs::create_dir_all(self.folder).unwrap();
        write("config.toml", config);
        write("metrics.jsonl", metrics.collect());
        write("evaluations.jsonl", evaluations.collect());
    }
}

fn method(name: &str, group: &str, folders: &[PathBuf]) -> ListedMethod {
    let runs = folders.iter().map(|folder| ListedRun {
        folder: folder.clone(),
        earlier: Vec::new(),
    });
    ListedMethod {
        name: name.to_owned(),
        group: group.to_owned(),
        searched: (name != "base").then(|| "0.002".to_owned()),
        runs: runs.collect(),
    }
}

/// The base scores 50. GRPO takes 2 seconds of 2 threads for each of two steps, hence 8
/// processor seconds; PACT takes twice as long, so that at equal time it has done one step.
/// PACT, with one seed only, is also the beginning of the ablation.
fn study() -> (TempDir, StudyList) {
    let place = tempfile::tempdir().unwrap();
    let run = |algorithm: &str, seed, seconds, evaluations: &[&[f64]]| {
        let folder = place.path().join(format!("{algorithm}-{seed}"));
        let written = Written {
            folder: &folder,
            seed,
            algorithm,
            seconds,
            evaluations,
        };
        written.write();
        folder
    };
    let base = [1, 2].map(|seed| run("base", seed, 0.0, &[&[0.0, 1.0, 0.0, 1.0]]));
    let grpo = [1, 2].map(|seed| {
        let after: [&[f64]; 3] = [&[0.0, 1.0], &[0.5, 1.0], &[1.0, 1.0, 0.0, 1.0]];
        run("grpo", seed, 2.0, &after)
    });
    let steps: [&[f64]; 3] = [&[0.0, 1.0], &[0.5, 0.5], &[1.0, 1.0, 1.0, 1.0]];
    let pact = [run("pact", 1, 4.0, &steps)];
    let mut ablation = method("pact, then more", "ablations", &[run("q", 1, 1.0, &steps)]);
    ablation.runs[0].earlier = vec![pact[0].clone()];
    let methods = vec![
        method("base", "methods", &base),
        method("grpo", "methods", &grpo),
        method("pact", "methods", &pact),
        ablation,
        method("not begun", "ablations", &[]),
    ];
    let list = StudyList {
        sentence: "PACT wins.".to_owned(),
        metric: "solve-f1".to_owned(),
        baseline: "base".to_owned(),
        reference: Some("pact".to_owned()),
        searched_key: Some("optimizer.learning-rate".to_owned()),
        methods,
    };
    (place, list)
}

fn page(list: &StudyList) -> StudyPage {
    study_page(list, "main").unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_study_is_a_page_of_tables_with_a_plot_for_each_group() {
    let (_place, list) = study();
    let page = page(&list);
    insta::assert_snapshot!(page.markdown);
    let files: Vec<&str> = page.plots.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, ["main-methods.svg", "main-ablations.svg"]);
    for (file, svg) in &page.plots {
        assert!(page.markdown.contains(&format!("]({file})")));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
    // Two panels, each with one point of the base and three of GRPO and of PACT.
    assert_eq!(page.plots[0].1.matches("<circle ").count(), 2 * 7);
    assert_eq!(page.plots[0].1.matches("<polygon ").count(), 2 * 3);
}

#[test]
fn the_same_runs_make_the_same_page() {
    let (_place, list) = study();
    assert_eq!(page(&list), page(&list));
}

#[test]
fn a_study_without_a_finished_run_says_so() {
    let (_place, mut list) = study();
    list.methods
        .iter_mut()
        .for_each(|method| method.runs.clear());
    assert_eq!(page(&list).markdown, "# PACT wins.\n\nNo run is done.\n");
}

#[test]
fn methods_whose_baseline_has_yet_to_be_run_are_shown_without_differences() {
    let (_place, mut list) = study();
    list.methods[0].runs.clear();
    let text = page(&list).markdown;
    assert!(text.contains("| grpo | 0.002 | 2 | 75.00 |"), "{text}");
}
