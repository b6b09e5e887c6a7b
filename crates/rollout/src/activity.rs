//! What is under way: told by whoever does it, read from another thread while it goes on.
//! Nothing that happens depends on it, and it looks at no clock but the one that it is given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use episode::{Phase, Waiting};

/// Time since some fixed moment.
type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A run's activity. Clones tell of the same run; the default is read by nobody and costs
/// nothing.
#[derive(Clone, Default)]
pub struct Activity(Option<Arc<Watched>>);

struct Watched {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    step: u64,
    since: Duration,
    moved: Duration,
    /// Up to when `spent` counts.
    counted: Duration,
    done: usize,
    of: usize,
    /// Those that are not over, by their number within the rollout.
    episodes: BTreeMap<usize, Wait>,
    spent: Spent,
}

/// What one episode waits for.
struct Wait {
    task: String,
    sample: usize,
    turn: usize,
    on: On,
    since: Duration,
}

/// Whom an episode can wait for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum On {
    Model,
    /// Its own next step, which the loop takes between two of the policy's.
    Others,
    /// A free thread on which its environment can act.
    Thread,
    /// By name, as the agent called it.
    Tool(String),
    User,
    Scoring,
}

/// What a run is at, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// What it is at.
    pub phase: Phase,
    /// Steps done.
    pub step: u64,
    /// For how long it has been at it.
    pub elapsed: Duration,
    /// For how long nothing has come to its end: no turn, no call, no episode, no part of the
    /// phase.
    pub still: Duration,
    /// Parts of the phase that are over: episodes, or forests of a batch.
    pub done: usize,
    /// Its parts.
    pub of: usize,
    /// The episode that has waited longest for what it waits for.
    pub waiting: Option<Waiting>,
}

/// Where time went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    phases: Vec<(Phase, Duration)>,
    /// Waiting for tools, summed over the episodes, which wait side by side.
    pub tools: Duration,
}

impl Spent {
    /// In all stretches of a phase.
    pub fn on(&self, phase: Phase) -> Duration {
        let of_phase = self.phases.iter().filter(|(of, _)| *of == phase);
        of_phase.map(|(_, time)| *time).sum()
    }
}

impl Activity {
    /// The activity of a run that begins now.
    pub fn new(clock: Clock) -> Self {
        let now = clock();
        let state = State {
            since: now,
            moved: now,
            counted: now,
            ..State::default()
        };
        Self(Some(Arc::new(Watched {
            clock,
            state: Mutex::new(state),
        })))
    }

    /// What the run is at now; `None` where nobody watches.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.tell(|state, now| Snapshot {
            phase: state.phase,
            step: state.step,
            elapsed: now.saturating_sub(state.since),
            still: now.saturating_sub(state.moved),
            done: state.done,
            of: state.of,
            waiting: state.longest_wait(now),
        })
    }

    /// A phase begins, after `step` steps, of which nothing is known to be expected yet.
    pub fn enter(&self, phase: Phase, step: u64) {
        self.tell(|state, now| {
            state.close(now);
            (state.phase, state.step) = (phase, step);
            (state.since, state.moved) = (now, now);
            (state.done, state.of) = (0, 0);
            state.episodes.clear();
        });
    }

    /// So many more parts belong to the phase.
    pub fn expect(&self, count: usize) {
        self.tell(|state, _| state.of += count);
    }

    /// A part of the phase is over.
    pub fn advance(&self) {
        self.tell(|state, now| {
            state.done += 1;
            state.moved = now;
        });
    }

    /// Where time went since this was last asked, the phase under way included so far.
    pub fn take_spent(&self) -> Spent {
        let spent = self.tell(|state, now| {
            state.close(now);
            std::mem::take(&mut state.spent)
        });
        spent.unwrap_or_default()
    }

    pub(crate) fn begin(&self, episode: usize, task: &str, sample: usize) {
        self.tell(|state, now| {
            let wait = Wait {
                task: task.to_owned(),
                sample,
                turn: 0,
                on: On::Others,
                since: now,
            };
            state.episodes.insert(episode, wait);
        });
    }

    /// An episode's turn of this number is asked of the policy.
    pub(crate) fn asks(&self, episode: usize, turn: usize) {
        self.tell(|state, now| {
            state.wait(episode, On::Model, now);
            if let Some(wait) = state.episodes.get_mut(&episode) {
                wait.turn = turn;
            }
        });
    }

    pub(crate) fn waits(&self, episode: usize, on: On) {
        self.tell(|state, now| state.wait(episode, on, now));
    }

    pub(crate) fn end(&self, episode: usize) {
        self.tell(|state, now| {
            state.episodes.remove(&episode);
            state.done += 1;
            state.moved = now;
        });
    }

    fn tell<T>(&self, tell: impl FnOnce(&mut State, Duration) -> T) -> Option<T> {
        let watched = self.0.as_ref()?;
        let now = (watched.clock)();
        Some(tell(&mut watched.state(), now))
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts the phase's time up to now.
    fn close(&mut self, now: Duration) {
        let time = now.saturating_sub(self.counted);
        self.counted = now;
        self.spent.phases.push((self.phase, time));
    }

    fn wait(&mut self, episode: usize, on: On, now: Duration) {
        self.moved = now;
        let Some(wait) = self.episodes.get_mut(&episode) else {
            return;
        };
        if matches!(wait.on, On::Tool(_)) {
            self.spent.tools += now.saturating_sub(wait.since);
        }
        (wait.on, wait.since) = (on, now);
    }

    fn longest_wait(&self, now: Duration) -> Option<Waiting> {
        let wait = self.episodes.values().min_by_key(|wait| wait.since)?;
        Some(Waiting {
            task: wait.task.clone(),
            sample: wait.sample,
            turn: wait.turn,
            on: wait.on.to_string(),
            seconds: now.saturating_sub(wait.since).as_secs_f64(),
        })
    }
}

