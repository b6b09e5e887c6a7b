//! What people read, as snapshots.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use episode::{
    Author, CallFormat, Episode, Evaluation, EvaluationMode, Group, Message, Observation,
    ParseFailure, Part, Role, Score, Seed, Segment, StopReason, Task, ToolCall, Trace, TraceTurn,
    Turn,
};
use report::{
    Breakdown, ReportError, RunFolder, SOLVE_METRICS, episode_text, run_summary, table, trace_text,
};

/// A token is a character here.
fn decode(tokens: &[u32]) -> String {
    tokens
        .iter()
        .map(|&token| char::from_u32(token).unwrap())
        .collect()
}

fn encode(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

fn turn(segment: usize, before: &Segment, text: &str) -> Turn {
    let start = before.tokens.len();
    Turn {
        segment,
        start,
        end: start + encode(text).len(),
        text: text.into(),
        content: String::new(),
        calls: vec![],
        failures: vec![],
        observations: vec![],
        reply: None,
    }
}

/// Two turns: one that calls, once readably, and one that answers.
fn episode() -> Episode {
    let mut segment = Segment::default();
    segment.extend(
        &encode("<user>who?\n<assistant>"),
        Author::Template,
        Part::Context,
    );

    let call = ToolCall {
        name: "find".into(),
        arguments: serde_json::from_str(r#"{"name":"Ann","year":3}"#).unwrap(),
    };
    let mut first = turn(0, &segment, "<call>find Ann</call>\n<call>{");
    first.calls = vec![call];
    first.failures = vec![ParseFailure::Unclosed];
    first.observations = vec![
        Observation {
            text: "nobody\x1b[2J".into(),
            failed: false,
        },
        Observation {
            text: "cut off".into(),
            failed: true,
        },
    ];
    segment.extend(&encode(&first.text), Author::Policy, Part::Call);
    segment.extend(&encode("\n<tool>"), Author::Template, Part::Context);
    segment.extend(&encode("nobody\x1b[2J"), Author::Tool, Part::Context);
    segment.extend(&encode("\n<assistant>"), Author::Template, Part::Context);

    let second = turn(0, &segment, "Nobody.\nSorry.");
    segment.extend(&encode(&second.text), Author::Policy, Part::Answer);

    Episode {
        task: "w-7".into(),
        scenario: "single-hop".into(),
        sample: 2,
        seed: Seed(11),
        stop: StopReason::Answered,
        score: Score {
            reward: 0.5,
            turn_rewards: vec![],
            metrics: BTreeMap::from([("solve-f1".into(), 0.5)]),
        },
        prompt_tokens: 22,
        hint_turns: 0,
        turns: vec![first, second],
        segments: vec![segment],
    }
}

#[test]
fn an_episode_without_colour_brackets_what_is_trained() {
    insta::assert_snapshot!(episode_text(&episode(), &decode, false));
}

#[test]
fn an_episode_in_colour_tells_its_authors_apart() {
    let text = episode_text(&episode(), &decode, true);
    insta::assert_snapshot!(text.replace('\x1b', "ESC"));
}

#[test]
fn what_a_tool_returned_never_reaches_the_terminal_as_a_control_sequence() {
    let text = episode_text(&episode(), &decode, false);
    assert!(!text.contains('\x1b') && text.contains("nobody\\u{1b}[2J"));
}

#[test]
fn a_later_segment_shows_only_what_is_new() {
    let mut episode = episode();
    let mut again = Segment::default();
    again.extend(&encode("<user>who?\nrest"), Author::Template, Part::Context);
    let third = turn(1, &again, "Ann.");
    again.extend(&encode("Ann."), Author::Policy, Part::Answer);
    episode.turns.push(third);
    episode.segments.push(again);

    let text = episode_text(&episode, &decode, false);
    assert!(text.contains("-- segment 2: the template rendered 15 tokens again\n"));
    assert_eq!(text.matches("<user>").count(), 1);
    assert!(text.contains("-- turn 3: 4 tokens\n⟦Ann.⟧"));
}

#[test]
fn an_episode_whose_parts_do_not_fit_together_says_where() {
    let mut episode = episode();
    episode.turns[0].end = usize::MAX;
    (episode.turns[1].start, episode.turns[1].end) = (3, 2);
    episode.turns.push(turn(7, &episode.segments[0], ""));
    let text = episode_text(&episode, &decode, false);
    let tokens = episode.segments[0].tokens.len();
    for told in [
        format!(
            "to {} cannot be shown: there are {tokens}, with {tokens} authors",
            usize::MAX
        ),
        "-- tokens 3 to 2 cannot be shown".to_owned(),
        "-- turn 3 is of segment 8, which is not there".to_owned(),
    ] {
        assert!(text.contains(&told), "{told}\n{text}");
    }
    assert_eq!(
        episode.sampled_tokens(),
        usize::MAX - episode.turns[0].start
    );
}

#[test]
fn a_name_of_any_length_is_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path());
    let name = "n".repeat(70_000);
    let path = folder.path().join("metrics.jsonl");
    fs::write(path, format!("{{\"step\":0,\"{name}\":1}}\n")).unwrap();
    assert!(summary_of(folder.path()).contains(&name));
}

