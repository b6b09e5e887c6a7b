//! The memories against what the original answered, where the machine has its recordings.

use std::fs;
use std::path::Path;

use bfcl::backend::Backend;
use bfcl::executor::Instances;
use bfcl::memory::{KeyValueMemory, Memory, SummaryMemory};
use serde_json::Value;

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn episodes() -> Vec<Value> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let file = Path::new(&root).join("bfcl/oracles/memory_oracle.jsonl");
    let Ok(text) = fs::read_to_string(file) else {
        println!("skipped: PACT_DATA not found");
        return Vec::new();
    };
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn empty(backend: &str) -> Box<dyn Memory> {
    match backend {
        "kv" => Box::new(KeyValueMemory::default()),
        "rec_sum" => Box::new(SummaryMemory::default()),
        other => panic!("a recording of `{other}`, which is unknown"),
    }
}

fn memory_of(instances: &Instances) -> &dyn Memory {
    instances.backends()[0].memory().unwrap()
}

#[test]
fn every_recorded_call_of_a_memory_gives_what_the_original_gave() {
    let mut compared = 0;
    for episode in episodes() {
        let name = format!("{} {}", episode["backend"], episode["episode"]);
        let memory = empty(episode["backend"].as_str().unwrap());
        assert_eq!(memory.context(), episode["context_empty"], "{name}");
        let mut instances = Instances::new(vec![memory as Box<dyn Backend>]);
        for call in episode["calls"].as_array().unwrap() {
            let result = instances.execute(call[0].as_str().unwrap());
            assert_eq!(result, call[1], "{name}: {}", call[0]);
            compared += 1;
        }
        let memory = memory_of(&instances);
        assert_eq!(memory.context(), episode["context_final"], "{name}");
        assert_eq!(memory.snapshot(), episode["snapshot_text"], "{name}");
    }
    println!("{compared} calls");
}

#[test]
fn a_memory_goes_on_from_every_recorded_snapshot() {
    for episode in episodes() {
        let snapshot = episode["snapshot_text"].as_str().unwrap();
        let mut memory = empty(episode["backend"].as_str().unwrap());
        memory.load(snapshot).unwrap();
        assert_eq!(memory.snapshot(), snapshot);
        assert_eq!(memory.context(), episode["context_final"]);
    }
}
