//! `pact report`: runs as one page to read.

use std::fs;

use anyhow::{Result, anyhow};
use report::{Decode, Page, PageRun};

use crate::args::{NamedRun, Report, ReportForm};
use crate::config::RunConfig;
use crate::exit::{Exit, UsageError};
use crate::tokenizer;

pub(crate) fn run(arguments: &Report) -> Result<Exit> {
    if arguments.out.is_none() && arguments.format == ReportForm::Html {
        return Err(UsageError(
            "a page for a browser needs a file\nhint: `-o run.html`, or `--format md` for the \
             terminal"
                .to_owned(),
        )
        .into());
    }
    let runs = arguments.runs.iter().map(page_run);
    let runs = runs.collect::<Result<Vec<_>>>()?;
    // As text, in which a run's own config stands too.
    let defaults = super::config::to_toml(&RunConfig::default());
    let defaults = defaults.parse().expect("a config is TOML");
    let page = Page::read(&runs, &defaults)?;
    let text = match arguments.format {
        ReportForm::Html => page.to_html(),
        ReportForm::Md => page.to_markdown(),
        ReportForm::Json => page.to_json(),
    };
    match &arguments.out {
        None => super::print(&text)?,
        Some(file) => {
            fs::write(file, text).map_err(|error| anyhow!("`{}`: {error}", file.display()))?;
            super::print(&format!("wrote `{}`\n", file.display()))?;
        }
    }
    Ok(Exit::Done)
}

fn page_run(run: &NamedRun) -> Result<PageRun> {
    let folder = &run.folder;
    if folder.join("evaluation.json").is_file() && !folder.join("config.toml").is_file() {
        return Err(UsageError(format!(
            "`{}` is the folder of an evaluation, and a report is of runs\nhint: its \
             `summary.json` says what it found",
            folder.display()
        ))
        .into());
    }
    Ok(PageRun {
        name: run.method.clone(),
        decode: decoder(run),
        folder: folder.clone(),
    })
}

/// The run's tokenizer, by which prompts are shown. Without it, the page is without them.
fn decoder(run: &NamedRun) -> Option<Box<Decode>> {
    let config = run.folder.join("config.toml");
    let chat = super::show::tokenizer_folder(&config, None)
        .and_then(|folder| tokenizer::load_chat(folder.as_deref(), chat::Config::default()));
    match chat {
        Ok(chat) => Some(Box::new(move |tokens| chat.decode(tokens))),
        Err(error) => {
            let folder = run.folder.display();
            eprintln!(
                "note: `{folder}`: prompts are not shown, since its tokenizer is not at hand: {error}"
            );
            None
        }
    }
}
