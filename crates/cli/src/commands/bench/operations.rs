//! `pact bench operations`: every operation of a pass, held to the same in f64; then whole passes.

use anyhow::Result;
use model::{Model, Place};
use serde_json::{Map, json};

use super::measurement::table;
use crate::args::BenchOperations;
use crate::engine;
use crate::exit::Exit;

/// What rounding explains: of f32, and of bfloat16 on a card.
fn allowed(device: Place) -> f64 {
    match device {
        Place::Cpu => 1e-5,
        Place::Cuda(_) => 1e-2,
    }
}

pub(super) fn run(arguments: &BenchOperations) -> Result<Exit> {
    let (device, cubins) = (arguments.device, engine::compiled());
    let mut checked = Model::check_operations(device, &cubins)?;
    checked.extend(Model::check_passes(device, &cubins)?);
    let allowed = allowed(device);
    // An error that is no number is too large.
    let is_right = |error: f64| error <= allowed;
    let rows: Vec<[String; 3]> = (checked.iter())
        .map(|it| {
            let verdict = if is_right(it.error) { "" } else { "too far" };
            [
                it.operation.to_owned(),
                format!("{:.1e}", it.error),
                verdict.to_owned(),
            ]
        })
        .collect();
    let mut json = Map::new();
    for it in &checked {
        json.insert(it.operation.to_owned(), json!(it.error));
    }
    super::print(arguments.json, json, &table(&rows))?;
    Ok(match checked.iter().all(|it| is_right(it.error)) {
        true => Exit::Done,
        false => Exit::Failed,
    })
}
