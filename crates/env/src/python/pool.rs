//! The workers of one suite: lent to one call at a time, replaced when a tool breaks them.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use episode::Observation;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::PythonConfig;
use super::worker::{Lost, Reply, Worker, find_interpreter};
use crate::EnvError;

const COMPILE_LIMIT: Duration = Duration::from_secs(60);

/// Runs Python tools, several at once. A call waits while all workers are busy.
pub(crate) struct PythonPool {
    config: PythonConfig,
    call_limit: Duration,
    interpreter: PathBuf,
    /// Where workers run; empty, and removed with the pool.
    directory: TempDir,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Worker>,
    lent: usize,
}

/// A tool's name and its source.
#[derive(Clone, Copy)]
pub(crate) struct PythonTool<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
}

impl PythonPool {
    /// Finds the interpreter and starts the first worker, so that what cannot run at all is
    /// known before an episode begins.
    pub(crate) fn new(config: PythonConfig) -> Result<Self, EnvError> {
        let failed = |problem: String| EnvError::Python {
            program: config.interpreter.clone(),
            problem,
        };
        if !is_day(&config.date) {
            return Err(EnvError::Date(config.date));
        }
        let call_limit = Duration::try_from_secs_f64(config.call_seconds)
            .map_err(|error| failed(format!("`call-seconds`: {error}")))?;
        let interpreter = find_interpreter(&config)?;
        let directory = tempfile::tempdir()
            .map_err(|error| failed(format!("no temporary directory for it: {error}")))?;
        let first = Worker::start(&interpreter, directory.path(), &config).map_err(failed)?;
        Ok(Self {
            config,
            call_limit,
            interpreter,
            directory,
            state: Mutex::new(State {
                idle: vec![first],
                lent: 0,
            }),
            returned: Condvar::new(),
        })
    }

    /// The same pool on another day.
    pub(crate) fn on_day(&self, date: &str) -> Result<Self, EnvError> {
        Self::new(PythonConfig {
            date: date.to_owned(),
            ..self.config.clone()
        })
    }

    /// Calls the tool's function. Whatever goes wrong is a failed observation in the words of
    /// FTRL's executor.
    pub(crate) fn call(&self, tool: PythonTool<'_>, arguments: &Map<String, Value>) -> Observation {
        let call = json!({"name": tool.name, "source": tool.source, "arguments": arguments});
        let result = self.ask("call", call, self.call_limit).and_then(|reply| {
            reply
                .text
                .ok_or_else(|| reply.error.unwrap_or_else(|| "no result".to_owned()))
        });
        match result {
            Ok(text) => Observation {
                text,
                failed: false,
            },
            Err(exception) => call_error(tool.name, &exception),
        }
    }

    /// Python's complaint about each source that does not compile.
    pub(crate) fn compile(&self, sources: &[&str]) -> Result<Vec<Option<String>>, EnvError> {
        let reply = self
            .ask("compile", json!(sources), COMPILE_LIMIT)
            .map_err(|problem| EnvError::Python {
                program: self.config.interpreter.clone(),
                problem,
            })?;
        assert_eq!(
            reply.errors.len(),
            sources.len(),
            "the worker says one thing of each source"
        );
        Ok(reply.errors)
    }

    /// An earlier tool may have spoilt the worker behind its back, so one that dies is
    /// replaced and asked once more; a tool keeps no state that would show it.
    fn ask(&self, what: &str, content: Value, limit: Duration) -> Result<Reply, String> {
        let request = Map::from_iter([(what.to_owned(), content)]);
        let mut reply = self.ask_once(&request, limit)?;
        if matches!(reply, Err(Lost::Died)) {
            reply = self.ask_once(&request, limit)?;
        }
        reply.map_err(|lost| match lost {
            Lost::TimedOut => format!("timed out after {} seconds", limit.as_secs_f64()),
            Lost::Died => "the tool ended its interpreter".to_owned(),
        })
    }

    fn ask_once(
        &self,
        request: &Map<String, Value>,
        limit: Duration,
    ) -> Result<Result<Reply, Lost>, String> {
        let mut worker = self.borrow()?;
        let reply = worker.ask(request.clone(), limit);
        self.put_back(reply.is_ok().then_some(worker));
        Ok(reply)
    }

    fn borrow(&self) -> Result<Worker, String> {
        let most = self.config.workers.max(1);
        let idle = {
            let state = self.state.lock().expect(UNBROKEN);
            let mut state = self
                .returned
                .wait_while(state, |state| state.idle.is_empty() && state.lent >= most)
                .expect(UNBROKEN);
            state.lent += 1;
            state.idle.pop()
        };
        if let Some(worker) = idle {
            return Ok(worker);
        }
        Worker::start(&self.interpreter, self.directory.path(), &self.config)
            .inspect_err(|_| self.put_back(None))
    }

    /// Ends a loan; without a worker where it was lost.
    fn put_back(&self, worker: Option<Worker>) {
        let mut state = self.state.lock().expect(UNBROKEN);
        state.lent -= 1;
        state.idle.extend(worker);
        self.returned.notify_one();
    }
}

/// Whether this is a day of the Gregorian calendar, `YYYY-MM-DD`.
pub(crate) fn is_day(text: &str) -> bool {
    let numbers: Option<Vec<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
    let Some([year, month @ 1..=12, day]) = numbers.as_deref() else {
        return false;
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    text.len() == 10 && (1..=9999).contains(year) && (1..=days).contains(day)
}

const UNBROKEN: &str = "nothing panics while it holds the pool's lock";

/// A call that failed, in the words (and the spelling) of FTRL's executor.
pub(crate) fn call_error(tool: &str, exception: &str) -> Observation {
    Observation {
        text: format!("an error occured when call {tool}: {exception}"),
        failed: true,
    }
}
