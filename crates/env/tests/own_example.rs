//! The example of a Python file: everything that its tasks say is so.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use env::own::{Accept, OwnSuite, PythonTools, Toolbox, check_file};
use env::{Suite, replay};
use episode::StopReason;
use sandbox::{Pool, PythonConfig, SandboxConfig};

#[test]
fn the_library_is_checked_and_its_traces_are_replayed() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/library");
    let pool = Pool::new(PythonConfig::default(), SandboxConfig::default()).unwrap();
    let tools = PythonTools::load("python", &folder.join("tools.py"), pool).unwrap();
    let toolboxes: Vec<Arc<dyn Toolbox>> = vec![Arc::new(tools)];
    let tasks = folder.join("tasks.jsonl");
    let report = check_file(&tasks, &toolboxes).unwrap();
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(report.tools, 4);

    let suite = OwnSuite::load(&tasks, toolboxes, Accept::default()).unwrap();
    assert_eq!(suite.traces().len(), suite.tasks().len());
    for trace in suite.traces() {
        let report = replay(&suite, trace);
        assert_eq!(report.problems(trace), [""; 0], "task {}", trace.task);
        assert_eq!(report.score.metrics["said"], 1.0);
    }
    for task in suite.tasks() {
        let mut idle = suite.open(task);
        idle.close(StopReason::Answered, &[]);
        assert_eq!(idle.score().reward, 0.0, "task {}", task.id);
    }
}
