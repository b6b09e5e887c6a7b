//! How often an endpoint may be asked: so many requests a minute, and not before it said.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Clock;

/// Hands out the moments at which requests may be sent, evenly spread.
pub(crate) struct Pace {
    clock: Clock,
    /// Between two requests; zero where nothing limits them.
    interval: Duration,
    /// Not before this moment of the clock.
    next: Mutex<Duration>,
}

impl Pace {
    pub(crate) fn new(clock: Clock, requests_per_minute: Option<u32>) -> Self {
        let minute = Duration::from_secs(60);
        Self {
            clock,
            interval: requests_per_minute.map_or(Duration::ZERO, |n| minute / n.max(1)),
            next: Mutex::new(Duration::ZERO),
        }
    }

    /// Takes the next moment, and says how long it is until then.
    pub(crate) fn reserve(&self) -> Duration {
        let now = (self.clock)();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = now.max(*next);
        *next = moment + self.interval;
        moment - now
    }

    /// The endpoint wants to be left alone for so long, by everyone.
    pub(crate) fn hold(&self, wait: Duration) {
        let until = (self.clock)() + wait;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = until.max(*next);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A clock that is set, in milliseconds.
    fn set_clock() -> (Arc<AtomicU64>, Clock) {
        let now = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&now);
        let clock = move || Duration::from_millis(read.load(Ordering::Relaxed));
        (now, Arc::new(clock))
    }

    #[test]
    fn requests_are_spread_over_the_minute() {
        let (now, clock) = set_clock();
        let pace = Pace::new(clock, Some(60));
        let waits: Vec<u64> = (0..3).map(|_| pace.reserve().as_millis() as u64).collect();
        assert_eq!(waits, [0, 1000, 2000]);
        now.store(10_000, Ordering::Relaxed);
        assert_eq!(pace.reserve(), Duration::ZERO, "what was not used is lost");
        assert_eq!(pace.reserve(), Duration::from_secs(1));
    }

    #[test]
    fn everyone_waits_when_the_endpoint_says_so() {
        let (now, clock) = set_clock();
        let pace = Pace::new(clock, None);
        assert_eq!(pace.reserve(), Duration::ZERO);
        pace.hold(Duration::from_secs(5));
        pace.hold(Duration::from_secs(2));
        assert_eq!(pace.reserve(), Duration::from_secs(5));
        now.store(6_000, Ordering::Relaxed);
        assert_eq!(pace.reserve(), Duration::ZERO);
    }
}
