//! From one step to the next: what is evaluated, saved and shown between them, and where a
//! run may stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use env::Suite;
use episode::{EvaluationMode, Phase};
use train::{Checkpoint, StepReport, Trainer};

use super::board::Board;
use super::controls::Controls;
use super::heartbeat::Heartbeat;
use crate::config::{Eval, RunConfig};
use crate::scores;
use crate::suites;
use crate::terminal::Progress;

/// A run under way.
pub(super) struct Drive<'a> {
    trainer: Trainer,
    eval: Eval,
    suite: Option<Arc<dyn Suite>>,
    /// Whether the evaluation due after the steps so far is done.
    evaluated: bool,
    /// The checkpoint that holds the run as it stands.
    saved: Option<PathBuf>,
    controls: &'a Controls,
    progress: Progress,
    board: Board,
    heartbeat: Heartbeat,
    /// The last step's warnings.
    warned: Vec<&'static str>,
}

/// How far a run got.
enum Ending {
    Done(PathBuf),
    Interrupted(PathBuf),
}

/// Why a run is not under way any more.
pub(super) enum End {
    /// All steps are done, and the model is in this folder.
    Done {
        model: PathBuf,
        trainer: Box<Trainer>,
    },
    /// Somebody asked to stop.
    Interrupted { checkpoint: PathBuf },
}

impl<'a> Drive<'a> {
    /// `resumed` is the checkpoint that the trainer goes on from.
    pub(super) fn new(
        trainer: Trainer,
        config: &RunConfig,
        suite: Option<Arc<dyn Suite>>,
        resumed: Option<Checkpoint>,
        controls: &'a Controls,
        progress: Progress,
    ) -> Self {
        let train = &trainer.settings.train;
        let board = Board::begin(
            trainer.folder().path(),
            trainer.step,
            train.tensorboard,
            progress.speaker(),
        );
        let patience = Some(train.heartbeat_seconds).filter(|seconds| *seconds > 0.0);
        let heartbeat = Heartbeat::begin(
            trainer.folder().path(),
            trainer.activity().clone(),
            train.steps,
            patience.map(Duration::from_secs_f64),
            progress.speaker(),
        );
        Self {
            evaluated: resumed.as_ref().is_some_and(|it| it.state.evaluated),
            saved: resumed.map(|it| it.path),
            trainer,
            eval: config.eval,
            suite,
            controls,
            progress,
            board,
            heartbeat,
            warned: Vec::new(),
        }
    }

    /// Goes on to the end of the run, which its last status tells, whatever it is.
    pub(super) fn finish(mut self) -> Result<End> {
        let ending = self.go_on();
        let (phase, message) = match &ending {
            Ok(Ending::Done(_)) => (Phase::Done, None),
            Ok(Ending::Interrupted(_)) => (Phase::Interrupted, None),
            Err(error) => (Phase::Failed, Some(error.to_string())),
        };
        self.heartbeat.end(phase, message);
        Ok(match ending? {
            Ending::Done(model) => End::Done {
                model,
                trainer: Box::new(self.trainer),
            },
            Ending::Interrupted(checkpoint) => End::Interrupted { checkpoint },
        })
    }

    fn go_on(&mut self) -> Result<Ending> {
        loop {
            self.wait_while_paused()?;
            if self.controls.is_stopped() {
                return Ok(Ending::Interrupted(self.save()?));
            }
            self.progress.set(self.trainer.step);
            if self.is_due(self.trainer.settings.train.evaluate_every) && !self.evaluated {
                self.evaluate()?;
            }
            if self.trainer.is_done() {
                return Ok(Ending::Done(self.save()?));
            }
            let is_due = self.is_due(self.trainer.settings.train.checkpoint_every);
            if (is_due && self.trainer.step > 0) || self.controls.take_checkpoint() {
                self.save()?;
            }
            let report = {
                let _span = tracing::info_span!("step", step = self.trainer.step).entered();
                self.trainer.step()?
            };
            (self.evaluated, self.saved) = (false, None);
            self.board.follow();
            let line = step_line(&report, self.trainer.settings.train.steps);
            self.progress.line(&line);
            self.warn(&report.warnings);
        }
    }

