//! Runs a study's runs, several at once, each a `pact train` in a process of its own. Begins
//! what can be begun, goes on with what was stopped, and leaves alone what is done.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, anyhow};
use report::RunFolder;
use rustix::process::{Pid, Signal, kill_process};

use super::plan::{Choices, Plan, Run, State};
use crate::exit::{Exit, UsageError};
use crate::interrupt::Interrupt;
use crate::terminal::{self, Progress};
use crate::{clock, scores};

/// Between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(50);
/// Lines of a failed run's output that are shown.
const LAST_LINES: usize = 5;

/// A study under way.
pub(super) struct Runner<'a> {
    plan: &'a Plan,
    jobs: usize,
    /// Whether stopped runs go on with changed data, model or program.
    allow_changed: bool,
    /// Held by this process and by every run's, so that a folder never has two of a run.
    lock: File,
    places: Vec<(Run, Place)>,
    choices: Choices,
    running: Vec<Process>,
    progress: Progress,
    clock: train::Clock,
}

/// Where a run stands, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting,
    Running,
    Done,
    Failed,
}

struct Process {
    run: Run,
    child: Child,
    began: Duration,
}

impl<'a> Runner<'a> {
    pub(super) fn new(plan: &'a Plan, jobs: usize, allow_changed: bool) -> Result<Self> {
        let lock = lock(&plan.out)?;
        let progress = Progress::new(plan.runs.len() as u64, "runs");
        let waiting = |run: &Run| (run.clone(), Place::Waiting);
        Ok(Self {
            plan,
            jobs,
            allow_changed,
            lock,
            places: plan.runs.iter().map(waiting).collect(),
            choices: Choices::new(),
            running: Vec::new(),
            progress,
            clock: clock::start(),
        })
    }

    /// Runs until nothing more can be begun, or somebody asks to stop.
    pub(super) fn finish(mut self, interrupt: &Interrupt) -> Result<Exit> {
        let mut is_stopping = false;
        let outcome = loop {
            if interrupt.is_asked() && !is_stopping {
                is_stopping = true;
                self.progress
                    .line("stopping: every run writes a checkpoint");
                self.stop()?;
            }
            self.reap(is_stopping)?;
            if !is_stopping {
                match self.fill() {
                    Ok(()) => (),
                    Err(error) => {
                        self.stop()?;
                        break Err(error);
                    }
                }
            }
            if self.running.is_empty() {
                break Ok(());
            }
            sleep(PAUSE);
        };
        for process in &mut self.running {
            process.child.wait()?;
        }
        outcome?;
        let is_any = |place| self.places.iter().any(|(_, it)| *it == place);
        Ok(match () {
            () if is_stopping => Exit::Interrupted,
            () if is_any(Place::Failed) => Exit::Failed,
            () => Exit::Done,
        })
    }

