//! The one place where pact looks at the clock; everything else is handed this.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock that starts now.
#[expect(clippy::disallowed_methods, reason = "time enters through the binary")]
pub(crate) fn start() -> train::Clock {
    let began = Instant::now();
    Arc::new(move || began.elapsed())
}

/// The time of day, in seconds since 1970; 0 on a machine that believes to be earlier.
#[expect(clippy::disallowed_methods, reason = "time enters through the binary")]
pub(crate) fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
