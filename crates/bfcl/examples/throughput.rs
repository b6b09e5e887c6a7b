//! Executes the accepted calls of every dialogue in fresh instances, again and again on one
//! thread, and prints one JSON object: `{"calls": …, "seconds": …}`. Reading the data set is not
//! counted.
//!
//!     cargo run --release -p bfcl --example throughput -- DATA SECONDS

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bfcl::Group;
use bfcl::executor::Instances;
use bfcl::records::{DataSet, Truth};
use bfcl::tables::Tables;
use python::Value;

#[expect(clippy::disallowed_methods, reason = "an example is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds] = arguments.as_slice() else {
        return Err("expected the data set's folder and for how many seconds to execute".into());
    };
    let seconds: f64 = seconds.parse()?;
    let data = DataSet::new(folder);
    let tables = Arc::new(Tables::load(Path::new(folder))?);
    let mut dialogues = Vec::new();
    for category in Group::MultiTurn.categories() {
        for record in data.load(category)? {
            let config = Value::from(&serde_json::Value::Object(record.config.clone()));
            dialogues.push((record, config));
        }
    }

    let mut calls = 0;
    let start = Instant::now();
    let mut forever = dialogues.iter().cycle();
    while start.elapsed().as_secs_f64() < seconds {
        let (record, config) = forever.next().ok_or("the data set has no dialogue")?;
        let config = config.as_dict().ok_or("a config is an object")?;
        let long_context = record.id.contains("long_context");
        let mut instances = Instances::open(&record.classes, config, long_context, &tables)?;
        let Truth::Calls(turns) = &record.truth else {
            continue;
        };
        for call in turns.iter().flatten() {
            instances.execute(call);
            calls += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({"calls": calls, "seconds": seconds})
    );
    Ok(())
}