/// Tasks of two scenarios; each is worth `base`, and one in `nth` is worth all.
fn evaluation(step: u64, mode: EvaluationMode, base: f64, nth: usize) -> Evaluation {
    let groups: Vec<_> = (0..40)
        .map(|index| {
            let value = if index % nth == 0 { 1.0 } else { base };
            let mut episode = episode();
            episode.task = format!("w-{index}");
            episode.scenario = ["multi-hop", "single-hop"][index % 2].into();
            episode.score.metrics = SOLVE_METRICS
                .map(|name| (name.to_owned(), value))
                .into_iter()
                .collect();
            Group {
                task: episode.task.clone(),
                episodes: vec![episode],
            }
        })
        .collect();
    Evaluation::of(step, mode, &groups)
}

fn before_and_after() -> (Vec<Evaluation>, Vec<Evaluation>) {
    use EvaluationMode::{Greedy, Sampled};
    let before = vec![
        evaluation(0, Greedy, 0.25, 7),
        evaluation(0, Sampled, 0.0, 7),
    ];
    let after = vec![
        evaluation(9, Greedy, 0.5, 5),
        evaluation(9, Sampled, 0.0, 3),
    ];
    (before, after)
}

#[test]
fn the_table_shows_both_modes() {
    let (before, after) = before_and_after();
    insta::assert_snapshot!(table(&before, &after, &SOLVE_METRICS, Breakdown::Whole));
}

#[test]
fn the_table_breaks_down_by_scenario() {
    let (before, after) = before_and_after();
    insta::assert_snapshot!(table(&before, &after, &["solve-f1"], Breakdown::Scenarios));
}

#[test]
fn a_table_of_other_tasks_says_that_it_is_empty() {
    let (before, _) = before_and_after();
    assert_eq!(report::shown_metrics(&before), SOLVE_METRICS);
    let empty = table(&before, &[], &SOLVE_METRICS, Breakdown::Whole);
    assert_eq!(empty, "no task was evaluated both before and after\n");
}

fn write_run(folder: &Path) {
    let config = "# Shows the summary.\nseed = 3\n\n[train]\nalgorithm = \"pact\"\nsteps = 2\n\
                  learning-rate = 0.1\n";
    fs::write(folder.join("config.toml"), config).unwrap();

    let metrics = "{\"step\":0,\"loss\":1.5,\"reward\":0.25,\"tokens\":1200,\"lift\":null}\n\
                   {\"step\":1,\"loss\":0.00001,\"reward\":0.5,\"tokens\":900,\"lift\":-0.5}\n";
    fs::write(folder.join("metrics.jsonl"), metrics).unwrap();

    let mut failed = episode();
    failed.stop = StopReason::TurnTokenLimit;
    failed.turns.truncate(1);
    let episodes = [episode(), episode(), failed].map(|episode| {
        let mut line = serde_json::to_value(episode).unwrap();
        line["step"] = 1.into();
        format!("{line}\n")
    });
    fs::write(folder.join("episodes.jsonl"), episodes.concat()).unwrap();

    let (before, after) = before_and_after();
    let lines = before.iter().chain(&after);
    let lines = lines.map(|of| serde_json::to_string(of).unwrap() + "\n");
    fs::write(folder.join("evaluations.jsonl"), lines.collect::<String>()).unwrap();
}

/// The summary without the line that names the temporary folder.
fn summary_of(folder: &Path) -> String {
    let summary = run_summary(folder).unwrap();
    summary.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn a_run_is_summed_up_on_a_page() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path());
    insta::assert_snapshot!(summary_of(folder.path()));
}

