//! Runs of the real binary that are killed at random moments, stopped, and refused their disk:
//! gone on with, they end as the run that nothing happened to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use episode::Seed;
use serde_json::{Map, Value};

use super::{Place, QUICK, pact};

/// Kills in the continuous integration; `PACT_KILLS` asks for more.
const KILLS: u64 = 25;

fn place() -> Place {
    let place = Place::new();
    place.write("run.toml", &QUICK.replace("steps = 2", "steps = 3"));
    place
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test takes the time of a process"
)]
fn now() -> Instant {
    Instant::now()
}

/// Begins the run in a folder, or goes on with it where there is one.
fn start(place: &Place, run: &str) -> Child {
    let mut command = pact();
    command.arg("train").arg("--run").arg(run);
    match place.path(run).join("config.toml").exists() {
        true => command.arg("--resume"),
        false => command.arg("run.toml"),
    };
    command
        .current_dir(place.folder.path())
        .stdout(Stdio::null());
    command
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// What a run has to show, whoever wrote it and however often it was stopped: all but the files
/// that tell of processes, and times and memory among the numbers.
fn lasting(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![run.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(run).expect("below the run").to_owned();
            let of_process = [
                "lock",
                "log.jsonl",
                "run.json",
                "status.json",
                "tensorboard",
            ];
            // They say how long metrics.jsonl is, whose times have more digits or fewer.
            let of_length = ["state.json", "manifest.json"];
            let last = name.file_name().expect("it has a name").to_string_lossy();
            if of_process.iter().any(|it| last.starts_with(it)) || of_length.contains(&&*last) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).expect("a file");
            let bytes = match &*last {
                "metrics.jsonl" => without_times(&bytes),
                _ => bytes,
            };
            files.insert(name, bytes);
        }
    }
    files
}

fn without_times(metrics: &[u8]) -> Vec<u8> {
    let metrics = std::str::from_utf8(metrics).expect("metrics are text");
    let of_process = |name: &str| {
        name.starts_with("seconds") || name.starts_with("memory") || name.contains("per-second")
    };
    let lines = metrics.lines().map(|line| {
        let mut line: Map<String, Value> = serde_json::from_str(line).expect("a step's numbers");
        line.retain(|name, _| !of_process(name));
        serde_json::to_string(&line).expect("JSON") + "\n"
    });
    lines.collect::<String>().into_bytes()
}

fn assert_same(place: &Place, unbroken: &BTreeMap<PathBuf, Vec<u8>>, run: &str, story: &str) {
    let found = lasting(&place.path(run));
    let names: Vec<_> = found.keys().collect();
    assert_eq!(names, unbroken.keys().collect::<Vec<_>>(), "{story}");
    for (name, bytes) in unbroken {
        assert!(
            found[name] == *bytes,
            "`{}` differs: {story}",
            name.display()
        );
    }
}

fn stderr(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.expect("`kill` starts").success());
}

/// Kills runs until it was done `kills` times: each at random moments, with SIGKILL and now and
/// then with SIGTERM, until it gets to its end.
fn kill_and_compare(kills: u64, seed: Seed) {
    let place = place();
    let began = now();
    place.pact("train run.toml --run unbroken").done();
    let whole = began.elapsed();
    let unbroken = lasting(&place.path("unbroken"));
    assert!(
        unbroken
            .keys()
            .any(|name| name.ends_with("model.safetensors"))
    );
    assert!(unbroken[Path::new("metrics.jsonl")].len() > 100);

    let (mut killed, mut asked, mut begun_again, mut runs) = (0, 0, 0, 0);
    while killed < kills {
        let run = format!("broken-{runs}");
        let mut story = String::new();
        for attempt in 0.. {
            let dice = seed.child(runs).child(attempt).0;
            let moment = whole.mul_f64(1.1 * (dice % 1000) as f64 / 1000.0);
            let is_begun = place.path(&run).join("config.toml").exists();
            begun_again += u64::from(!is_begun && attempt > 0);
            let mut child = start(&place, &run);
            std::thread::sleep(moment);
            let ended = child.try_wait().expect("a process");
            if ended.is_none() && (dice >> 32).is_multiple_of(5) {
                asked += 1;
                story += &format!("asked to stop after {moment:?}; ");
                send("-TERM", &child);
            } else if ended.is_none() {
                killed += 1;
                story += &format!("killed after {moment:?}; ");
                child.kill().expect("it runs");
            }
            let status = child.wait().expect("it ends");
            let text = stderr(child);
            match status.code() {
                Some(0) => break,
                // Before pact listens, a signal ends it as any process.
                Some(130) | None => {}
                code => panic!("{code:?}: {story}\n{text}"),
            }
        }
        assert_same(&place, &unbroken, &run, &story);
        fs::remove_dir_all(place.path(&run)).expect("the run");
        runs += 1;
    }
    println!(
        "{killed} times killed and {asked} times asked to stop, in {runs} runs of {:.2} s; \
         {begun_again} times before there was a run; all equal the unbroken one; {:.0} s",
        whole.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
}

#[test]
fn a_run_that_is_killed_at_random_moments_ends_as_an_unbroken_one() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is asked for more this way"
    )]
    let asked = std::env::var("PACT_KILLS").ok();
    let kills = asked.map_or(KILLS, |it| it.parse().expect("`PACT_KILLS` is a number"));
    kill_and_compare(kills, Seed(7));
}

