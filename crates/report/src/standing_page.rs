//! Methods against a baseline as text, Markdown or JSON. Everything is in percent.

use episode::EvaluationMode;
use serde_json::{Map, Value, json};

use crate::Estimate;
use crate::bootstrap::RESAMPLES;
use crate::folder::mode_name;
use crate::grid::Grid;
use crate::standing::{Standing, Standings};
use crate::table::{percent, signed, title};

/// One metric's standings, a mode each, with the method that differences are to.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingPage {
    /// The metric, by the suite's name.
    pub metric: String,
    /// A method's name.
    pub baseline: String,
    /// One a mode.
    pub standings: Vec<Standings>,
}

impl StandingPage {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        format!("{}\n{}", self.grid().to_text(), self.notes().join("\n")) + "\n"
    }

    /// The same as Markdown.
    pub fn to_markdown(&self) -> String {
        let grid = self.grid().to_markdown();
        format!("{grid}\n{}", self.notes().join("\n")) + "\n"
    }

    pub(crate) fn grid(&self) -> Grid {
        let grid = Grid::default().words(&["rollouts", "method"]);
        let mut grid = grid.numbers(&[
            "seeds",
            "tasks",
            &title(&self.metric),
            "95% interval",
            "difference",
            "95% interval",
            "better",
        ]);
        for standings in &self.standings {
            for method in &standings.methods {
                let mut row = vec![
                    mode_name(standings.mode).to_owned(),
                    method.method.clone(),
                    method.seeds.len().to_string(),
                    standings.tasks.to_string(),
                    percent(method.score.mean),
                    interval(&method.score),
                ];
                row.extend(against_cells(method, &self.baseline));
                grid.rows.push(row);
            }
        }
        grid
    }

    /// How the numbers are to be read.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = method_notes(&self.baseline);
        for standings in &self.standings {
            let mode = mode_name(standings.mode);
            if standings.left_out > 0 {
                notes.push(format!(
                    "{mode}: {} tasks that not every run was evaluated on are left out.",
                    standings.left_out
                ));
            }
            for method in standings.methods.iter().filter(|it| it.steps.len() > 1) {
                let steps: Vec<String> = method.steps.iter().map(u64::to_string).collect();
                notes.push(format!(
                    "{mode}: runs of {} were last evaluated after different steps, {}.",
                    method.method,
                    steps.join(" and ")
                ));
            }
        }
        let methods = || self.standings.iter().flat_map(|it| &it.methods);
        if methods().any(|method| method.seeds.len() == 1) {
            notes.push("Intervals of 1 seed say nothing of other seeds.".to_owned());
        }
        notes
    }

    /// For programs: percent to two decimals.
    pub fn to_json(&self) -> Value {
        let of = |mode: EvaluationMode| self.standings.iter().find(|it| it.mode == mode);
        let mut object = Map::new();
        object.insert("metric".to_owned(), json!(self.metric));
        object.insert("baseline".to_owned(), json!(self.baseline));
        object.insert("resamples".to_owned(), json!(RESAMPLES));
        for mode in [EvaluationMode::Greedy, EvaluationMode::Sampled] {
            let Some(standings) = of(mode) else { continue };
            let methods = standings.methods.iter();
            let methods: Vec<Value> = methods.map(|it| self.method_json(it)).collect();
            let value = json!({
                "tasks": standings.tasks,
                "tasks-left-out": standings.left_out,
                "methods": methods,
            });
            object.insert(mode_name(mode).to_owned(), value);
        }
        object.into()
    }

    fn method_json(&self, method: &Standing) -> Value {
        let mut object = json!({
            "method": method.method,
            "seeds": method.seeds,
            "steps": method.steps,
            "score": rounded(method.score.mean),
            "interval": [rounded(method.score.low), rounded(method.score.high)],
        });
        if let Some(against) = method.against.get(&self.baseline) {
            let difference = &against.difference;
            object["paired-seeds"] = json!(against.seeds);
            object["difference"] = rounded(difference.mean);
            object["difference-interval"] =
                json!([rounded(difference.low), rounded(difference.high)]);
            object["win-rate"] = rounded(against.win_rate);
        }
        object
    }
}

/// How differences and intervals came about.
pub(crate) fn method_notes(baseline: &str) -> Vec<String> {
    vec![
        format!(
            "All in percent; the difference is to {baseline}, by pairs of one task and one seed."
        ),
        "Better: the share of these pairs that are won, a tie being half.".to_owned(),
        format!(
            "95% interval: percentile bootstrap that draws both seeds and tasks anew, {RESAMPLES} times."
        ),
    ]
}

/// `12.00 to 15.50`.
pub(crate) fn interval(estimate: &Estimate) -> String {
    format!("{} to {}", percent(estimate.low), percent(estimate.high))
}

/// Difference, its interval and the win rate against `baseline`; empty for the baseline itself.
pub(crate) fn against_cells(method: &Standing, baseline: &str) -> Vec<String> {
    match method.against.get(baseline) {
        Some(against) => {
            let Estimate { mean, low, high } = against.difference;
            vec![
                signed(mean),
                format!("{} to {}", signed(low), signed(high)),
                percent(against.win_rate),
            ]
        }
        None => vec![String::new(); 3],
    }
}

fn rounded(fraction: f64) -> Value {
    json!((fraction * 10_000.0).round() / 100.0)
}