    /// Waits as long as somebody asked for it. A checkpoint is written meanwhile if that is asked
    /// for.
    fn wait_while_paused(&mut self) -> Result<()> {
        let mut is_told = false;
        while self.controls.is_paused() {
            if self.controls.take_checkpoint() {
                self.save()?;
                is_told = false;
            }
            if !is_told {
                let activity = self.trainer.activity();
                activity.enter(Phase::Paused, self.trainer.step);
                is_told = true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Says each warning when it begins, not again while it lasts.
    fn warn(&mut self, warnings: &[&'static str]) {
        for warning in warnings {
            if !self.warned.contains(warning) {
                tracing::warn!("{warning}");
                self.progress.line(&format!("warning: {warning}"));
            }
        }
        self.heartbeat
            .tell(warnings.last().map(|it| (*it).to_owned()));
        self.warned = warnings.to_vec();
    }

    /// Whether something is due that is done before, after and every `every` steps.
    fn is_due(&self, every: u64) -> bool {
        let step = self.trainer.step;
        step == 0 || self.trainer.is_done() || (every > 0 && step.is_multiple_of(every))
    }

    fn evaluate(&mut self) -> Result<()> {
        let eval = self.eval;
        let is_last = self.trainer.is_done();
        let modes = [
            (
                eval.greedy && (is_last || eval.greedy_between),
                EvaluationMode::Greedy,
            ),
            (
                eval.sampled && (is_last || eval.sampled_between),
                EvaluationMode::Sampled,
            ),
        ];
        let count = match eval.tasks_between {
            between if between > 0 && !is_last => between,
            _ => eval.tasks,
        };
        if let Some(suite) = &self.suite {
            let tasks = suites::first(&**suite, count);
            for (_, mode) in modes.into_iter().filter(|(is_wanted, _)| *is_wanted) {
                let _span = tracing::info_span!("evaluation", ?mode).entered();
                let evaluation = self.trainer.evaluate(&**suite, &tasks, mode)?;
                let line = evaluation_line(&evaluation);
                tracing::info!("{line}");
                self.progress.line(&line);
            }
        }
        self.board.follow();
        self.evaluated = true;
        self.saved = None;
        Ok(())
    }

    /// Writes a checkpoint, unless there is one of the run as it stands.
    fn save(&mut self) -> Result<PathBuf> {
        if let Some(path) = &self.saved {
            return Ok(path.clone());
        }
        let _span = tracing::info_span!("checkpoint", step = self.trainer.step).entered();
        let path = self.trainer.checkpoint(self.evaluated)?;
        self.saved = Some(path.clone());
        Ok(path)
    }
}

fn step_line(report: &StepReport, steps: u64) -> String {
    let mut line = format!("step {:>4}/{steps}", report.step + 1);
    let shown = [
        ("reward", "reward", 3),
        ("solve-f1", "solve-f1", 3),
        ("loss-trace", "trace loss", 3),
        ("loss-rollouts", "rollout loss", 4),
        ("entropy", "entropy", 2),
        ("grad-norm", "gradient", 2),
        ("seconds-rollout", "rollout s", 1),
        ("seconds-learn", "learn s", 1),
    ];
    for (name, label, decimals) in shown {
        if let Some(value) = report.metrics.get(name) {
            line += &format!("  {label} {value:.decimals$}");
        }
    }
    if report.metrics.get("skipped") == Some(1.0) {
        line += "  (skipped: not finite)";
    }
    line
}

fn evaluation_line(evaluation: &episode::Evaluation) -> String {
    let mode = format!("{:?}", evaluation.mode).to_lowercase();
    let mut line = format!(
        "evaluation after {} steps, {mode}, {} tasks:",
        evaluation.step,
        evaluation.tasks.len()
    );
    for (name, value) in scores::metrics(evaluation) {
        line += &format!("  {name} {value}");
    }
    line
}
