//! Scores every model's result files below a folder, and prints one JSON object:
//! `{model: {record: error type, or null where it is valid}}`.
//!
//!     cargo run --release -p bfcl --example score -- DATA RESULTS

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use bfcl::checker::Rule;
use bfcl::score::score_results;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [data, results] = arguments.as_slice() else {
        return Err("expected the data set's folder and a folder of models' results".into());
    };
    let mut models = BTreeMap::new();
    for entry in fs::read_dir(results)? {
        let folder = entry?.path();
        if !folder.is_dir() {
            continue;
        }
        let report = score_results(data, &folder, None)?;
        let records = report.categories.into_iter().flat_map(|it| it.records);
        let errors: BTreeMap<String, Option<&str>> = records
            .map(|record| (record.id, record.failure.map(|it| Rule::name(it.rule))))
            .collect();
        let name = folder.file_name().unwrap_or_default();
        models.insert(name.to_string_lossy().into_owned(), errors);
    }
    println!("{}", serde_json::to_string(&models)?);
    Ok(())
}
