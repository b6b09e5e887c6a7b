//! From what a config or a command line names to tasks that can be rolled out, with their
//! expert traces where there are any.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use bfcl::suite::{Format, Selection};
use bfcl::{BfclOptions, BfclSuite};
use env::ftrl::{FtrlOptions, FtrlSuite};
use env::own::PythonTools;
use env::tau::{StaticUsers, TauSuite};
use env::toolhop::{Scenario, ToolHopOptions, ToolHopSuite};
use env::world::{self, WorldSuite};
use env::{ReplayReport, Suite, load_traces, replay};
use episode::{Task, Trace};
use remote::http_env::HttpConfig;
use remote::own::OwnTools;
use sandbox::Pool;
use train::{Missing, Settings};

use crate::args::{SuiteName, TaskArgs};
use crate::config::{Ftrl, RunConfig, Source, Tau, ToolHop};
use crate::exit::UsageError;
use crate::{paths, suggestion};

/// A suite, open.
pub(crate) struct Opened {
    pub(crate) suite: Arc<dyn Suite>,
    /// The expert traces that come with its tasks.
    pub(crate) traces: Vec<Trace>,
    /// The suite once more, where it can do more than others.
    pub(crate) more: More,
}

/// What only some suites can do.
pub(crate) enum More {
    Nothing,
    /// Plans its own experts.
    World(Arc<WorldSuite>),
    /// Replays on the day of a recording.
    Ftrl(Arc<FtrlSuite>),
    /// Writes the leaderboard's result files.
    Bfcl(Arc<BfclSuite>),
    /// Acts its gold actions out.
    Tau(Arc<TauSuite>),
}

impl Opened {
    fn new(suite: Arc<dyn Suite>, traces: Vec<Trace>) -> Self {
        Self {
            suite,
            traces,
            more: More::Nothing,
        }
    }

    /// Acts a trace out, where need be on the day on which it was recorded.
    pub(crate) fn replay(&self, trace: &Trace) -> Result<ReplayReport> {
        Ok(match &self.more {
            More::Ftrl(suite) => suite.replay_as_recorded(trace)?,
            _ => replay(&*self.suite, trace),
        })
    }

    /// The expert traces that come with the tasks, or that gold calls among them make.
    pub(crate) fn gold(&self) -> Vec<Trace> {
        match &self.more {
            More::Ftrl(suite) if self.traces.is_empty() => suite.gold_traces(),
            More::Tau(suite) if self.traces.is_empty() => suite.gold_traces(),
            _ => self.traces.clone(),
        }
    }
}

/// The tasks that a command line names. `plainly` where functions are best shown in the form that
/// most templates and all endpoints print; `kept` is the folder of their evaluation.
pub(crate) fn open_tasks(
    tasks: &TaskArgs,
    config: &RunConfig,
    plainly: bool,
    kept: Option<&Path>,
) -> Result<Opened> {
    check(tasks)?;
    // A file of the world's has all that decides its tasks.
    if tasks.suite == SuiteName::World {
        let suite = Arc::new(WorldSuite::load(&tasks.data)?);
        return Ok(Opened {
            more: More::World(suite.clone()),
            ..Opened::new(suite, Vec::new())
        });
    }
    let mut source = source(tasks, config)?;
    if let Source::Bfcl(options) = &mut source {
        if plainly && tasks.format.is_none() {
            options.format = Format::Api;
        }
        if let (Some(folder), None) = (kept, &options.memory_dir) {
            options.memory_dir = Some(folder.join("memory"));
        }
    }
    open(&source, config)
}

/// What a run trains on.
pub(crate) fn training(config: &RunConfig, settings: &Settings) -> Result<train::Source> {
    if let Source::Stream(world) = &config.data.train {
        return Ok(train::Source::Stream(world.clone()));
    }
    let Opened {
        suite, mut traces, ..
    } = open(&config.data.train, config)?;
    if let Some(file) = &config.data.traces {
        traces = load_traces(&paths::resolve(file)?, suite.tasks())?;
    }
    let traced_only = settings.needs_traces() && settings.trace.missing == Missing::Drop;
    Ok(train::Source::fixed(suite, traces, traced_only))
}

