//! All that a page says of one run.

use episode::{Credit as EpisodeCredit, Evaluation, EvaluationMode, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::ReportError;
use crate::folder::{RecordedEpisode, RunFolder, mode_name};
use crate::plot::Line;

use super::block::Block;
use super::conversation::Conversation;
use super::cost::Cost;
use super::credit::Credit;
use super::failures::Failures;
use super::problems::Problems;
use super::question::{Change, Known, Question, change_blocks, changes, headline};
use super::repeat::Repeat;
use super::series::{self, Evaluated};
use super::setup::Setup;
use super::tally::{Extremes, Tally};
use super::{Decode, PageRun};

/// All that a page says of one run.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RunReport {
    pub(super) name: String,
    pub(super) folder: String,
    /// What could not be read.
    pub(super) problems: Vec<String>,
    pub(super) question: Question,
    /// Over all tasks, then by scenario.
    pub(super) changes: Vec<Change>,
    pub(super) setup: Setup,
    /// How many steps are recorded.
    pub(super) steps: usize,
    pub(super) evaluated: Vec<Evaluated>,
    /// Every metric of the steps.
    pub(super) training: Vec<Line>,
    pub(super) credit: Credit,
    pub(super) cost: Cost,
    pub(super) failures: Failures,
    pub(super) evaluation_episodes: Vec<Conversation>,
    pub(super) training_episodes: Vec<Conversation>,
    pub(super) repeat: Repeat,
    /// The metric that decides.
    pub(super) headline: Option<&'static str>,
}

impl RunReport {
    pub(super) fn read(
        of: &PageRun,
        name: &str,
        defaults: &toml::Table,
    ) -> Result<Self, ReportError> {
        let run = RunFolder::open(&of.folder)?;
        let (config_text, config) = (run.config()?, run.config_table()?);
        let mut problems = Problems::default();
        let record = run.record().unwrap_or_else(|error| {
            problems.add(error.to_string());
            None
        });
        let status: Option<Status> = whole(&run, "status.json", &mut problems);
        let metrics = run.lines::<Map<String, Value>>("metrics.jsonl", "a step's metrics")?;
        let metrics: Vec<_> = problems.without(metrics).collect();
        let evaluations = run.lines::<Evaluation>("evaluations.jsonl", "an evaluation")?;
        let evaluations: Vec<_> = problems.without(evaluations).collect();
        let tally = Tally::read(&run, &mut problems)?;

        let mut training = series::lines(&metrics);
        let reward = series::reward(&tally);
        if !reward.points.is_empty() {
            training.retain(|line| line.name != "reward");
            training.push(reward);
        }
        training.push(series::advantage_spread(&tally));
        training.retain(|line| !line.points.is_empty());
        let is_skipped = |step: &&Map<String, Value>| {
            step.get("skipped")
                .and_then(Value::as_f64)
                .is_some_and(|it| it > 0.0)
        };
        let skipped = metrics.iter().filter(is_skipped);
        let skipped: Vec<u64> = skipped.filter_map(|it| it.get("step")?.as_u64()).collect();
        let changes = changes(&evaluations);

        let decode = of.decode.as_deref();
        let last = last_evaluation(&run, &evaluations, &mut problems)?;
        let mut read = |extremes: Extremes| conversations(extremes, decode, &mut problems);
        let evaluation_episodes = read(last);
        let training_episodes = read(Extremes {
            best: tally.extremes.best.clone(),
            worst: tally.extremes.worst.clone(),
        });
        Ok(Self {
            question: Question::of(&Known {
                config_text: &config_text,
                config: &config,
                steps: metrics.len(),
                status: status.as_ref(),
                evaluations: &evaluations,
                changes: &changes,
                tally: &tally,
            }),
            name: name.to_owned(),
            folder: of.folder.display().to_string(),
            changes,
            setup: Setup::of(&config_text, &config, defaults, record.as_ref()),
            steps: metrics.len(),
            evaluated: series::evaluated(&evaluations),
            credit: Credit::of(&config, &training),
            cost: Cost::of(&metrics, &training, &tally),
            failures: Failures::read(&run, &training, &skipped, &tally, &mut problems)?,
            evaluation_episodes,
            training_episodes,
            training,
            repeat: Repeat::of(&of.folder, record.as_ref()),
            headline: headline(&evaluations),
            problems: problems.sentences(),
        })
    }

