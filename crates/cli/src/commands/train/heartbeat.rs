//! What a run says of itself while it works: `status.json`, and a word when nothing moves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use episode::{Phase, Status};
use rollout::{Activity, Snapshot};

use crate::clock;

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How old status.json gets while nothing changes.
const OLDEST: Duration = Duration::from_secs(1);
/// A wait that is worth telling.
const LONG_WAIT: f64 = 1.0;

/// Looks after a run from a thread of its own, until it ends.
pub(super) struct Heartbeat {
    pulse: Arc<Pulse>,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

/// What the thread looks at.
struct Pulse {
    file: PathBuf,
    activity: Activity,
    steps: u64,
    /// Without progress, until something is said; `None` says nothing.
    patience: Option<Duration>,
    message: Mutex<Option<String>>,
}

impl Heartbeat {
    /// Writes `status.json` into the folder `run`, at each change and every second. After
    /// `patience` without progress, `say` is told what everybody waits for, and the log.
    pub(super) fn begin(
        run: &Path,
        activity: Activity,
        steps: u64,
        patience: Option<Duration>,
        say: impl Fn(&str) + Send + 'static,
    ) -> Self {
        let pulse = Arc::new(Pulse {
            file: run.join("status.json"),
            activity,
            steps,
            patience,
            message: Mutex::default(),
        });
        let (stop, stopped) = channel();
        let log = tracing::dispatcher::get_default(Clone::clone);
        let of_thread = Arc::clone(&pulse);
        let thread = std::thread::spawn(move || {
            tracing::dispatcher::with_default(&log, || of_thread.beat(&stopped, &say));
        });
        Self {
            pulse,
            thread: Some((stop, thread)),
        }
    }

    /// The last warning, for whoever reads the status.
    pub(super) fn tell(&self, message: Option<String>) {
        *self.pulse.message() = message;
    }

    /// The run is over, and this is its last status.
    pub(super) fn end(mut self, phase: Phase, message: Option<String>) {
        self.stop();
        if message.is_some() {
            self.tell(message);
        }
        if let Some(now) = self.pulse.activity.snapshot() {
            let status = Status {
                phase,
                since: clock::since_1970(),
                waiting: None,
                ..self.pulse.status(&now)
            };
            if let Err(error) = self.pulse.write(&status) {
                tracing::warn!("`{}`: {error}", self.pulse.file.display());
            }
        }
    }

