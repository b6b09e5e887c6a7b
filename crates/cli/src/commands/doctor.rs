//! `pact doctor`: what this machine has for a run, and what it lacks.

use anyhow::Result;
use model::{ModelError, Place};
use serde_json::json;

use crate::args::Doctor;
use crate::exit::Exit;
use crate::{config_file, engine};

/// Optional parts, and whether this program has them.
const PARTS: [(&str, bool); 5] = [
    ("cuda", cfg!(feature = "cuda")),
    ("mcp", cfg!(feature = "mcp")),
    ("parquet", cfg!(feature = "parquet")),
    ("search", cfg!(feature = "search")),
    ("vector", cfg!(feature = "vector")),
];

pub(crate) fn run(arguments: &Doctor) -> Result<Exit> {
    let config = config_file::read(arguments.config.as_deref(), &arguments.set)?;
    // The rest of what this machine has is told all the same: not every suite needs Python.
    let report = sandbox::doctor(&config.python, &config.sandbox);
    let report = report.map_err(|error| error.to_string());
    let threads = std::thread::available_parallelism()?.get();
    let instructions = model::Instructions::current();
    let card = card(config.engine.device)?;
    let text = match arguments.json {
        true => {
            let parts: serde_json::Map<_, _> = (PARTS.iter())
                .map(|(name, built)| ((*name).to_owned(), json!(built)))
                .collect();
            let all = json!({
                "threads": threads,
                "instructions": instructions.name(),
                "card": card,
                "parts": parts,
                "sandbox": match &report {
                    Ok(report) => json!(report),
                    Err(missing) => json!({ "missing": missing }),
                },
            });
            format!("{all}\n")
        }
        false => {
            let parts = |wanted: bool| {
                let named = PARTS.iter().filter(|(_, built)| *built == wanted);
                let names: Vec<&str> = named.map(|(name, _)| *name).collect();
                match names.is_empty() {
                    true => "none".to_owned(),
                    false => names.join(", "),
                }
            };
            let sandbox = match &report {
                Ok(report) => report.to_string(),
                Err(missing) => format!("python        MISSING: {missing}\n"),
            };
            format!(
                "threads       {threads}\ninstructions  {}\ncard          {card}\nbuilt with    {}\nbuilt without {}\n{sandbox}",
                instructions.name(),
                parts(true),
                parts(false)
            )
        }
    };
    super::print(&text)?;
    Ok(match report {
        Ok(report) if report.missing.is_none() => Exit::Done,
        _ => Exit::Failed,
    })
}

/// The card in a line. A machine without one lacks nothing, unless the config asks for it.
fn card(asked: Place) -> Result<String, ModelError> {
    let look = |place: Place| Ok(place.look(&engine::compiled())?.map(|(card, _)| card));
    match asked {
        Place::Cpu => Ok(match look(Place::Cuda(0)) {
            Ok(card) => card.unwrap_or_default(),
            Err(error) => {
                let error: ModelError = error;
                let text = error.to_string();
                format!("none: {}", text.lines().next().unwrap_or_default())
            }
        }),
        asked => look(asked).map(Option::unwrap_or_default),
    }
}