    pub(super) fn question_blocks(&self) -> Vec<Block> {
        let mut blocks = vec![
            Block::Text(self.question.asked.clone()),
            Block::Answer(self.question.answer.clone()),
            Block::Note(self.question.state.clone()),
        ];
        let problems = self.problems.iter().cloned().map(Block::Warning);
        blocks.extend(problems);
        let whole: Vec<&Change> = self
            .changes
            .iter()
            .filter(|it| it.scenario.is_none())
            .collect();
        if !whole.is_empty() {
            blocks.extend(change_blocks(
                "Held-out tasks before and after, in percent",
                &whole,
            ));
        }
        blocks
    }

    pub(super) fn scenario_blocks(&self) -> Vec<Block> {
        let is_decisive =
            |it: &&Change| it.scenario.is_some() && Some(&*it.metric) == self.headline;
        let parts: Vec<&Change> = self.changes.iter().filter(is_decisive).collect();
        if parts.is_empty() {
            let why = "Fewer than two evaluations are recorded, so no scenario has a before and \
                       an after.";
            return vec![Block::Note(why.into())];
        }
        let mut blocks = change_blocks("By scenario before and after, in percent", &parts);
        let all: Vec<&Change> = self
            .changes
            .iter()
            .filter(|it| it.scenario.is_some())
            .collect();
        if all.len() > parts.len() {
            let table = change_blocks("All metrics by scenario, in percent", &all);
            blocks.push(Block::Fold("All metrics".into(), table));
        }
        blocks
    }

    pub(super) fn episode_blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let parts = [
            ("Of the last evaluation", &self.evaluation_episodes),
            ("Of the last training step", &self.training_episodes),
        ];
        for (heading, episodes) in parts {
            if episodes.is_empty() {
                blocks.push(Block::Note(format!("{heading}: no episode is recorded.")));
                continue;
            }
            blocks.push(Block::Text(format!("{heading}, by reward:")));
            if episodes.iter().all(|it| it.prompt.is_none()) {
                let why = "The run's tokenizer is not at hand, so prompts are not shown.";
                blocks.push(Block::Note(why.into()));
            }
            let episodes = episodes.iter().cloned().map(Box::new);
            blocks.extend(episodes.map(Block::Conversation));
        }
        blocks
    }
}

/// A file that is one JSON value. `None` where it is not there, and a problem where it is not
/// what it should be.
fn whole<T: DeserializeOwned>(run: &RunFolder, file: &str, problems: &mut Problems) -> Option<T> {
    let path = run.path().join(file);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            problems.add(format!("`{}`: {error}", path.display()));
            return None;
        }
    };
    let value = serde_json::from_str(&text);
    let value = value.map_err(|error| problems.add(format!("`{}`: {error}", path.display())));
    value.ok()
}

/// The best and worst of the last evaluation, the greedy one where there is one.
fn last_evaluation(
    run: &RunFolder,
    evaluations: &[Evaluation],
    problems: &mut Problems,
) -> Result<Extremes, ReportError> {
    #[derive(serde::Deserialize)]
    struct Line {
        score: Score,
    }
    #[derive(serde::Deserialize)]
    struct Score {
        reward: f64,
    }
    let mut extremes = Extremes::default();
    let Some(step) = evaluations.iter().map(|it| it.step).max() else {
        return Ok(extremes);
    };
    let is_last = |it: &&Evaluation| it.step == step;
    let modes = evaluations.iter().filter(is_last).map(|it| it.mode);
    let mode = modes.min().unwrap_or(EvaluationMode::Greedy);
    let file = format!("evaluations/step-{step:06}-{}.jsonl", mode_name(mode));
    let lines = run.parsed(&file, "an episode", |text| {
        Ok((serde_json::from_str::<Line>(text)?, text.to_owned()))
    })?;
    for (line, text) in problems.without(lines) {
        extremes.offer(line.score.reward, text);
    }
    extremes.part();
    Ok(extremes)
}

fn conversations(
    extremes: Extremes,
    decode: Option<&Decode>,
    problems: &mut Problems,
) -> Vec<Conversation> {
    let best = extremes.best.into_iter().map(|(_, line)| ("Best", line));
    let worst = extremes.worst.into_iter().map(|(_, line)| ("Worst", line));
    let mut all = Vec::new();
    for (why, line) in best.chain(worst) {
        match recorded(&line) {
            Ok(recorded) => all.push(Conversation::of(why, recorded, decode)),
            Err(error) => problems.add(format!("an episode cannot be shown: {error}")),
        }
    }
    all
}

fn recorded(line: &str) -> serde_json::Result<RecordedEpisode> {
    #[derive(serde::Deserialize)]
    struct Step {
        #[serde(default)]
        step: u64,
    }
    let Step { step } = serde_json::from_str(line)?;
    let credit: EpisodeCredit = serde_json::from_str(line)?;
    let episode = serde_json::from_str(line)?;
    Ok(RecordedEpisode {
        step,
        credit,
        episode,
    })
}
