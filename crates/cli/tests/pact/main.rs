//! The real binary, run as people run it: what it prints, what it refuses, how it ends.

mod bad_input;
mod bench;
mod book;
mod compare;
mod convert;
mod data;
mod endpoint;
mod eval;
mod fetch;
mod gpu;
mod help;
mod kill;
mod study;
mod suites;
mod trace;
mod training;
mod view;
mod watch;
mod workers;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder to run `pact` in.
struct Place {
    folder: TempDir,
}

/// What a run of `pact` came to.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        fs::write(path, text).expect("a file of the test's folder");
        self
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs `pact` with these arguments, cut at white space.
    fn pact(&self, arguments: &str) -> Outcome {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        self.run(pact().args(arguments))
    }

    /// Runs a line of a shell that finds `pact`.
    fn shell(&self, line: &str) -> Outcome {
        let binary = Path::new(env!("CARGO_BIN_EXE_pact"));
        let mut folders = vec![binary.parent().expect("a file lies in a folder").to_owned()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&path));
        let path = std::env::join_paths(folders).expect("paths without a colon");
        let mut shell = plain(Command::new("sh"));
        self.run(shell.args(["-c", line]).env("PATH", path))
    }

    fn run(&self, command: &mut Command) -> Outcome {
        let output: Output = command
            .current_dir(self.folder.path())
            .output()
            .expect("the binary starts");
        let text = |bytes| String::from_utf8(bytes).expect("pact prints UTF-8");
        Outcome {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Makes `tasks.jsonl` and `traces.jsonl`.
    fn make_world(&self, tasks: usize) {
        self.pact(&format!(
            "data make world --tasks {tasks} --seed 3 --out tasks.jsonl --traces traces.jsonl"
        ))
        .done();
    }
}

fn pact() -> Command {
    plain(Command::new(env!("CARGO_BIN_EXE_pact")))
}

/// Without what whoever runs the tests may have set.
fn plain(mut command: Command) -> Command {
    command.env_remove("RUST_LOG");
    command.env_remove("PACT_INSTRUCTIONS");
    command.env("COLUMNS", "100");
    command
}

impl Outcome {
    /// The standard output of a run that went well.
    fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The message of a run that ended in `code`.
    fn refused(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "", "results of work that failed");
        self.stderr
    }

    fn json(self) -> serde_json::Value {
        let text = self.done();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// A config that trains a random model for two steps in a second or two.
const QUICK: &str = "
[data.train.world]
tasks = 4
[data.eval.world]
tasks = 3
split = \"test\"
[rollout]
group-size = 2
max-turns = 2
max-turn-tokens = 6
max-tokens = 600
[train]
steps = 2
prompts-per-step = 2
checkpoint-every = 1
";

/// The repository's own base, whose tokenizer the tests use as anybody's.
fn base() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../base"))
}
