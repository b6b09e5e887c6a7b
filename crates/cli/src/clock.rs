//! The one place where pact looks at the clock; everything else is handed this.

use std::sync::Arc;
use std::time::Instant;

/// A clock that starts now.
#[expect(clippy::disallowed_methods, reason = "time enters through the binary")]
pub(crate) fn start() -> train::Clock {
    let began = Instant::now();
    Arc::new(move || began.elapsed())
}

/// Seconds since 1970, by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "time enters through the binary")]
pub(crate) fn since_1970() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0.0, |time| time.as_secs_f64())
}
