//! `pact export`: a run for other programs.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};
use report::{Row, RunFolder, Tensorboard};

use crate::args::{Export, ExportForm};
use crate::clock;
use crate::exit::Exit;

pub(crate) fn run(arguments: &Export) -> Result<Exit> {
    let run = RunFolder::open(&arguments.run)?;
    let out = &arguments.out;
    match arguments.to {
        ExportForm::Tensorboard => {
            let now = clock::since_1970();
            Tensorboard::begin(out, &arguments.run, 0, now)?.follow(now)?;
            super::print(&format!("wrote an event file into `{}`\n", out.display()))?;
        }
        ExportForm::Csv => write(out, &run, "csv", &|file, rows| {
            fs::write(file, report::csv(rows)).map_err(|error| in_file(file, &error))
        })?,
        ExportForm::Parquet => write(out, &run, "parquet", &write_table)?,
        ExportForm::Jsonl => write(out, &run, "jsonl", &write_table)?,
    }
    Ok(Exit::Done)
}

/// Writes both tables, each by `write_rows`.
fn write(
    out: &Path,
    run: &RunFolder,
    ending: &str,
    write_rows: &dyn Fn(&Path, &[Row]) -> Result<()>,
) -> Result<()> {
    fs::create_dir_all(out).map_err(|error| in_file(out, &error))?;
    let tables = [
        ("metrics", report::step_rows(run)?),
        ("episodes", report::episode_rows(run)?),
    ];
    for (name, rows) in tables {
        let file = out.join(format!("{name}.{ending}"));
        write_rows(&file, &rows)?;
        let (rows, file) = (rows.len(), file.display());
        super::print(&format!("wrote {rows} rows to `{file}`\n"))?;
    }
    Ok(())
}

fn write_table(file: &Path, rows: &[Row]) -> Result<()> {
    Ok(env::write_table(file, rows)?)
}

fn in_file(path: &Path, error: &std::io::Error) -> anyhow::Error {
    anyhow!("`{}`: {error}", path.display())
}