#[test]
fn a_run_that_has_just_begun_is_summed_up_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), "seed = 3\n").unwrap();
    let one = serde_json::to_string(&evaluation(0, EvaluationMode::Greedy, 0.25, 7)).unwrap();
    fs::write(folder.path().join("evaluations.jsonl"), one + "\n").unwrap();
    insta::assert_snapshot!(summary_of(folder.path()));
}

#[test]
fn episodes_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path());
    let run = RunFolder::open(folder.path()).unwrap();
    let first = run.episodes().unwrap().next().unwrap().unwrap();
    assert_eq!((first.step, first.episode), (1, episode()));

    fs::create_dir(folder.path().join("evaluations")).unwrap();
    let mut line = serde_json::to_value(episode()).unwrap();
    line["step"] = 12.into();
    let path = folder.path().join("evaluations/step-000012-greedy.jsonl");
    fs::write(path, format!("{line}\n")).unwrap();
    let mut evaluated = run.evaluated_episodes(12, EvaluationMode::Greedy).unwrap();
    assert_eq!(evaluated.next().unwrap().unwrap().episode, episode());
}

#[test]
fn a_line_cut_off_by_a_crash_is_no_line() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path());
    let path = folder.path().join("metrics.jsonl");
    let cut = fs::read_to_string(&path).unwrap() + "{\"step\":2,\"lo";
    fs::write(&path, cut).unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    assert_eq!(run.metrics().unwrap().len(), 2);
}

#[test]
fn a_broken_line_is_an_error_with_its_file_and_number() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path());
    let path = folder.path().join("evaluations.jsonl");
    let broken = fs::read_to_string(&path).unwrap() + "{\"step\":2}\n";
    fs::write(&path, broken).unwrap();
    let error = run_summary(folder.path()).unwrap_err();
    assert!(matches!(error, ReportError::Line { line: 5, .. }));
    let message = error.to_string();
    assert!(
        message.contains("missing field `mode`") && message.contains("expected an evaluation"),
        "{message}"
    );
}

#[test]
fn a_folder_without_a_config_is_not_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let error = run_summary(folder.path()).unwrap_err();
    assert!(matches!(error, ReportError::NotARun { .. }));
    assert!(error.to_string().contains("hint: "));
}

fn trace() -> (Task, Trace) {
    let task = Task {
        id: "w-7".into(),
        scenario: "multi-hop".into(),
        messages: vec![
            Message::new(Role::System, "Be brief."),
            Message::new(Role::User, "Call tools.\nQuestion: who?"),
        ],
        tools: vec![],
        answer: None,
        calls: CallFormat::Tagged,
    };
    let call = |name: &str| ToolCall {
        name: name.into(),
        arguments: serde_json::from_str(r#"{"name":"Ann","year":3}"#).unwrap(),
    };
    let turn = |calls: &[&str], results: &[&str]| TraceTurn {
        reasoning: String::new(),
        calls: calls.iter().map(|name| call(name)).collect(),
        results: results.iter().map(|&text| text.into()).collect(),
        ..TraceTurn::default()
    };
    let trace = Trace {
        task: "w-7".into(),
        source: "gold-calls".into(),
        verified: Some(true),
        turns: vec![
            turn(&["find", "ask"], &["nobody\x1b[2J", "one\n\ntwo"]),
            turn(&["find"], &[""]),
        ],
        answer_reasoning: String::new(),
        answer: Some("Nobody.\nSorry.".into()),
    };
    (task, trace)
}

#[test]
fn a_trace_is_shown_turn_by_turn_with_its_segments_of_reasoning_numbered() {
    let (task, trace) = trace();
    let cut = |segments: &[&str]| segments.iter().map(|&text| text.into()).collect();
    let reasoning = [
        cut(&["<think>\nWho is it? ", "Ask\nboth.\n</think>"]),
        cut(&[]),
        cut(&["<think>\nNobody.\n</think>"]),
    ];
    insta::assert_snapshot!(trace_text(&task, &trace, &reasoning, false));
    insta::assert_snapshot!(
        format!("{:?}", trace_text(&task, &trace, &reasoning, true)).replace("\\n", "\n")
    );
}

#[test]
fn a_trace_says_that_nobody_replayed_it_and_that_it_has_no_answer() {
    let (task, _) = trace();
    let text = trace_text(&task, &Trace::default(), &[], false);
    insta::assert_snapshot!(text, @r"
    task w-7 (multi-hop), of unknown source, never replayed
    Call tools.
    Question: who?

    -- no answer
    ");
}