/// The most that is shown of a name that an agent made up.
const LONGEST_NAME: usize = 80;

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => f.write_str("the model"),
            Self::Others => f.write_str("the other episodes"),
            Self::Thread => f.write_str("a free thread"),
            Self::Tool(name) => {
                let shown: String = name.chars().take(LONGEST_NAME).collect();
                write!(f, "tool `{}`", shown.escape_debug())
            }
            Self::User => f.write_str("the user"),
            Self::Scoring => f.write_str("the scoring"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// An activity and its clock, in seconds.
    fn watched() -> (Activity, Arc<AtomicU64>) {
        let seconds = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&seconds);
        let now = move || Duration::from_secs(clock.load(Ordering::Relaxed));
        (Activity::new(Arc::new(now)), seconds)
    }

    #[test]
    fn the_episode_that_has_waited_longest_is_named_with_what_it_waits_for() {
        let (activity, clock) = watched();
        activity.enter(Phase::Rollout, 3);
        activity.expect(2);
        activity.begin(0, "a", 0);
        activity.begin(1, "a", 1);
        activity.asks(0, 0);
        activity.asks(1, 0);
        clock.store(5, Ordering::Relaxed);
        activity.waits(1, On::Tool("search".into()));
        clock.store(7, Ordering::Relaxed);
        activity.asks(0, 1);
        activity.end(0);
        clock.store(40, Ordering::Relaxed);
        let waiting = Waiting {
            task: "a".into(),
            sample: 1,
            turn: 0,
            on: "tool `search`".into(),
            seconds: 35.0,
        };
        let expected = Snapshot {
            phase: Phase::Rollout,
            step: 3,
            elapsed: Duration::from_secs(40),
            still: Duration::from_secs(33),
            done: 1,
            of: 2,
            waiting: Some(waiting),
        };
        assert_eq!(activity.snapshot(), Some(expected));
    }

    #[test]
    fn time_is_counted_by_phase_and_no_second_twice() {
        let (activity, clock) = watched();
        clock.store(2, Ordering::Relaxed);
        activity.enter(Phase::Rollout, 0);
        activity.begin(0, "a", 0);
        activity.waits(0, On::Tool("slow".into()));
        clock.store(5, Ordering::Relaxed);
        activity.asks(0, 1);
        activity.enter(Phase::Learn, 0);
        clock.store(6, Ordering::Relaxed);
        let spent = activity.take_spent();
        let seconds = |phase| spent.on(phase).as_secs();
        assert_eq!(seconds(Phase::Starting), 2);
        assert_eq!(seconds(Phase::Rollout), 3);
        assert_eq!(seconds(Phase::Learn), 1);
        assert_eq!(spent.tools.as_secs(), 3);
        clock.store(8, Ordering::Relaxed);
        assert_eq!(activity.take_spent().on(Phase::Learn).as_secs(), 2);
    }

    #[test]
    fn a_name_that_an_agent_made_up_is_shown_short_and_without_control_characters() {
        let name = format!("\u{1b}[2J{}", "x".repeat(1 << 20));
        let shown = On::Tool(name).to_string();
        assert_eq!(shown, format!("tool `\\u{{1b}}[2J{}`", "x".repeat(76)));
    }
}