/// What a run is evaluated on.
pub(crate) fn evaluation(config: &RunConfig) -> Result<Arc<dyn Suite>> {
    Ok(open(&config.data.eval, config)?.suite)
}

/// The first `limit` tasks of a suite; 0 is all.
pub(crate) fn first(suite: &dyn Suite, limit: usize) -> Vec<&Task> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    suite.tasks().iter().take(limit).collect()
}

/// Refuses arguments that the suite does not read.
fn check(tasks: &TaskArgs) -> Result<(), UsageError> {
    let suite = tasks.suite;
    let arguments = [
        (
            "--category",
            !tasks.category.is_empty(),
            &[SuiteName::Bfcl, SuiteName::Toolhop][..],
        ),
        ("--format", tasks.format.is_some(), &[SuiteName::Bfcl]),
        ("--tools", tasks.tools.is_some(), &[SuiteName::Own]),
    ];
    let unread =
        |(_, given, readers): &&(_, bool, &[SuiteName])| *given && !readers.contains(&suite);
    let Some((argument, _, readers)) = arguments.iter().find(unread) else {
        return Ok(());
    };
    let readers: Vec<String> = (readers.iter())
        .map(|reader| format!("`--suite {}`", reader.name()))
        .collect();
    Err(UsageError(format!(
        "`{argument}` is read with {} alone",
        readers.join(" and ")
    )))
}

/// What a command line says, over what the config says of evaluations on a suite of this kind.
fn source(tasks: &TaskArgs, config: &RunConfig) -> Result<Source> {
    let data = tasks.data.clone();
    let configured = &config.data.eval;
    Ok(match tasks.suite {
        SuiteName::World => unreachable!("a file of the world's is opened as it is"),
        SuiteName::Ftrl => Source::Ftrl(Ftrl {
            file: data,
            traces: None,
            allow_broken_tools: matches!(configured, Source::Ftrl(it) if it.allow_broken_tools),
        }),
        SuiteName::Toolhop => {
            let mut source = match configured {
                Source::Toolhop(source) => source.clone(),
                _ => ToolHop::default(),
            };
            source.file = data;
            if !tasks.category.is_empty() {
                source.scenarios = named(&tasks.category, &Scenario::ALL, Scenario::name)?;
            }
            Source::Toolhop(source)
        }
        SuiteName::Bfcl => {
            let mut options = match configured {
                Source::Bfcl(options) => options.clone(),
                _ => BfclOptions::default(),
            };
            options.folder = data;
            if !tasks.category.is_empty() {
                let parsed = tasks.category.iter().map(|name| name.parse::<Selection>());
                let parsed: Result<Vec<_>, _> = parsed.collect();
                options.categories = parsed.map_err(|error| {
                    let message = error.to_string();
                    let hint = suggestion::hint_of_message(&message);
                    UsageError(format!("`--category`: {message}{hint}"))
                })?;
            }
            if let Some(format) = tasks.format {
                options.format = format.into();
            }
            Source::Bfcl(options)
        }
        SuiteName::Tau => Source::Tau(Tau {
            file: data,
            traces: None,
        }),
        SuiteName::Own => {
            let mut own = match configured {
                Source::Own(own) => own.clone(),
                _ => OwnTools::default(),
            };
            own.file = data;
            if let Some(tools) = &tasks.tools {
                offer(&mut own, tools);
            }
            Source::Own(own)
        }
    })
}

/// Values by their names.
fn named<T: Copy>(wanted: &[String], all: &[T], name: fn(T) -> &'static str) -> Result<Vec<T>> {
    let find = |wanted: &String| {
        let found = all.iter().copied().find(|it| name(*it) == wanted);
        found.ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|it| name(*it)).collect();
            let hint = suggestion::hint(wanted, names.iter().copied());
            UsageError(format!(
                "`--category {wanted}`: expected one of `{}`{hint}",
                names.join("`, `")
            ))
        })
    };
    Ok(wanted.iter().map(find).collect::<Result<_, _>>()?)
}

