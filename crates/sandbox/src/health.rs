//! How the machinery behind tools fares: what went wrong that no agent has a part in.

use std::sync::{Mutex, PoisonError};

/// Counts since a pool, or a connection, was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Calls, and sessions, for which a process or a server was needed.
    pub asked: usize,
    /// Those that got none: no process began, no server was reached.
    pub unserved: usize,
    /// Calls that were stopped because they took too long.
    pub timeouts: usize,
    /// Interpreters, or servers, that had to be started again.
    pub restarts: usize,
    /// Why the last of the unserved got none.
    pub cause: Option<String>,
}

impl Health {
    /// What happened since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let unserved = self.unserved - earlier.unserved;
        Self {
            asked: self.asked - earlier.asked,
            unserved,
            timeouts: self.timeouts - earlier.timeouts,
            restarts: self.restarts - earlier.restarts,
            cause: self.cause.clone().filter(|_| unserved > 0),
        }
    }

    /// Adds another's counts.
    pub fn absorb(&mut self, other: Self) {
        self.asked += other.asked;
        self.unserved += other.unserved;
        self.timeouts += other.timeouts;
        self.restarts += other.restarts;
        self.cause = other.cause.or(self.cause.take());
    }

    /// The unserved share; `None` where nothing was asked for.
    pub fn unserved_share(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.unserved as f64 / self.asked as f64)
    }
}

/// A health that several threads count up.
#[derive(Debug, Default)]
pub struct HealthCount(Mutex<Health>);

impl HealthCount {
    /// Something was asked for, and this came of it.
    pub fn asked<T, E: ToString>(&self, got: Result<T, E>) -> Result<T, E> {
        self.change(|health| {
            health.asked += 1;
            if let Err(error) = &got {
                health.unserved += 1;
                health.cause = Some(error.to_string());
            }
        });
        got
    }

    /// What had been served was lost on the way.
    pub fn lost(&self, why: &str) {
        self.change(|health| {
            health.unserved += 1;
            health.cause = Some(why.to_owned());
        });
    }

    /// A call was stopped.
    pub fn timed_out(&self) {
        self.change(|health| health.timeouts += 1);
    }

    /// What serves was started again.
    pub fn restarted(&self) {
        self.change(|health| health.restarts += 1);
    }

    /// The counts so far.
    pub fn get(&self) -> Health {
        self.lock().clone()
    }

    fn change(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_in_between_is_the_difference_with_its_own_cause() {
        let count = HealthCount::default();
        assert_eq!(count.asked(Err::<(), _>("no process")), Err("no process"));
        let before = count.get();
        assert_eq!(count.asked(Ok::<_, String>(7)), Ok(7));
        count.timed_out();
        count.restarted();
        let between = Health {
            asked: 1,
            timeouts: 1,
            restarts: 1,
            ..Health::default()
        };
        assert_eq!(count.get().since(&before), between);
        assert_eq!(count.get().unserved_share(), Some(0.5));
        assert_eq!(count.get().cause.as_deref(), Some("no process"));
    }
}
