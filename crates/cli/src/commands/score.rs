//! `pact score`: what BFCL result files are worth, whoever made them.

use anyhow::Result;
use bfcl::score::{ScoreReport, score_results};
use bfcl::suite::Format;

use crate::args::Score;
use crate::exit::Exit;

pub(crate) fn run(arguments: &Score) -> Result<Exit> {
    let handler = arguments.format.map(|it| Format::from(it).handler());
    let report = score_results(&arguments.data, &arguments.results, handler)?;
    let text = match arguments.json {
        true => serde_json::to_string(&report)? + "\n",
        false => to_text(&report),
    };
    super::print(&text)?;
    Ok(Exit::Done)
}

fn to_text(report: &ScoreReport) -> String {
    let mut text = String::new();
    for category in &report.categories {
        let scored = category.records.len();
        text += &format!(
            "{:<24} {:>6.2}  {} of {scored}",
            category.category,
            100.0 * category.accuracy,
            category.correct
        );
        if category.missing > 0 {
            text += &format!(", {} without a result", category.missing);
        }
        text.push('\n');
    }
    let board = &report.leaderboard;
    let means = [
        ("Multi-Turn", &board.multi_turn),
        ("Web Search", &board.web_search),
        ("Memory", &board.memory),
        ("Agentic", &board.agentic),
        ("Overall", &board.overall),
    ];
    for (name, mean) in means {
        text += &format!("{name:<24} {:>6.2}", 100.0 * mean.accuracy);
        if !mean.not_run.is_empty() {
            text += &format!("  without {}, which count 0", mean.not_run.join(", "));
        }
        text.push('\n');
    }
    text
}