    /// Asks every process to stop. They are in groups of their own, so a terminal's Ctrl-C
    /// has not reached them; a second signal would cost them their checkpoint.
    fn stop(&self) -> Result<()> {
        for process in &self.running {
            let pid = Pid::from_child(&process.child);
            match kill_process(pid, Signal::INT) {
                // It has just ended by itself.
                Ok(()) | Err(rustix::io::Errno::SRCH) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Begins runs until as many are under way as there may be.
    fn fill(&mut self) -> Result<()> {
        while self.running.len() < self.jobs {
            let Some(index) = self.next()? else {
                return Ok(());
            };
            let run = self.places[index].0.clone();
            let state = self.plan.state(&run)?;
            if state != State::Absent {
                self.plan.check_config(&run, &self.choices)?;
            }
            if state == State::Done {
                self.place(&run, Place::Done);
                continue;
            }
            let child = self.begin(&run, state)?;
            self.place(&run, Place::Running);
            let verb = match state {
                State::Begun { step, steps } => format!("goes on after step {step} of {steps}"),
                _ => "begun".to_owned(),
            };
            self.progress
                .line(&format!("{}: {verb}", self.plan.title(&run)));
            let began = (self.clock)();
            self.running.push(Process { run, child, began });
        }
        Ok(())
    }

    /// The first waiting run that has all it needs. Finds the values of searches that are done.
    fn next(&mut self) -> Result<Option<usize>> {
        let places: Vec<(Run, Place)> = self.places.clone();
        let is_done = |run: &Run| places.contains(&(run.clone(), Place::Done));
        for (index, (run, place)) in places.iter().enumerate() {
            if *place != Place::Waiting || !self.plan.needs(run).iter().all(is_done) {
                continue;
            }
            self.find_choices(run)?;
            return Ok(Some(index));
        }
        Ok(None)
    }

    /// The searched values that a run with all its needs begins with.
    fn find_choices(&mut self, run: &Run) -> Result<()> {
        for method in self.plan.searched_by(run) {
            if self.choices.contains_key(&method) {
                continue;
            }
            let choice = self.plan.choice(&method)?;
            let choice = choice.expect("all runs of a search are done before what needs them");
            let setting = self.plan.setting(choice.value);
            let percent = 100.0 * choice.score;
            let line = format!("search of {method}: {setting} is best, {percent:.2}");
            self.progress.line(&line);
            self.choices.insert(method, choice);
        }
        Ok(())
    }

    fn begin(&self, run: &Run, state: State) -> Result<Child> {
        let folder = self.plan.folder(run);
        let order = self.plan.order(run, &self.choices)?;
        let log = log_of(&folder);
        let in_log = |error| anyhow!("`{}`: {error}", log.display());
        let parent = folder.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent).map_err(in_log)?;
        let output = File::options().create(true).append(true).open(&log);
        let output = output.map_err(in_log)?;
        let mut command = Command::new(binary()?);
        command.arg0(terminal::program()).arg("train");
        command.arg(&order.config).arg("--run").arg(&folder);
        for set in &order.sets {
            command.arg("--set").arg(set);
        }
        if state != State::Absent {
            command.arg("--resume");
            if self.allow_changed {
                command.arg("--allow-changed");
            }
        }
        command
            .process_group(0)
            .stdin(self.lock.try_clone()?)
            .stdout(Stdio::null())
            .stderr(output);
        let child = command.spawn();
        child.map_err(|error| anyhow!("a process for {}: {error}", self.plan.title(run)))
    }

    /// Takes note of the processes that have ended.
    fn reap(&mut self, is_stopping: bool) -> Result<()> {
        let mut index = 0;
        while index < self.running.len() {
            let Some(status) = self.running[index].child.try_wait()? else {
                index += 1;
                continue;
            };
            let Process { run, began, .. } = self.running.remove(index);
            let seconds = ((self.clock)() - began).as_secs_f64();
            self.ended(&run, status, seconds, is_stopping)?;
        }
        Ok(())
    }

    fn ended(&mut self, run: &Run, status: ExitStatus, seconds: f64, asked: bool) -> Result<()> {
        let title = self.plan.title(run);
        if status.success() && self.plan.state(run)? == State::Done {
            self.place(run, Place::Done);
            let line = format!("{title}: done in {seconds:.0} s{}", self.last_scores(run)?);
            self.progress.line(&line);
        } else if asked && status.code() == Some(130) {
            self.place(run, Place::Waiting);
            self.progress.line(&format!("{title}: stopped"));
        } else {
            self.place(run, Place::Failed);
            let log = log_of(&self.plan.folder(run));
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
            let line = format!(
                "{title}: failed, {status}; the end of `{}`:\n  {last}",
                log.display()
            );
            self.progress.line(&line);
        }
        Ok(())
    }

    /// The study's metric of a run's last evaluations, in percent.
    fn last_scores(&self, run: &Run) -> Result<String> {
        let metric = &self.plan.study.file.metric;
        let evaluations = RunFolder::open(&self.plan.folder(run))?.evaluations()?;
        let last: BTreeMap<_, _> = evaluations.iter().map(|it| (it.mode, it)).collect();
        let texts = last.into_iter().filter_map(|(mode, evaluation)| {
            let value = scores::metrics(evaluation).get(metric)?.clone();
            Some(format!("; {mode:?} {metric} {value}").to_lowercase())
        });
        Ok(texts.collect())
    }

    fn place(&mut self, run: &Run, place: Place) {
        let mut places = self.places.iter_mut();
        let (_, of) = places.find(|(it, _)| it == run).expect("a run of the plan");
        *of = place;
        let done = self.places.iter().filter(|(_, it)| *it == Place::Done);
        self.progress.set(done.count() as u64);
    }
}

/// What a run says, beside its folder.
fn log_of(folder: &Path) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push(".log");
    path.into()
}

/// This binary. On Linux as it was when it started, even if it has been built anew since: all
/// runs of a study are to be of one build.
fn binary() -> Result<PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok("/proc/self/exe".into()),
        false => Ok(std::env::current_exe()?),
    }
}

/// The study's lock, which lasts until the last process that has it ends.
fn lock(out: &Path) -> Result<File> {
    let path = out.join("study.lock");
    let in_path = |error: &dyn std::fmt::Display| anyhow!("`{}`: {error}", path.display());
    fs::create_dir_all(out).map_err(|error| in_path(&error))?;
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(|error| in_path(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(UsageError(format!(
            "`{}`: a study is under way in this folder, or a run of it still ends\nhint: wait for \
             it, or name another place with `--out`",
            out.display()
        ))
        .into()),
        Err(fs::TryLockError::Error(error)) => Err(in_path(&error)),
    }
}