fn open(source: &Source, config: &RunConfig) -> Result<Opened> {
    let (python, sandbox) = (config.python.clone(), config.sandbox.clone());
    Ok(match source {
        Source::World(config) | Source::Stream(config) => {
            let world = world::generate(config);
            Opened::new(Arc::new(world.suite), world.traces)
        }
        Source::Ftrl(ftrl) => {
            let options = FtrlOptions {
                python,
                sandbox,
                allow_broken_tools: ftrl.allow_broken_tools,
            };
            let suite = Arc::new(FtrlSuite::load(&paths::resolve(&ftrl.file)?, options)?);
            let traces = traces_of(ftrl.traces.as_ref(), &*suite)?;
            Opened {
                suite: suite.clone(),
                traces,
                more: More::Ftrl(suite),
            }
        }
        Source::Toolhop(questions) => {
            let options = ToolHopOptions {
                scenarios: questions.scenarios.clone(),
                python,
                sandbox,
                allow_broken_tools: questions.allow_broken_tools,
            };
            let suite = ToolHopSuite::load(&paths::resolve(&questions.file)?, options)?;
            let traces = traces_of(questions.traces.as_ref(), &suite)?;
            Opened::new(Arc::new(suite), traces)
        }
        Source::Bfcl(options) => {
            let mut options = options.clone();
            options.folder = paths::resolve(&options.folder)?;
            options.search.key = variable("SERPAPI_API_KEY");
            let suite = Arc::new(BfclSuite::load(&options)?);
            let traces = suite.traces()?;
            Opened {
                suite: suite.clone(),
                traces,
                more: More::Bfcl(suite),
            }
        }
        Source::Tau(tau) => {
            let pool = Pool::new(python, sandbox)?;
            let file = paths::resolve(&tau.file)?;
            let suite = Arc::new(TauSuite::load(&file, pool, Arc::new(StaticUsers))?);
            let traces = traces_of(tau.traces.as_ref(), &*suite)?;
            Opened {
                suite: suite.clone(),
                traces,
                more: More::Tau(suite),
            }
        }
        Source::Own(own) => open_own(own, config)?,
    })
}

/// Adds a Python file, or the address of an HTTP environment.
fn offer(own: &mut OwnTools, tools: &str) {
    if tools.starts_with("http://") || tools.starts_with("https://") {
        let server = HttpConfig {
            url: tools.to_owned(),
            ..HttpConfig::default()
        };
        own.http.insert("http".to_owned(), server);
    } else {
        own.python = Some(tools.into());
    }
}

fn open_own(own: &OwnTools, config: &RunConfig) -> Result<Opened> {
    if own.file.as_os_str().is_empty() {
        let message = "the suite `own` has no tasks\nhint: set `file`, or give `--data`";
        return Err(UsageError(message.to_owned()).into());
    }
    let mut own = own.clone();
    own.file = paths::resolve(&own.file)?;
    let python = load_python(&own, config)?;
    let suite = remote::own::open(&own, python, &variable)?;
    let traces = suite.traces().to_vec();
    Ok(Opened::new(Arc::new(suite), traces))
}

/// Everything that is wrong with a file of one's own tasks beside their tools.
pub(crate) fn check_own(file: &Path, tools: &str) -> Result<env::own::CheckReport> {
    let config = RunConfig::default();
    let mut own = OwnTools::default();
    offer(&mut own, tools);
    let python = load_python(&own, &config)?;
    let toolboxes = remote::own::toolboxes(&own, python, &variable)?;
    Ok(env::own::check_file(file, &toolboxes)?)
}

fn load_python(own: &OwnTools, config: &RunConfig) -> Result<Option<PythonTools>> {
    let load = |file: &PathBuf| -> Result<PythonTools> {
        let pool = Pool::new(config.python.clone(), config.sandbox.clone())?;
        Ok(PythonTools::load("python", &paths::resolve(file)?, pool)?)
    };
    own.python.as_ref().map(load).transpose()
}

fn traces_of(file: Option<&PathBuf>, suite: &dyn Suite) -> Result<Vec<Trace>> {
    match file {
        Some(file) => Ok(load_traces(&paths::resolve(file)?, suite.tasks())?),
        None => Ok(Vec::new()),
    }
}

/// An environment variable, where it is set and text.
fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment enters through the binary"
    )]
    std::env::var(name).ok()
}
