//! A study as a page of Markdown with its learning curves: one chapter for each group of
//! methods, with what they score, by scenario too, what they cost, and what they score at equal
//! processor time.

use std::collections::BTreeSet;
use std::fmt::Write;

use episode::EvaluationMode;

use crate::curves;
use crate::folder::mode_name;
use crate::grid::Grid;
use crate::method::Method;
use crate::plot::linear_svg;
use crate::standing::{Standings, common_modes};
use crate::standing_page::{against_cells, interval, method_notes};
use crate::study::{StudyList, StudyMethod, StudyRuns, standings};
use crate::table::{percent, title};
use crate::{Question, ReportError};

/// A study's page.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyPage {
    /// The page.
    pub markdown: String,
    /// The files that it shows: names, and SVG.
    pub plots: Vec<(String, String)>,
}

/// The page of what a study's finished runs say. `name` begins the names of its plots' files.
pub fn study_page(list: &StudyList, name: &str) -> Result<StudyPage, ReportError> {
    let runs = StudyRuns::read(list)?;
    let mut page = StudyPage {
        markdown: format!("# {}\n\n", list.sentence),
        plots: Vec::new(),
    };
    let mut groups: Vec<&str> = Vec::new();
    for method in &runs.methods {
        if !groups.contains(&method.group.as_str()) {
            groups.push(&method.group);
        }
    }
    if groups.is_empty() {
        page.markdown += "No run is done.\n";
        return Ok(page);
    }
    for note in notes(list) {
        let _ = writeln!(page.markdown, "{note}");
    }
    for group in groups {
        let _ = write!(page.markdown, "\n## {}\n\n", capital(group));
        let chapter = Chapter { list, runs: &runs };
        chapter.write(group, name, &mut page)?;
    }
    Ok(page)
}

fn notes(list: &StudyList) -> Vec<String> {
    let mut notes = method_notes(&list.baseline);
    if let Some(reference) = &list.reference {
        notes.push(format!(
            "Likewise to {reference} where the heading says so."
        ));
    }
    notes.push(
        "Costs are means over seeds, of rollouts and updates without evaluations; a method that \
         goes on from another has that one's cost too. The tokens of groups that a step rolled out \
         and left out are counted as those of the groups that it kept."
            .to_owned(),
    );
    notes
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

struct Chapter<'a> {
    list: &'a StudyList,
    runs: &'a StudyRuns,
}