    fn stop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            thread.join().expect("the thread only looks and writes");
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Pulse {
    fn message(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.message.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until the sender goes.
    fn beat(&self, stopped: &Receiver<()>, say: &dyn Fn(&str)) {
        let (mut written, mut age) = (None, Duration::ZERO);
        let mut said = Duration::ZERO;
        let mut is_writable = true;
        loop {
            let Some(now) = self.activity.snapshot() else {
                return;
            };
            let seen = Some((
                now.phase,
                now.step,
                now.done,
                now.of,
                self.message().clone(),
            ));
            if written != seen || age >= OLDEST {
                let wrote = self.write(&self.status(&now));
                if let (Err(error), true) = (&wrote, is_writable) {
                    // Said once: a status is lost, not the run.
                    let warning = format!("`{}`: {error}", self.file.display());
                    tracing::warn!("{warning}");
                    say(&format!("warning: {warning}"));
                }
                is_writable = wrote.is_ok();
                (written, age) = (seen, Duration::ZERO);
            }
            if let Some(patience) = self.patience.filter(|_| now.phase != Phase::Paused) {
                said = said.min(now.still);
                if now.still >= said + patience {
                    let silence = silence(&now);
                    tracing::warn!("{silence}");
                    say(&silence);
                    said = now.still;
                }
            }
            match stopped.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => age += LOOK,
                _ => return,
            }
        }
    }

    fn status(&self, now: &Snapshot) -> Status {
        let updated = clock::since_1970();
        Status {
            phase: now.phase,
            step: now.step,
            steps: self.steps,
            since: updated - now.elapsed.as_secs_f64(),
            updated,
            process: std::process::id(),
            done: now.done,
            of: now.of,
            waiting: (now.waiting.clone()).filter(|waiting| waiting.seconds >= LONG_WAIT),
            message: self.message().clone(),
        }
    }

    /// Replaces the file whole, so that a reader never sees half of it.
    fn write(&self, status: &Status) -> std::io::Result<()> {
        let partial = self.file.with_extension("json.tmp");
        fs::write(&partial, serde_json::to_string(status)?)?;
        fs::rename(&partial, &self.file)
    }
}

/// What a run that does not move is at, and the episode that everybody waits for.
fn silence(now: &Snapshot) -> String {
    let still = now.still.as_secs();
    let step = now.step + 1;
    let (what, parts) = match now.phase {
        Phase::Rollout => (format!("rollout of step {step}"), "episodes"),
        Phase::Learn => (format!("learning of step {step}"), "parts of the batch"),
        Phase::Evaluation => (format!("evaluation after {} steps", now.step), "episodes"),
        Phase::Checkpoint => (format!("checkpoint after {} steps", now.step), ""),
        phase => (format!("{phase:?}").to_lowercase(), ""),
    };
    let mut text = format!("{what}: no progress for {still} s");
    if now.of > 0 {
        text += &format!("; {} of {} {parts} are over", now.done, now.of);
    }
    if let Some(waiting) = &now.waiting {
        text += &format!(
            "; task `{}`, sample {}, turn {}, waits for {} since {:.0} s",
            waiting.task.escape_debug(),
            waiting.sample,
            waiting.turn,
            waiting.on,
            waiting.seconds,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use episode::Waiting;

    use super::*;

    fn still(phase: Phase) -> Snapshot {
        Snapshot {
            phase,
            step: 11,
            elapsed: Duration::from_secs(100),
            still: Duration::from_secs(75),
            done: 63,
            of: 64,
            waiting: None,
        }
    }

    #[test]
    fn a_silence_names_the_phase_and_the_episode_that_everybody_waits_for() {
        let waiting = Waiting {
            task: "world-3\u{1b}".into(),
            sample: 2,
            turn: 4,
            on: "tool `search`".into(),
            seconds: 75.4,
        };
        let waiting = Snapshot {
            waiting: Some(waiting),
            ..still(Phase::Rollout)
        };
        assert_eq!(
            silence(&waiting),
            "rollout of step 12: no progress for 75 s; 63 of 64 episodes are over; task \
             `world-3\\u{1b}`, sample 2, turn 4, waits for tool `search` since 75 s"
        );
        assert_eq!(
            silence(&still(Phase::Learn)),
            "learning of step 12: no progress for 75 s; 63 of 64 parts of the batch are over"
        );
    }

    fn read(folder: &Path) -> Option<Status> {
        let text = fs::read_to_string(folder.join("status.json")).ok()?;
        Some(serde_json::from_str(&text).expect("a whole file, always"))
    }

    /// Looks until the file says so; a test that hangs says what it waited for.
    fn until(folder: &Path, such: impl Fn(&Status) -> bool) -> Status {
        for _ in 0..600 {
            if let Some(status) = read(folder).filter(|status| such(status)) {
                return status;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("status.json stays {:?}", read(folder));
    }

    #[test]
    fn the_status_follows_the_run_and_silence_is_told_once_for_each_stretch_of_patience() {
        let folder = tempfile::tempdir().expect("a folder");
        let seconds = Arc::new(AtomicU64::new(0));
        let of_clock = Arc::clone(&seconds);
        let now = move || Duration::from_secs(of_clock.load(Ordering::Relaxed));
        let activity = Activity::new(Arc::new(now));
        let (say, said) = channel();
        let heartbeat = Heartbeat::begin(
            folder.path(),
            activity.clone(),
            20,
            Some(Duration::from_secs(30)),
            move |text| say.send(text.to_owned()).expect("the test listens"),
        );
        until(folder.path(), |status| status.phase == Phase::Starting);
        activity.enter(Phase::Learn, 7);
        activity.expect(3);
        activity.advance();
        heartbeat.tell(Some("a warning".into()));
        let status = until(folder.path(), |status| {
            status.done == 1 && status.message.is_some()
        });
        assert_eq!(
            (status.phase, status.step, status.steps),
            (Phase::Learn, 7, 20)
        );
        assert_eq!(status.process, std::process::id());
        seconds.store(31, Ordering::Relaxed);
        let first = said.recv_timeout(Duration::from_secs(30));
        assert!(
            first
                .expect("a word")
                .starts_with("learning of step 8: no progress for 31 s")
        );
        seconds.store(62, Ordering::Relaxed);
        let second = said.recv_timeout(Duration::from_secs(30));
        assert!(second.expect("a word").contains("for 62 s"));
        activity.advance();
        heartbeat.end(Phase::Failed, Some("no room".into()));
        assert_eq!(said.try_iter().count(), 0);
        let status = read(folder.path()).expect("the last status");
        assert_eq!(status.phase, Phase::Failed);
        assert_eq!(status.message.as_deref(), Some("no room"));
    }
}
