//! The example of an environment behind HTTP: its tasks are those of the Python file, and so is
//! what comes of them.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;

use env::own::{Accept, OwnSuite};
use env::{Suite, replay};
use remote::http_env::HttpTools;

use super::{config, no_variables};

/// A server that is ended with the test.
struct Listening(Child);

impl Drop for Listening {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_library_behind_http_solves_what_its_traces_solve() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/library");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut command = Command::new("python3");
    command.arg(folder.join("server.py")).arg(port.to_string());
    let Ok(server) = command.spawn() else {
        println!("skipped: no python3");
        return;
    };
    let _server = Listening(server);
    let config = remote::http_env::HttpConfig {
        // A fresh interpreter takes a while to listen.
        retries: 8,
        ..config(format!("http://127.0.0.1:{port}"))
    };
    let tools = HttpTools::connect("library", &config, &no_variables);
    let tools = tools.unwrap_or_else(|error| panic!("{error}"));
    let tasks = folder.join("tasks.jsonl");
    let suite = OwnSuite::load(&tasks, vec![Arc::new(tools)], Accept::default());
    let suite = suite.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(suite.traces().len(), suite.tasks().len());
    for trace in suite.traces() {
        let report = replay(&suite, trace);
        assert_eq!(report.problems(trace), [""; 0], "task {}", trace.task);
        assert_eq!(report.score.metrics["met"], 1.0);
    }
}