impl Chapter<'_> {
    fn write(&self, group: &str, name: &str, page: &mut StudyPage) -> Result<(), ReportError> {
        let list = self.list;
        let mut others = vec![list.baseline.as_str()];
        others.extend(list.reference.as_deref());
        let methods = self.runs.of_group(group, &others);
        let last: Vec<Method> = methods.iter().map(|it| it.method.clone()).collect();

        for mode in common_modes(&last)? {
            let standings = standings(list, &last, mode)?;
            page.markdown += &self.scores(&methods, &standings).to_markdown();
            page.markdown.push('\n');
        }
        for mode in common_modes(&last)? {
            if let Some(grid) = self.scenarios(&last, mode)? {
                let mode = mode_name(mode);
                let _ = write!(
                    page.markdown,
                    "By scenario, {mode}:\n\n{}\n",
                    grid.to_markdown()
                );
            }
        }
        page.markdown += &self.costs(&methods).to_markdown();
        page.markdown += &self.equal_time(&methods)?;

        let panels = curves::panels(&methods, &list.metric);
        if !panels.is_empty() {
            let file = format!("{name}-{}.svg", file_name(group));
            let _ = write!(
                page.markdown,
                "\nLearning curves on the tasks of the evaluations on the way: means over seeds, \
                 with a band of one standard error to either side.\n\n![Learning curves]({file})\n"
            );
            page.plots.push((file, linear_svg(&panels)));
        }
        Ok(())
    }

    /// What the methods score after their last steps.
    fn scores(&self, methods: &[&StudyMethod], standings: &Standings) -> Grid {
        let list = self.list;
        let key = list.searched_key.as_deref().unwrap_or("searched");
        let score = format!("{} ({} tasks)", title(&list.metric), standings.tasks);
        let grid = Grid::default().words(&[mode_name(standings.mode)]);
        let mut grid = grid.numbers(&[key, "seeds", &score, "95% interval"]);
        let mut named = vec![list.baseline.as_str()];
        named.extend(list.reference.as_deref());
        for name in &named {
            grid = grid.numbers(&[&format!("less {name}"), "95% interval", "better"]);
        }
        for (method, standing) in methods.iter().zip(&standings.methods) {
            let mut row = vec![
                standing.method.clone(),
                method.searched.clone().unwrap_or_default(),
                standing.seeds.len().to_string(),
                percent(standing.score.mean),
                interval(&standing.score),
            ];
            for name in &named {
                row.extend(against_cells(standing, name));
            }
            grid.rows.push(row);
        }
        match list.searched_key {
            Some(_) => grid,
            None => grid.without("searched"),
        }
    }

    /// The means by scenario; `None` where there is one scenario alone.
    fn scenarios(
        &self,
        methods: &[Method],
        mode: EvaluationMode,
    ) -> Result<Option<Grid>, ReportError> {
        let runs = methods.iter().flat_map(|method| &method.runs);
        let tasks = runs.flat_map(|run| run.evaluations.iter().flat_map(|it| &it.tasks));
        let names: BTreeSet<&str> = tasks.map(|task| task.scenario.as_str()).collect();
        if names.len() < 2 {
            return Ok(None);
        }
        let columns = (names.iter())
            .map(|name| {
                let question = Question {
                    metric: &self.list.metric,
                    mode,
                    step: None,
                    scenario: Some(name),
                };
                Standings::of(methods, &[], &question)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut grid = Grid::default().words(&["method"]);
        for (name, column) in names.iter().zip(&columns) {
            let heading = format!("{name} ({} tasks)", column.tasks);
            grid = grid.numbers(&[&heading, "95% interval"]);
        }
        for (place, method) in methods.iter().enumerate() {
            let mut row = vec![method.name.clone()];
            for column in &columns {
                let score = &column.methods[place].score;
                row.extend([percent(score.mean), interval(score)]);
            }
            grid.rows.push(row);
        }
        Ok(Some(grid))
    }

    fn costs(&self, methods: &[&StudyMethod]) -> Grid {
        let grid = Grid::default().words(&["cost of a run"]);
        let mut grid = grid.numbers(&[
            "steps",
            "wall seconds",
            "processor seconds",
            "sampled tokens",
            "trained tokens",
        ]);
        for method in methods {
            let cost = method.total_cost();
            grid.rows.push(vec![
                method.method.name.clone(),
                method.total_steps().to_string(),
                format!("{:.1}", cost.wall_seconds),
                format!("{:.1}", cost.processor_seconds),
                format!("{:.0}", cost.sampled_tokens),
                format!("{:.0}", cost.trained_tokens),
            ]);
        }
        grid
    }

    /// What the methods scored when they had taken no more processor time than the middle one
    /// of those that sample rollouts took in all. Empty where none does.
    fn equal_time(&self, methods: &[&StudyMethod]) -> Result<String, ReportError> {
        let sampling = methods.iter().map(|method| method.total_cost());
        let sampling = sampling.filter(|cost| cost.sampled_tokens > 0.0);
        let mut seconds: Vec<f64> = sampling.map(|cost| cost.processor_seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let Some(budget) = seconds.get(seconds.len().saturating_sub(1) / 2) else {
            return Ok(String::new());
        };
        let mut text = format!(
            "\nAt equal processor time, the {budget:.1} seconds of the middle method with \
             rollouts: each method's last evaluation within it.\n"
        );
        for mode in [EvaluationMode::Greedy, EvaluationMode::Sampled] {
            let mut then = Vec::new();
            let mut steps = Vec::new();
            for method in methods {
                let mut evaluated = method.evaluated(mode).into_iter();
                let within = |step: &u64| method.cost(*step).processor_seconds <= *budget;
                if let Some(step) = evaluated.rfind(within) {
                    then.push(method.until(step));
                    steps.push((method, step));
                }
            }
            if then.is_empty() {
                continue;
            }
            let standings = standings(self.list, &then, mode)?;
            let score = format!("{} ({} tasks)", title(&self.list.metric), standings.tasks);
            let less = format!("less {}", self.list.baseline);
            let grid = Grid::default().words(&[mode_name(mode)]);
            let mut grid = grid.numbers(&["after steps", "processor seconds", &score]);
            grid = grid.numbers(&["95% interval", &less, "95% interval", "better"]);
            for ((method, step), standing) in steps.iter().zip(&standings.methods) {
                let mut row = vec![
                    standing.method.clone(),
                    method.steps(*step).to_string(),
                    format!("{:.1}", method.cost(*step).processor_seconds),
                    percent(standing.score.mean),
                    interval(&standing.score),
                ];
                row.extend(against_cells(standing, &self.list.baseline));
                grid.rows.push(row);
            }
            let _ = write!(text, "\n{}", grid.to_markdown());
        }
        Ok(text)
    }
}

/// A group's name in a file's.
fn file_name(group: &str) -> String {
    group
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}