/// A file system in memory, of a size that is set.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None` where this process may mount nothing.
    fn mount(path: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir(&path).expect("a folder");
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&path);
        let mounted = command.stderr(Stdio::null()).status();
        mounted
            .is_ok_and(|it| it.success())
            .then_some(Self { path })
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let mounted = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.path)
            .status();
        assert!(mounted.expect("`mount` starts").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A test that fails has more to say than this.
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

#[test]
fn a_run_whose_disk_is_full_or_read_only_says_so_and_goes_on_when_it_is_not() {
    let place = place();
    let Some(disk) = SmallDisk::mount(place.path("disk"), "size=25m") else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    place.pact("train run.toml --run unbroken").done();
    let unbroken = lasting(&place.path("unbroken"));
    // A checkpoint takes 10 MB; two are kept while the third is written.
    let message = place.pact("train run.toml --run disk/run");
    assert_eq!(message.code, Some(1), "{}", message.stderr);
    assert!(
        message.stderr.contains("No space left on device"),
        "{}",
        message.stderr
    );
    assert!(
        message.stderr.contains("\nhint: free some"),
        "{}",
        message.stderr
    );

    disk.remount("ro,size=25m");
    let message = place.pact("train --run disk/run --resume");
    assert_eq!(message.code, Some(1), "{}", message.stderr);
    assert!(
        message.stderr.contains("Read-only file system"),
        "{}",
        message.stderr
    );

    disk.remount("rw,size=60m");
    place.pact("train --run disk/run --resume").done();
    assert_same(
        &place,
        &unbroken,
        "disk/run",
        "its disk was full, then read-only",
    );
}

#[test]
fn a_second_process_on_a_run_is_refused_with_the_firsts_number() {
    let place = place();
    place.write("run.toml", &QUICK.replace("steps = 2", "steps = 100000"));
    let mut first = start(&place, "out");
    while !place.path("out/metrics.jsonl").exists() {
        assert!(first.try_wait().expect("a process").is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    let message = place.pact("train --run out --resume").refused(1);
    let holder = format!("`out/lock` is held by process {}\nhint: ", first.id());
    assert!(message.contains(&holder), "{message}");
    place.pact("show out").done();
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    // The lock goes with its process.
    let go_on = "train --run out --resume --allow-changed --set train.steps=1";
    place.pact(go_on).done();
}

#[test]
fn what_a_run_goes_on_with_is_compared_with_what_it_began_with() {
    let place = Place::new();
    place.make_world(4);
    place.write("run.toml", QUICK);
    place.pact("train run.toml --run out").done();
    let message = place
        .pact("train --run out --resume --set train.steps=3 --set data.train.world.tasks=5")
        .refused(2);
    let expected = [
        "error: `out` would not go on as what it was:\n",
        "\n  `data.train.world.tasks` was 4, and is 5\n",
        "\n  `train.steps` was 2, and is 3\n",
        "\n  the training data is not what it was: other content\n",
        "\nhint: `--allow-changed` goes on with this",
    ];
    for part in expected {
        assert!(message.contains(part), "{message}");
    }
    let metrics = place.read("out/metrics.jsonl");

    // What cannot matter is said.
    let quiet = "train --run out --resume --set train.keep-checkpoints=1";
    let outcome = place.pact(quiet);
    let note = "note: `train.keep-checkpoints` was 2, and is 1\n";
    assert!(outcome.stderr.contains(note), "{}", outcome.stderr);
    outcome.done();
    assert_eq!(place.read("out/metrics.jsonl"), metrics);

    let allowed = "train --run out --resume --set train.steps=3 --allow-changed";
    let outcome = place.pact(allowed);
    assert!(
        outcome
            .stderr
            .contains("note: `train.steps` was 2, and is 3\n")
    );
    outcome.done();
    let record: Value = serde_json::from_str(&place.read("out/run.json")).expect("JSON");
    let sessions = record["sessions"].as_array().expect("a list");
    let steps: Vec<_> = sessions.iter().map(|it| it["step"].as_u64()).collect();
    assert_eq!(steps, [Some(0), Some(2), Some(2)]);
    assert_eq!(sessions[2]["changes"][0], "`train.steps` was 2, and is 3");
    assert_eq!(record["config"]["train.steps"], "3");

    // Another program, as if pact had been built again.
    let other = "0".repeat(64);
    let binary = sessions[2]["binary"].as_str().expect("a digest");
    place.write("out/run.json", &record.to_string().replace(binary, &other));
    let message = place.pact("train --run out --resume").refused(2);
    let program = format!(
        "(000000000000), and is pact {} (",
        env!("CARGO_PKG_VERSION")
    );
    assert!(message.contains(&program), "{message}");
}

#[test]
fn a_run_of_a_later_form_is_refused_by_writer_and_reader() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    place
        .pact("train run.toml --run out --set train.steps=1")
        .done();
    place.write("out/run.json", r#"{"format": 9, "sessions": "elsewhere"}"#);
    for command in ["train --run out --resume", "show out"] {
        let message = place.pact(command).refused(1);
        let expected = "`out/run.json`: this run folder is of format 9, and this pact knows \
                        formats up to 1\nhint: ";
        assert!(message.contains(expected), "{command}: {message}");
    }
}
