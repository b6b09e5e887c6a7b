//! Runs as they are watched: on a terminal of their own, and where there is none.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Place, QUICK, pact};

/// What `pact` with these arguments did on a terminal where keys were pressed: each of `steps` is
/// `GLOB:TEXT=KEYS`, pressed when the text is in such a file.
fn on_a_terminal(place: &Place, steps: &[&str], arguments: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pact/terminal.py");
    let mut python = std::process::Command::new("python3");
    python.arg(script).args(steps).arg("--");
    python.arg(env!("CARGO_BIN_EXE_pact"));
    python.args(arguments.split_whitespace());
    let outcome = place.run(&mut python);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome.json()
}

/// The picture came, went, and left the terminal as it was; what follows it.
fn after_the_picture(shown: &Value) -> String {
    assert_eq!(shown["is_restored"], json!(true), "{shown}");
    let output = shown["output"].as_str().expect("a text");
    let (_, picture) = output.split_once("\x1b[?1049h").expect("the picture");
    let (picture, after) = picture.split_once("\x1b[?1049l").expect("its end");
    assert!(picture.contains("rollouts"), "{picture}");
    after.to_owned()
}

fn a_place_with_a_long_run() -> Place {
    let place = Place::new();
    let long = QUICK.replace("steps = 2", "steps = 100000");
    place.write(
        "run.toml",
        &long.replace("checkpoint-every = 1", "checkpoint-every = 0"),
    );
    place
}

#[test]
fn keys_pause_save_and_stop_a_run_and_the_terminal_is_given_back() {
    let place = a_place_with_a_long_run();
    let steps = [
        "out/metrics.jsonl:step=p",
        "out/status.json:paused=c",
        "out/checkpoints/step-*/state.json:step=s",
    ];
    let shown = on_a_terminal(&place, &steps, "train run.toml --run out");
    let after = after_the_picture(&shown);
    assert_eq!(shown["code"], json!(130), "{after}");
    // The checkpoint was written while the run was paused: it is the one that it stopped with.
    let steps = place.read("out/metrics.jsonl").lines().count();
    let stopped = format!("interrupted; `out/checkpoints/step-{steps:06}` is written");
    assert!(after.contains(&stopped), "{after}");
    let checkpoints = std::fs::read_dir(place.path("out/checkpoints")).expect("a folder");
    assert_eq!(checkpoints.count(), 1);
    // What the picture hid is in the log.
    assert!(
        place
            .read("out/log.jsonl")
            .contains("evaluation after 0 steps, greedy")
    );
}

#[test]
fn a_second_interrupt_ends_the_run_at_once_and_gives_the_terminal_back_too() {
    let place = a_place_with_a_long_run();
    let steps = ["out/metrics.jsonl:step=\x03\x03"];
    let shown = on_a_terminal(&place, &steps, "train run.toml --run out");
    let after = after_the_picture(&shown);
    assert_eq!(shown["code"], json!(130), "{after}");
    assert!(!after.contains("is written"), "{after}");
}

#[test]
fn a_run_that_ends_prints_its_table_below_what_was_there() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    let shown = on_a_terminal(&place, &[], "train run.toml --run out");
    let after = after_the_picture(&shown);
    assert_eq!(shown["code"], json!(0), "{after}");
    assert!(
        after.contains("95% interval") && after.contains("resume "),
        "{after}"
    );

    let shown = on_a_terminal(&place, &["out/config.toml:=?eq"], "watch out");
    let after = after_the_picture(&shown);
    assert_eq!(after.replace("\x1b[?25h", ""), "", "nothing but the cursor");
    assert_eq!(shown["code"], json!(0));
}

#[test]
fn a_run_is_plain_lines_where_that_is_asked_for_or_the_terminal_is_dumb() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    let shown = on_a_terminal(&place, &[], "train run.toml --run out --plain");
    let output = shown["output"].as_str().expect("a text");
    assert!(!output.contains("\x1b[?1049h"), "{output}");
    assert!(output.contains("step    2/2"), "{output}");
}

#[test]
fn a_run_is_watched_as_text_where_there_is_no_terminal() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    place.pact("train run.toml --run out").done();
    let text = place.pact("watch out --once").done();
    assert_eq!(text.lines().count(), 40);
    assert!(
        text.contains("step 2 of 2") && text.contains("prompt: <|im_start|>"),
        "{text}"
    );

    let message = place.pact("watch out").refused(2);
    assert_eq!(
        message,
        "error: this is no terminal that can be drawn on\n\
         hint: `--once` prints how the run stands as plain text\n"
    );
    let message = place.pact("watch . --once").refused(1);
    assert!(message.contains("is not a run folder"), "{message}");
}

/// What every form of table can tell of a row: not that something is null, nor that a number is
/// whole.
fn known(row: &Map<String, Value>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (name, value) in row {
        let known = match value {
            Value::Null => continue,
            Value::Object(fields) => json!(known(fields)),
            Value::Number(number) => json!(number.as_f64()),
            other => other.clone(),
        };
        all.insert(name.clone(), known);
    }
    all
}

#[test]
fn a_run_is_exported_as_tables_and_as_an_event_file() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    place.pact("train run.toml --run out").done();
    let told = place.pact("export out --to csv --out tables").done();
    assert_eq!(
        told,
        "wrote 2 rows to `tables/metrics.csv`\nwrote 8 rows to `tables/episodes.csv`\n"
    );
    let metrics = place.read("tables/metrics.csv");
    assert!(
        metrics.starts_with("step,reward,") && metrics.contains("\r\n1,"),
        "{metrics}"
    );
    place.pact("export out --to jsonl --out tables").done();
    let episodes = place.read("tables/episodes.jsonl");
    let first = episodes.lines().next().expect("an episode");
    let first: Value = serde_json::from_str(first).expect("JSON");
    assert!(
        first["reward"].is_number() && first["metrics"]["solve-f1"].is_number(),
        "{first}"
    );
    assert!(first.get("segments").is_none());

    place.pact("export out --to tensorboard --out board").done();
    let size = |folder: &str| {
        let files = std::fs::read_dir(place.path(folder)).expect(folder);
        let files: Vec<_> = files.map(|file| file.expect("a file")).collect();
        assert_eq!(files.len(), 1, "{folder}");
        files[0].metadata().expect("its size").len()
    };
    assert_eq!(
        size("board"),
        size("out/tensorboard"),
        "as written while it went on"
    );

    let mut off = pact();
    off.args([
        "train",
        "run.toml",
        "--run",
        "off",
        "--set",
        "train.tensorboard=false",
    ]);
    place.run(&mut off).done();
    assert!(!place.path("off/tensorboard").exists());
    let parquet = place.pact("export out --to parquet --out tables");
    if cfg!(feature = "parquet") {
        let told = parquet.done();
        assert!(
            told.contains("wrote 8 rows to `tables/episodes.parquet`"),
            "{told}"
        );
        for table in ["metrics", "episodes"] {
            let [lines, parquet] = ["jsonl", "parquet"].map(|ending| {
                let file = place.path(&format!("tables/{table}.{ending}"));
                let rows = env::read_table(&file).expect("a table");
                rows.iter().map(known).collect::<Vec<_>>()
            });
            assert_eq!(parquet, lines, "{table}");
        }
    } else {
        let message = parquet.refused(1);
        assert!(
            message.contains("this pact was built without Parquet\nhint: "),
            "{message}"
        );
    }
}
