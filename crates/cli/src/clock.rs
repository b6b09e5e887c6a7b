//! The one place where pact looks at the clock; everything else is handed this.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock that starts now.
#[expect(clippy::disallowed_methods, reason = "time enters through the binary")]
pub(crate) fn start() -> train::Clock {
    let began = Instant::now();
    Arc::new(move || began.elapsed())
}

/// Seconds since 1970; 0 on a machine that believes to be before.
#[expect(clippy::disallowed_methods, reason = "time enters through the binary")]
pub(crate) fn since_1970() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}
